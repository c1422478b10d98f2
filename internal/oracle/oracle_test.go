package oracle

import (
	"errors"
	"go/parser"
	"go/token"
	"path/filepath"
	"strings"
	"testing"
)

// TestNothingOfTheProductIsImported: an oracle that shared a reader with Ferry would
// share its mistakes.
func TestNothingOfTheProductIsImported(t *testing.T) {
	decoder, err := filepath.Glob("*.go")
	standin, err2 := filepath.Glob("standin/*.go")
	if err := errors.Join(err, err2); err != nil || len(decoder) < 4 || len(standin) < 4 {
		t.Fatalf("%d and %d files, %v", len(decoder), len(standin), err)
	}
	for _, name := range append(decoder, standin...) {
		if strings.HasSuffix(name, "_test.go") {
			continue // its tests compare it with vectors of real kernels
		}
		f, err := parser.ParseFile(token.NewFileSet(), name, nil, parser.ImportsOnly)
		if err != nil {
			t.Fatal(err)
		}
		for _, i := range f.Imports {
			if path := strings.Trim(i.Path.Value, `"`); strings.HasPrefix(path, "ferry/") && path != "ferry/phys" {
				t.Errorf("%s imports %s, want phys alone", name, path)
			}
		}
	}
}

package oracle

import (
	"go/parser"
	"go/token"
	"path/filepath"
	"strings"
	"testing"
)

// TestNothingOfTheProductIsImported: an oracle that shared a reader with Ferry would
// share its mistakes.
func TestNothingOfTheProductIsImported(t *testing.T) {
	files, err := filepath.Glob("*.go")
	if err != nil || len(files) < 4 {
		t.Fatalf("%d files, %v", len(files), err)
	}
	for _, name := range files {
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

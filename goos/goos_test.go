//go:build !metal && !tamago

package goos_test

import (
	"bytes"
	"go/ast"
	"go/parser"
	"go/printer"
	"go/token"
	"maps"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
)

// declarations returns the package-level functions and variables of a Go file
// with their types, and which of them are linked to a name in runtime/goos.
func declarations(t *testing.T, path string) (types, linked map[string]string) {
	t.Helper()
	fset := token.NewFileSet()
	f, err := parser.ParseFile(fset, path, nil, parser.ParseComments)
	if err != nil {
		t.Fatal(err)
	}
	show := func(n ast.Node) string {
		var b bytes.Buffer
		if err := printer.Fprint(&b, fset, n); err != nil {
			t.Fatal(err)
		}
		return b.String()
	}
	types, linked = map[string]string{}, map[string]string{}
	for _, d := range f.Decls {
		switch d := d.(type) {
		case *ast.FuncDecl:
			if d.Recv == nil {
				types[d.Name.Name] = show(d.Type)
			}
		case *ast.GenDecl:
			for _, s := range d.Specs {
				if v, ok := s.(*ast.ValueSpec); ok && d.Tok == token.VAR && v.Type != nil {
					for _, n := range v.Names {
						types[n.Name] = show(v.Type)
					}
				}
			}
		}
	}
	directive := regexp.MustCompile(`^//go:linkname (\w+) runtime/goos\.(\w+)$`)
	for _, g := range f.Comments {
		for _, c := range g.List {
			if m := directive.FindStringSubmatch(c.Text); m != nil {
				linked[m[2]] = types[m[1]]
			}
		}
	}
	return types, linked
}

// optional are the hooks that the board leaves to the runtime.
var optional = []string{"Bloc", "ProcID", "Task", "Wake"}

// TestNamesAndTypesAgree holds three places against each other that a linker joins
// by name alone: what goos declares, what the board gives, and what the runtime
// asks for, by the stand-in in check.
func TestNamesAndTypesAgree(t *testing.T) {
	declared, _ := declarations(t, "goos.go")
	_, given := declarations(t, filepath.Join("..", "board", "amd64", "internal", "tamago", "hooks.go"))
	_, asked := declarations(t, filepath.Join("check", "runtime.go"))
	asked["CPUInit"] = "func()" // in assembler on all sides
	given["CPUInit"] = "func()"
	if d := cmp.Diff(asked, declared); d != "" {
		t.Errorf("what the runtime asks for and goos declares (-asked +declared):\n%s", d)
	}
	for _, name := range optional {
		delete(declared, name)
	}
	if d := cmp.Diff(declared, given); d != "" {
		t.Errorf("what goos declares and the board gives (-declared +given):\n%s", d)
	}
	if len(given) < 10 {
		t.Errorf("the board gives %v: this test looks at the wrong thing", slices.Sorted(maps.Keys(given)))
	}
}

// TestConstantsAreThoseOfTheRuntime: the runtime computes its tables from them, so that
// it needs exactly these names, untyped. StackSystem is the board's choice.
func TestConstantsAreThoseOfTheRuntime(t *testing.T) {
	f, err := parser.ParseFile(token.NewFileSet(), "goos.go", nil, 0)
	if err != nil {
		t.Fatal(err)
	}
	got := map[string]string{}
	for _, d := range f.Decls {
		if d, ok := d.(*ast.GenDecl); ok && d.Tok == token.CONST {
			for _, s := range d.Specs {
				s := s.(*ast.ValueSpec)
				if v, ok := s.Values[0].(*ast.BasicLit); ok && s.Type == nil {
					got[s.Names[0].Name] = v.Value
				}
			}
		}
	}
	want := map[string]string{"ArenaBaseOffset": "0", "HeapAddrBits": "40", "LogHeapArenaBytes": "22", "LogPallocChunkPages": "9",
		"MinPhysPageSize": "4096", "StackSystem": "0"}
	if d := cmp.Diff(want, got); d != "" {
		t.Errorf("constants (-want +got):\n%s", d)
	}
}

// TestBoardLinksToARuntime builds the stand-in, which calls every hook, with the
// stock toolchain: a hook without a body, or one whose stack use the linker
// refuses, shows here.
func TestBoardLinksToARuntime(t *testing.T) {
	cmd := exec.Command("go", "build", "-tags", "metal tamago", "-ldflags", "-E _rt0_amd64_tamago -T 0x40001000",
		"-o", filepath.Join(t.TempDir(), "check"), "./check")
	cmd.Env = append(os.Environ(), "GOOS=linux", "GOARCH=amd64", "CGO_ENABLED=0")
	if out, err := cmd.CombinedOutput(); err != nil {
		t.Errorf("%v: %v\n%s", strings.Join(cmd.Args, " "), err, out)
	}
}

//go:build !metal

package phys_test

import (
	"go/ast"
	"go/parser"
	"go/token"
	"io/fs"
	"path/filepath"
	"slices"
	"strings"
	"testing"
)

// eachFile calls visit for the files of the module that are no tests.
func eachFile(t *testing.T, visit func(set *token.FileSet, dir string, f *ast.File)) {
	t.Helper()
	err := filepath.WalkDir("..", func(name string, d fs.DirEntry, err error) error {
		switch {
		case err != nil:
			return err
		case d.IsDir() && slices.Contains([]string{"build", "testdata", ".git"}, d.Name()):
			return fs.SkipDir
		case d.IsDir() || !strings.HasSuffix(name, ".go") || strings.HasSuffix(name, "_test.go"):
			return nil
		}
		set := token.NewFileSet()
		f, err := parser.ParseFile(set, name, nil, 0)
		if err == nil {
			visit(set, filepath.ToSlash(strings.TrimPrefix(filepath.Dir(name), "../")), f)
		}
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
}

// readers are the packages that read what somebody else wrote into memory.
var readers = []string{"fdt", "kho", "luo", "memfd", "blockset", "boot", "boot/opened", "boot/payload", "board/record", "crossing"}

// TestReadersQuoteWithQuote: %q shows all of a text, however long it is.
func TestReadersQuoteWithQuote(t *testing.T) {
	files := 0
	eachFile(t, func(set *token.FileSet, dir string, f *ast.File) {
		if !slices.Contains(readers, dir) {
			return
		}
		files++
		ast.Inspect(f, func(n ast.Node) bool {
			if s, ok := n.(*ast.BasicLit); ok && s.Kind == token.STRING && strings.Contains(s.Value, "%q") {
				t.Errorf("%v: %s: want phys.Quote", set.Position(s.Pos()), s.Value)
			}
			return true
		})
	})
	if files < 50 {
		t.Errorf("looked at %d files alone", files)
	}
}

// TestNoMessageEndsInAnErrorThatIsNone: behind `err != nil || x` err may be nil,
// and what wraps it says %!w(<nil>).
func TestNoMessageEndsInAnErrorThatIsNone(t *testing.T) {
	conditions := 0
	eachFile(t, func(set *token.FileSet, _ string, f *ast.File) {
		ast.Inspect(f, func(n ast.Node) bool {
			branch, ok := n.(*ast.IfStmt)
			if !ok {
				return true
			}
			for _, name := range perhaps(branch.Cond) {
				conditions++
				ast.Inspect(branch.Body, func(n ast.Node) bool {
					if call, ok := n.(*ast.CallExpr); ok && formats(call, name) {
						t.Errorf("%v: %s may be nil here", set.Position(call.Pos()), name)
					}
					return true
				})
			}
			return true
		})
	})
	if conditions < 20 {
		t.Errorf("looked at %d conditions alone", conditions)
	}
}

// perhaps returns the errors that may or may not be nil where cond holds: those of
// one side of an ||.
func perhaps(cond ast.Expr) (names []string) {
	or, ok := cond.(*ast.BinaryExpr)
	if !ok || or.Op != token.LOR {
		return nil
	}
	for _, side := range []ast.Expr{or.X, or.Y} {
		if ne, ok := side.(*ast.BinaryExpr); ok && ne.Op == token.NEQ {
			name, isName := ne.X.(*ast.Ident)
			if to, ok := ne.Y.(*ast.Ident); ok && isName && to.Name == "nil" && strings.HasPrefix(name.Name, "err") {
				names = append(names, name.Name)
			}
		}
		names = append(names, perhaps(side)...)
	}
	return names
}

// formats reports whether a call formats the variable of this name.
func formats(call *ast.CallExpr, name string) bool {
	if fun, ok := call.Fun.(*ast.SelectorExpr); !ok || !strings.HasSuffix(fun.Sel.Name, "f") {
		return false
	}
	for _, arg := range call.Args {
		if id, ok := arg.(*ast.Ident); ok && id.Name == name {
			return true
		}
	}
	return false
}

package main

import (
	"bytes"
	"fmt"
	"go/ast"
	"go/parser"
	"go/token"
	"os"
	"path/filepath"
	"slices"
	"strings"
)

// Mutant is a file without one of its rules.
type Mutant struct {
	Package string // folder
	File    string // from the root of the module on
	Func    string
	Number  int    // of the rule in its function
	Text    string // the condition that is gone
	Source  []byte
}

// Name says which rule it is in a way that other rules do not change.
func (m *Mutant) Name() string { return fmt.Sprintf("%s:%s#%d", m.File, m.Func, m.Number) }

// Rules returns a mutant for each rule of a package.
func Rules(dir string) (all []*Mutant, err error) {
	files, err := filepath.Glob(filepath.Join(dir, "*.go"))
	if err != nil {
		return nil, err
	}
	for _, name := range files {
		if strings.HasSuffix(name, "_test.go") {
			continue
		}
		src, err := os.ReadFile(name)
		if err != nil {
			return nil, err
		}
		set := token.NewFileSet()
		file, err := parser.ParseFile(set, name, src, 0)
		if err != nil {
			return nil, err
		}
		for _, d := range file.Decls {
			f, ok := d.(*ast.FuncDecl)
			if !ok || f.Body == nil {
				continue
			}
			n := 0
			for _, e := range conditions(f.Body) {
				from, to := set.Position(e.Pos()).Offset, set.Position(e.End()).Offset
				text := string(src[from:to])
				m := &Mutant{Package: dir, File: name, Func: receiver(f) + f.Name.Name, Number: n, Text: strings.Join(strings.Fields(text), " ")}
				m.Source = slices.Concat(src[:from], []byte("("+text+") && false"), src[to:])
				all = append(all, m)
				n++
			}
		}
	}
	return all, nil
}

func receiver(f *ast.FuncDecl) string {
	if f.Recv == nil {
		return ""
	}
	var b bytes.Buffer
	ast.Inspect(f.Recv.List[0].Type, func(n ast.Node) bool {
		if id, ok := n.(*ast.Ident); ok {
			b.WriteString(id.Name + ".")
		}
		return true
	})
	return b.String()
}

// conditions returns those under which a function makes an error.
func conditions(body *ast.BlockStmt) (all []ast.Expr) {
	ast.Inspect(body, func(n ast.Node) bool {
		switch s := n.(type) {
		case *ast.IfStmt:
			if makesError(s.Body.List) {
				all = append(all, parts(s.Cond)...)
			}
		case *ast.SwitchStmt:
			if s.Tag != nil {
				break
			}
			for _, c := range s.Body.List {
				if c := c.(*ast.CaseClause); makesError(c.Body) {
					for _, e := range c.List {
						all = append(all, parts(e)...)
					}
				}
			}
		}
		return true
	})
	return all
}

// parts returns the alternatives of a condition, each a rule of its own, but for
// those that pass on an error.
func parts(e ast.Expr) []ast.Expr {
	if b, ok := e.(*ast.BinaryExpr); ok && b.Op == token.LOR {
		return append(parts(b.X), parts(b.Y)...)
	}
	if passesOn(e) {
		return nil
	}
	return []ast.Expr{e}
}

// passesOn reports whether the condition is that another function failed.
func passesOn(e ast.Expr) bool {
	b, ok := e.(*ast.BinaryExpr)
	if !ok || b.Op != token.NEQ {
		return false
	}
	x, ok := b.X.(*ast.Ident)
	y, isNil := b.Y.(*ast.Ident)
	return ok && isNil && y.Name == "nil" && (strings.HasPrefix(x.Name, "err") || x.Name == "e" || x.Name == "undo")
}

// makers are the functions that make errors, by name.
var makers = []string{"bad", "fault", "slot", "second", "damaged", "unknown", "refuse", "notPreserved", "differ", "errDone", "Errorf", "unused", "New"}

// makesError reports whether one of the statements returns a new error, or adds
// one to the findings.
func makesError(list []ast.Stmt) bool {
	for _, s := range list {
		var results []ast.Expr
		switch s := s.(type) {
		case *ast.ReturnStmt:
			results = s.Results
		case *ast.ExprStmt:
			if call, ok := s.X.(*ast.CallExpr); ok && callee(call) == "add" {
				results = call.Args
			}
		}
		for _, r := range results {
			if isError(r) {
				return true
			}
		}
	}
	return false
}

func isError(e ast.Expr) bool {
	switch e := e.(type) {
	case *ast.UnaryExpr:
		lit, ok := e.X.(*ast.CompositeLit)
		if !ok {
			return false
		}
		t, ok := lit.Type.(*ast.SelectorExpr)
		return ok && t.Sel.Name == "Error"
	case *ast.CallExpr:
		name := callee(e)
		if name == "In" && len(e.Args) == 3 {
			return isError(e.Args[2])
		}
		return slices.Contains(makers, name)
	case *ast.Ident:
		return strings.HasPrefix(e.Name, "Err") || strings.HasPrefix(e.Name, "err") && e.Name != "err"
	}
	return false
}

func callee(c *ast.CallExpr) string {
	switch f := c.Fun.(type) {
	case *ast.Ident:
		return f.Name
	case *ast.SelectorExpr:
		return f.Sel.Name
	}
	return ""
}

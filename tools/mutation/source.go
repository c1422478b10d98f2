package main

import (
	"bytes"
	"go/ast"
	"go/format"
	"go/parser"
	"go/token"
	"os"
	"path/filepath"
	"strings"
)

// source is a file of a package.
type source struct {
	dir, name string // folder, and path from the root of the module on
	text      []byte
	set       *token.FileSet
	syntax    *ast.File
	std       map[string]bool // the packages of the standard library that it imports, as it calls them
}

// function is a function of a package, or a closure in one.
type function struct {
	*source
	name    string // with its receiver
	printed string // its text without comments, of the whole function for a closure
	results *ast.FieldList
	body    *ast.BlockStmt
	made    *makers // what makes errors in it
}

// parse reads the files of a package but for its tests.
func parse(dir string) (all []*function, err error) {
	files, err := filepath.Glob(filepath.Join(dir, "*.go"))
	if err != nil {
		return nil, err
	}
	names := newMakers(nil)
	for _, name := range files {
		if strings.HasSuffix(name, "_test.go") {
			continue
		}
		s := &source{dir: dir, name: name, set: token.NewFileSet(), std: make(map[string]bool)}
		if s.text, err = os.ReadFile(name); err != nil {
			return nil, err
		}
		if s.syntax, err = parser.ParseFile(s.set, name, s.text, 0); err != nil {
			return nil, err
		}
		for _, i := range s.syntax.Imports {
			path := strings.Trim(i.Path.Value, `"`)
			s.std[path[strings.LastIndex(path, "/")+1:]] = !strings.HasPrefix(path, "ferry/")
		}
		for _, d := range s.syntax.Decls {
			f, ok := d.(*ast.FuncDecl)
			if !ok || f.Body == nil {
				names.sentinels(d)
				continue
			}
			var b bytes.Buffer
			if err := format.Node(&b, s.set, f); err != nil {
				return nil, err
			}
			all = append(all, &function{s, receiver(f) + f.Name.Name, b.String(), f.Type.Results, f.Body, names})
		}
	}
	names.learn(all)
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

// offsets returns where a node stands in the file.
func (s *source) offsets(n ast.Node) (from, to int) {
	return s.set.Position(n.Pos()).Offset, s.set.Position(n.End()).Offset
}

// at returns the text of a node on one line.
func (s *source) at(n ast.Node) string {
	from, to := s.offsets(n)
	return strings.Join(strings.Fields(string(s.text[from:to])), " ")
}

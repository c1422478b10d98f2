package main

import (
	"go/ast"
	"go/token"
	"maps"
	"slices"
	"strings"
)

// makers are the names of what makes errors in a package, or in one function.
type makers struct {
	funcs map[string]bool // functions and methods, by their last name, that always return a new error
	words map[string]bool // functions that return what is wrong in words or as a record, and else nothing
	vars  map[string]bool // sentinels
}

func newMakers(from *makers) *makers {
	m := &makers{make(map[string]bool), make(map[string]bool), make(map[string]bool)}
	if from != nil {
		maps.Copy(m.funcs, from.funcs)
		maps.Copy(m.words, from.words)
		maps.Copy(m.vars, from.vars)
	}
	return m
}

// errorTypes are those whose literals are errors.
var errorTypes = []string{"Error", "duplicate"}

// sentinels learns the errors that a declaration names.
func (m *makers) sentinels(d ast.Decl) {
	g, ok := d.(*ast.GenDecl)
	if !ok || g.Tok != token.VAR {
		return
	}
	for _, s := range g.Specs {
		v := s.(*ast.ValueSpec)
		for i, e := range v.Values {
			if m.in(e, false) {
				m.vars[v.Names[i].Name] = true
			}
		}
	}
}

// learn finds the functions that make errors, until there are no more.
func (m *makers) learn(all []*function) {
	for known := -1; known < len(m.funcs)+len(m.words); {
		known = len(m.funcs) + len(m.words)
		for _, f := range all {
			m.function(last(f.name), f.results, f.body)
			ast.Inspect(f.body, func(n ast.Node) bool {
				if v, call := asked(n); call != nil && m.makesIn(n) && v != "err" && !f.std[qualifier(call)] && !strings.HasPrefix(v, "err") && wordOrRecord(all, callee(call)) {
					m.words[callee(call)] = true
				}
				return true
			})
		}
	}
}

// last returns the name of a function without its receiver.
func last(name string) string { return name[strings.LastIndex(name, ".")+1:] }

// function learns whether a function of a name makes errors: its last statement
// returns a new one, and no other returns none; or it returns nothing and passes
// a new one to somebody.
func (m *makers) function(name string, results *ast.FieldList, body *ast.BlockStmt) {
	if len(body.List) == 0 || m.funcs[name] {
		return
	}
	end := body.List[len(body.List)-1]
	if results == nil || len(results.List) == 0 {
		if i, ok := end.(*ast.IfStmt); ok && unset(i.Cond) && len(i.Body.List) > 0 {
			end = i.Body.List[len(i.Body.List)-1]
		}
		m.funcs[name] = m.stmt(end)
		return
	}
	r, ok := end.(*ast.ReturnStmt)
	if !ok || !m.stmt(r) && !m.stmt(assigned(r, body.List)) {
		return
	}
	none := false
	inspect(body, func(n ast.Node) {
		if r, ok := n.(*ast.ReturnStmt); ok && len(r.Results) > 0 && isNil(r.Results[len(r.Results)-1]) {
			none = true
		}
	})
	m.funcs[name] = !none
}

// assigned returns the statement of a function that first sets what it returns.
func assigned(r *ast.ReturnStmt, list []ast.Stmt) ast.Stmt {
	if len(r.Results) == 0 {
		return nil
	}
	v, ok := r.Results[len(r.Results)-1].(*ast.Ident)
	for _, s := range list {
		if a, isSet := s.(*ast.AssignStmt); ok && isSet && a.Tok == token.DEFINE {
			if to, isVar := a.Lhs[0].(*ast.Ident); isVar && to.Name == v.Name {
				return a
			}
		}
	}
	return nil
}

// wordOrRecord reports whether the first result of a function is a text, or a
// record that errors are made of.
func wordOrRecord(all []*function, name string) bool {
	for _, f := range all {
		if last(f.name) != name || f.results == nil || len(f.results.List) == 0 {
			continue
		}
		switch t := f.results.List[0].Type.(type) {
		case *ast.Ident:
			return t.Name == "string"
		case *ast.StarExpr:
			id, ok := t.X.(*ast.Ident)
			return ok && slices.Contains(errorTypes, id.Name)
		}
	}
	return false
}

// makesIn reports whether the body of an if makes an error.
func (m *makers) makesIn(n ast.Node) bool {
	return slices.ContainsFunc(n.(*ast.IfStmt).Body.List, m.stmt)
}

// asked returns the variable of `if v := f(); v != ""`, or nil instead of "", and
// the call.
func asked(n ast.Node) (v string, call *ast.CallExpr) {
	i, ok := n.(*ast.IfStmt)
	if !ok || i.Init == nil {
		return "", nil
	}
	b, ok := i.Cond.(*ast.BinaryExpr)
	set, isSet := i.Init.(*ast.AssignStmt)
	if !ok || !isSet || b.Op != token.NEQ {
		return "", nil
	}
	x, ok := b.X.(*ast.Ident)
	call, isCall := set.Rhs[0].(*ast.CallExpr)
	if to, isVar := set.Lhs[0].(*ast.Ident); !ok || !isCall || !isVar || to.Name != x.Name {
		return "", nil
	}
	return x.Name, call
}

// stmt reports whether a statement itself, and none inside it, makes an error.
func (m *makers) stmt(s ast.Stmt) bool {
	var all []ast.Expr
	switch s := s.(type) {
	case *ast.ReturnStmt:
		all = s.Results
	case *ast.ExprStmt:
		call, ok := s.X.(*ast.CallExpr)
		if !ok {
			return false
		}
		if m.funcs[callee(call)] {
			return true
		}
		all = call.Args
	case *ast.AssignStmt:
		all = s.Rhs
	}
	return slices.ContainsFunc(all, func(e ast.Expr) bool { return m.in(e, true) })
}

// in reports whether an expression makes an error, or is one that has a name.
func (m *makers) in(e ast.Expr, named bool) (made bool) {
	if named {
		switch e := e.(type) {
		case *ast.Ident:
			return m.vars[e.Name]
		case *ast.SelectorExpr:
			return strings.HasPrefix(e.Sel.Name, "Err") && len(e.Sel.Name) > 3 && e.Sel.Name[3] >= 'A' && e.Sel.Name[3] <= 'Z'
		case *ast.CallExpr:
			if callee(e) == "append" && slices.ContainsFunc(e.Args, func(a ast.Expr) bool { return m.in(a, true) }) {
				return true
			}
		}
	}
	inspect(e, func(n ast.Node) {
		switch n := n.(type) {
		case *ast.CompositeLit:
			switch t := n.Type.(type) {
			case *ast.Ident:
				made = made || slices.Contains(errorTypes, t.Name)
			case *ast.SelectorExpr:
				made = made || slices.Contains(errorTypes, t.Sel.Name)
			}
		case *ast.CallExpr:
			name, from := callee(n), qualifier(n)
			made = made || name == "Errorf" && from == "fmt" || name == "New" && from == "errors" || m.funcs[name] && name != "In"
		}
	})
	return made
}

// inspect visits a node and all in it but for what closures have.
func inspect(n ast.Node, visit func(ast.Node)) {
	ast.Inspect(n, func(n ast.Node) bool {
		if _, ok := n.(*ast.FuncLit); ok || n == nil {
			return false
		}
		visit(n)
		return true
	})
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

// qualifier is what stands before the name of a function, "" where nothing does.
func qualifier(c *ast.CallExpr) string {
	if f, ok := c.Fun.(*ast.SelectorExpr); ok {
		if id, ok := f.X.(*ast.Ident); ok {
			return id.Name
		}
		return "?"
	}
	return ""
}

func isNil(e ast.Expr) bool {
	id, ok := e.(*ast.Ident)
	return ok && id.Name == "nil"
}

// unset reports whether the condition is that there is no error yet.
func unset(e ast.Expr) bool {
	b, ok := e.(*ast.BinaryExpr)
	if !ok || b.Op != token.EQL || !isNil(b.Y) {
		return false
	}
	switch x := b.X.(type) {
	case *ast.Ident:
		return x.Name == "err" || x.Name == "e"
	case *ast.SelectorExpr:
		return x.Sel.Name == "err"
	}
	return false
}

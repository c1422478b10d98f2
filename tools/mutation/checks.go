package main

import (
	"go/ast"
	"go/token"
)

// checksOf returns the functions that rules ask, by name: those whose last result
// says yes or no, and which of them is the refusal.
func checksOf(found []*finder) map[string]bool {
	asked := make(map[string]bool)
	for _, d := range found {
		for _, e := range d.edits {
			d.asked(e, asked)
		}
	}
	return asked
}

// asked adds the functions that are called in the condition of an edit.
func (d *finder) asked(e edit, to map[string]bool) {
	x, ok := e.node.(ast.Expr)
	if !ok {
		return
	}
	refusal := e.after == refused
	if u, ok := x.(*ast.UnaryExpr); ok && u.Op == token.NOT {
		x, refusal = u.X, !refusal
	}
	switch x := x.(type) {
	case *ast.CallExpr:
		if !d.std[qualifier(x)] {
			to[callee(x)] = refusal
		}
	case *ast.Ident: // that was set by a call
		ast.Inspect(d.body, func(n ast.Node) bool {
			a, ok := n.(*ast.AssignStmt)
			if !ok || a.Pos() > x.Pos() {
				return true
			}
			v, isVar := a.Lhs[len(a.Lhs)-1].(*ast.Ident)
			if call, isCall := a.Rhs[0].(*ast.CallExpr); isVar && isCall && v.Name == x.Name && !d.std[qualifier(call)] {
				to[callee(call)] = refusal
			}
			return true
		})
	}
}

// check adds the conditions under which a function that says yes or no says
// refusal.
func (d *finder) check(refusal bool) {
	if d.results == nil || d.made.funcs[last(d.name)] {
		return
	}
	if t, ok := d.results.List[len(d.results.List)-1].Type.(*ast.Ident); !ok || t.Name != "bool" {
		return
	}
	d.answers(d.body.List, nil, refusal)
}

func (d *finder) answers(list []ast.Stmt, c *cond, refusal bool) {
	var before []ast.Expr
	for _, s := range list {
		switch s := s.(type) {
		case *ast.ReturnStmt:
			if len(s.Results) == 0 {
				break
			}
			e := s.Results[len(s.Results)-1]
			switch id, ok := e.(*ast.Ident); {
			case !ok || id.Name != "true" && id.Name != "false":
				d.take(&cond{exprs: []ast.Expr{e}, refuses: refusal})
			case (id.Name == "true") != refusal:
			case c != nil:
				d.take(c)
			default:
				for _, e := range before {
					d.take(&cond{exprs: []ast.Expr{e}})
				}
			}
		case *ast.IfStmt:
			d.answers(s.Body.List, &cond{exprs: []ast.Expr{s.Cond}, refuses: true}, refusal)
			if b, ok := s.Else.(*ast.BlockStmt); ok {
				d.answers(b.List, &cond{exprs: []ast.Expr{s.Cond}}, refusal)
			}
		case *ast.ForStmt:
			d.answers(s.Body.List, c, refusal)
		case *ast.RangeStmt:
			d.answers(s.Body.List, c, refusal)
		}
		before = append(before, leaves(s, d.made)...)
	}
}

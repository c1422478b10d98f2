package main

import (
	"go/ast"
	"go/token"
)

// leaves returns the conditions under which a statement leaves the list that it
// stands in without an error.
func leaves(s ast.Stmt, m *makers) (all []ast.Expr) {
	add := func(exprs []ast.Expr, body []ast.Stmt) {
		if len(body) == 0 || len(exprs) == 1 && (failed(exprs[0]) != "" || unset(exprs[0])) {
			return
		}
		switch end := body[len(body)-1].(type) {
		case *ast.ReturnStmt:
			if !m.stmt(end) {
				all = append(all, exprs...)
			}
		case *ast.BranchStmt:
			all = append(all, exprs...)
		}
	}
	switch s := s.(type) {
	case *ast.IfStmt:
		if s.Else == nil {
			add([]ast.Expr{s.Cond}, s.Body.List)
		}
	case *ast.SwitchStmt:
		for _, b := range s.Body.List {
			if b := b.(*ast.CaseClause); s.Tag == nil && b.List != nil {
				add(b.List, b.Body)
			}
		}
	case *ast.ForStmt:
		for _, s := range s.Body.List {
			all = append(all, leaves(s, m)...)
		}
	case *ast.RangeStmt:
		for _, s := range s.Body.List {
			all = append(all, leaves(s, m)...)
		}
	}
	return all
}

// parts returns the alternatives of a condition, each a rule of its own, but for
// those that pass on an error: a and b of `a || b` where it refuses, of `a && b`
// where it accepts.
func parts(e ast.Expr, refuses bool) []ast.Expr {
	switch x := e.(type) {
	case *ast.ParenExpr:
		return parts(x.X, refuses)
	case *ast.UnaryExpr:
		if _, ok := x.X.(*ast.ParenExpr); ok && x.Op == token.NOT {
			// Its operands are changed the other way round: not worth it.
			return []ast.Expr{e}
		}
	case *ast.BinaryExpr:
		if x.Op == token.LOR && refuses || x.Op == token.LAND && !refuses {
			return append(parts(x.X, refuses), parts(x.Y, refuses)...)
		}
		if x.Op == token.LAND && refuses && (alternatives(x.X) || alternatives(x.Y)) {
			var all []ast.Expr
			for _, side := range []ast.Expr{x.X, x.Y} {
				if alternatives(side) {
					all = append(all, parts(side, refuses)...)
				}
			}
			return all
		}
		if x.Op == token.LOR && !refuses {
			return append(parts(x.X, refuses), parts(x.Y, refuses)...)
		}
	}
	if refuses && failed(e) != "" {
		return nil
	}
	return []ast.Expr{e}
}

// alternatives reports whether an expression is of the form (a || b).
func alternatives(e ast.Expr) bool {
	switch x := e.(type) {
	case *ast.ParenExpr:
		return alternatives(x.X)
	case *ast.BinaryExpr:
		return x.Op == token.LOR || x.Op == token.LAND && (alternatives(x.X) || alternatives(x.Y))
	}
	return false
}

// failed returns the variable of the condition that another function failed, ""
// for other conditions.
func failed(e ast.Expr) string {
	b, ok := e.(*ast.BinaryExpr)
	if !ok || b.Op != token.NEQ || !isNil(b.Y) {
		return ""
	}
	switch x := b.X.(type) {
	case *ast.Ident:
		if x.Name == "e" || x.Name == "undo" || len(x.Name) >= 3 && x.Name[:3] == "err" {
			return x.Name
		}
	case *ast.SelectorExpr:
		if x.Sel.Name == "err" {
			return x.Sel.Name
		}
	}
	return ""
}

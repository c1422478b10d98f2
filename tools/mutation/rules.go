package main

import (
	"crypto/sha256"
	"fmt"
	"go/ast"
	"slices"
)

// Mutant is a file without one of its rules.
type Mutant struct {
	Package string // folder
	File    string // from the root of the module on
	Func    string
	Text    string // the condition that is gone
	Key     string // see [Mutants]
	Line    int
	Source  []byte
}

// Name says which rule it is, to people.
func (m *Mutant) Name() string { return fmt.Sprintf("%s %s: %s", m.Package, m.Func, m.Text) }

// Place is a line on which an error is made, and what leads there.
type Place struct {
	File      string
	From, To  int // lines
	Func, Why string
	None      bool // no rule does
}

// cond is a condition that decides whether an error is made.
type cond struct {
	exprs   []ast.Expr // none: that a case is reached, or a loop has something to go over
	refuses bool       // an error is made where it is true
	passes  bool       // it is that another function failed
	foreign bool       // it is that the standard library refused something
}

// finder collects the rules of a function.
type finder struct {
	*function
	edits []edit
	all   []Place
	inner int // how many closures deep
}

// edit is the text that takes a rule away.
type edit struct {
	node          ast.Node
	before, after string
}

// What makes a condition one that never refuses, or always accepts.
const (
	refused  = ") && false)"
	accepted = ") || true)"
)

// Mutants returns one for each rule of the packages, and all places where errors
// are made. The key of a rule is made of its function's text and its own, so
// that edits elsewhere leave it as it is.
func Mutants(packages []string) (all []*Mutant, places []Place, err error) {
	var funcs []*function
	for _, dir := range packages {
		more, err := parse(dir)
		if err != nil {
			return nil, nil, err
		}
		funcs = append(funcs, more...)
	}
	var found []*finder
	for _, f := range funcs {
		d := &finder{function: f}
		d.find()
		found = append(found, d)
	}
	asked := checksOf(found)
	for _, d := range found {
		if refusal, ok := asked[last(d.name)]; ok {
			d.check(refusal)
		}
		all = append(all, d.mutants()...)
		places = append(places, d.all...)
	}
	return all, places, nil
}

// mutants makes them of the edits.
func (d *finder) mutants() (all []*Mutant) {
	slices.SortStableFunc(d.edits, func(a, b edit) int { return int(a.node.Pos() - b.node.Pos()) })
	seen := make(map[string]int)
	last := edit{}
	for _, e := range d.edits {
		if e == last {
			continue
		}
		last = e
		from, to := d.offsets(e.node)
		m := &Mutant{Package: d.dir, File: d.source.name, Func: d.name, Text: short(d.at(e.node)), Line: d.set.Position(e.node.Pos()).Line}
		m.Source = slices.Concat(d.text[:from], []byte(e.before), d.text[from:to], []byte(e.after), d.text[to:])
		rule := d.at(e.node) + e.after
		m.Key = fmt.Sprintf("%s %s %s %s %d", d.dir, d.name, hash(d.printed), hash(rule), seen[rule])
		seen[rule]++
		all = append(all, m)
	}
	return all
}

// short cuts what would not fit a line of a table.
func short(s string) string {
	if len(s) > 100 {
		return s[:97] + "..."
	}
	return s
}

func hash(s string) string {
	sum := sha256.Sum256([]byte(s))
	return fmt.Sprintf("%x", sum[:6])
}

// find collects the conditions under which the function makes an error.
func (d *finder) find() {
	d.made = newMakers(d.made)
	// Closures that make errors, by the names that they are given.
	ast.Inspect(d.body, func(n ast.Node) bool {
		if a, ok := n.(*ast.AssignStmt); ok {
			for i, e := range a.Rhs {
				lit, ok := e.(*ast.FuncLit)
				if id, isVar := a.Lhs[i].(*ast.Ident); ok && isVar {
					d.made.function(id.Name, lit.Type.Results, lit.Body)
				}
			}
		}
		return true
	})
	d.list(d.body.List, nil, d.made.funcs[last(d.name)])
}

// list walks over statements that are reached under c; maker says that making
// errors is all that they are for.
func (d *finder) list(list []ast.Stmt, c *cond, maker bool) {
	var before []ast.Expr // conditions under which what follows is not reached
	for i, s := range list {
		if d.words(s) || d.made.stmt(s) {
			d.site(s, c, before, maker)
		}
		var init ast.Stmt
		if i > 0 {
			init = list[i-1]
		}
		d.stmt(s, init, c, maker)
		before = append(before, leaves(s, d.made)...)
	}
}

// words reports whether a statement returns words about what is wrong.
func (d *finder) words(s ast.Stmt) bool {
	r, ok := s.(*ast.ReturnStmt)
	if !ok || d.inner > 0 || len(r.Results) == 0 || !d.made.words[last(d.name)] {
		return false
	}
	switch e := r.Results[0].(type) {
	case *ast.BasicLit:
		return e.Value != `""`
	case *ast.Ident:
		return false
	}
	return true
}

// site notes a statement that makes an error under c.
func (d *finder) site(s ast.Stmt, c *cond, before []ast.Expr, maker bool) {
	switch {
	case c != nil && c.passes:
		d.place(s, "passes an error on", false)
		return
	case maker && c == nil:
		d.place(s, "all that the function is for: see its callers", false)
		return
	case c == nil && len(before) == 0:
		d.place(s, "always made here", true)
		return
	}
	d.place(s, "rule", false)
	if c != nil && len(c.exprs) == 0 {
		d.edits = append(d.edits, edit{s, "if false { ", " }"})
	} else if c != nil {
		d.take(c)
	}
	// What leads past the statement accepts what it refuses.
	for _, e := range before {
		d.take(&cond{exprs: []ast.Expr{e}})
	}
}

func (d *finder) place(n ast.Node, why string, none bool) {
	from, to := d.set.Position(n.Pos()).Line, d.set.Position(n.End()).Line
	d.all = append(d.all, Place{d.source.name, from, to, d.name, why, none})
}

// take adds the edits that take a condition away.
func (d *finder) take(c *cond) {
	for _, e := range c.exprs {
		alternatives := parts(e, c.refuses)
		if c.foreign {
			alternatives = c.exprs
		}
		for _, p := range alternatives {
			after := accepted
			if c.refuses {
				after = refused
			}
			d.edits = append(d.edits, edit{p, "((", after})
		}
	}
}

// stmt walks into a statement.
func (d *finder) stmt(s, before ast.Stmt, c *cond, maker bool) {
	d.closures(s)
	switch s := s.(type) {
	case *ast.IfStmt:
		if s.Init != nil {
			before = s.Init
			if d.made.stmt(s.Init) {
				d.site(s.Init, c, nil, maker)
			}
		}
		d.branch(s.Body.List, []ast.Expr{s.Cond}, true, before, c, maker)
		switch e := s.Else.(type) {
		case *ast.BlockStmt:
			d.branch(e.List, []ast.Expr{s.Cond}, false, before, c, maker)
		case ast.Stmt:
			d.stmt(e, before, c, maker)
		}
	case *ast.SwitchStmt:
		for _, b := range s.Body.List {
			b := b.(*ast.CaseClause)
			if s.Tag == nil && b.List != nil {
				d.branch(b.Body, b.List, true, before, c, maker)
			} else {
				d.clause(b.Body, c, maker)
			}
		}
	case *ast.TypeSwitchStmt:
		for _, b := range s.Body.List {
			d.clause(b.(*ast.CaseClause).Body, c, maker)
		}
	case *ast.ForStmt:
		d.loop(s.Body.List, c, maker)
	case *ast.RangeStmt:
		d.loop(s.Body.List, c, maker)
	case *ast.BlockStmt:
		d.list(s.List, c, maker)
	case *ast.LabeledStmt:
		d.stmt(s.Stmt, before, c, maker)
	}
}

// clause walks over a case that no condition of its own leads to: leaving out the
// statement that makes the error is what takes the rule away.
func (d *finder) clause(body []ast.Stmt, c *cond, maker bool) {
	for _, s := range body {
		if d.made.stmt(s) {
			d.site(s, &cond{}, nil, maker)
		}
		d.stmt(s, nil, c, maker)
	}
}

// loop walks over what is reached again and again.
func (d *finder) loop(body []ast.Stmt, c *cond, maker bool) {
	if c == nil && !maker {
		c = &cond{}
	}
	d.list(body, c, maker)
}

// branch walks over what is reached under a condition.
func (d *finder) branch(body []ast.Stmt, exprs []ast.Expr, refuses bool, before ast.Stmt, c *cond, maker bool) {
	own := &cond{exprs: exprs, refuses: refuses}
	if len(exprs) == 1 {
		switch {
		case refuses && unset(exprs[0]):
			own = c // no condition but that there is no other error
		case failed(exprs[0]) != "":
			v := failed(exprs[0])
			// What the standard library refuses is a rule of ours where nothing
			// else looks.
			own.foreign = refuses && d.fromLibrary(before, v)
			own.passes = refuses && !own.foreign
		}
	}
	d.list(body, own, maker && own == nil)
}

// fromLibrary reports whether a variable was set by a call of the standard library.
func (d *finder) fromLibrary(s ast.Stmt, v string) bool {
	a, ok := s.(*ast.AssignStmt)
	if !ok {
		return false
	}
	to, ok := a.Lhs[len(a.Lhs)-1].(*ast.Ident)
	call, isCall := a.Rhs[0].(*ast.CallExpr)
	if !ok || !isCall || to.Name != v {
		return false
	}
	from := qualifier(call)
	return d.std[from] && from != "errors" && from != "fmt"
}

// closures walks over the closures in a statement, but not those of statements in it.
func (d *finder) closures(s ast.Stmt) {
	name := ""
	if a, ok := s.(*ast.AssignStmt); ok {
		if id, ok := a.Lhs[0].(*ast.Ident); ok {
			name = id.Name
		}
	}
	ast.Inspect(s, func(n ast.Node) bool {
		switch n := n.(type) {
		case *ast.BlockStmt:
			return false
		case *ast.FuncLit:
			d.inner++
			d.list(n.Body.List, nil, d.made.funcs[name])
			d.inner--
			return false
		}
		return true
	})
}

package main

import (
	"fmt"
	"slices"
	"strings"
	"time"
)

// redundant are rules that cannot be missed, by their names: each says why. They
// stay, because whoever changes the other code needs them.
var redundant = map[string]string{
	"board/record Decode: err != nil":                                 "the page has the size of the structure, and nothing else can fail",
	`boot/payload decoder.skip: return d.fail("true, false or null")`: "no number begins with t, f or n, so the next line refuses it too; this one says what is wanted",
}

// outcomes of a mutant, the columns of the table.
const (
	own = iota
	other
	hangs
	unreachable
	survives
	open
	columns
)

func outcome(m *Mutant, r Result) int {
	switch {
	case r.Hangs:
		return hangs
	case r.Killed == m.Package:
		return own
	case r.Killed != "":
		return other
	case redundant[m.Name()] != "":
		return unreachable
	case r.Stage < stages:
		return open
	}
	return survives
}

// survivors prints what was not noticed and returns how many there are.
func survivors(all []*Mutant, results map[string]Result) (n int) {
	names := make(map[string]bool)
	for _, m := range all {
		names[m.Name()] = true
		if o := outcome(m, results[m.Key]); o == survives || o == open {
			fmt.Printf("survives stage %d: %s:%d %s\n", results[m.Key].Stage, m.File, m.Line, m.Name())
			n++
		}
	}
	for name := range redundant {
		if pkg, _, _ := strings.Cut(name, " "); !names[name] && slices.ContainsFunc(all, func(m *Mutant) bool { return m.Package == pkg }) {
			fmt.Printf("no such rule any more: %s\n", name)
			n++
		}
	}
	return n
}

// section is the part of the page.
func section(all []*Mutant, s State, now time.Time) string {
	counts := make(map[string]*[columns]int)
	var order, lines, kept []string
	var sum [columns]int
	older := 0
	for _, m := range all {
		c := counts[m.Package]
		if c == nil {
			c = new([columns]int)
			counts[m.Package] = c
			order = append(order, m.Package)
		}
		r := s.Results[m.Key]
		o := outcome(m, r)
		c[o]++
		sum[o]++
		if r.Commit != "" && r.Commit != s.Commit {
			older++
		}
		switch o {
		case unreachable:
			kept = append(kept, fmt.Sprintf("* `%s`: %s", m.Name(), redundant[m.Name()]))
		case survives:
			lines = append(lines, fmt.Sprintf("* `%s`", m.Name()))
		case open:
			lines = append(lines, fmt.Sprintf("* `%s`, after stage %d of %d", m.Name(), r.Stage, stages))
		}
	}
	var b strings.Builder
	fmt.Fprintf(&b, "%s, `make attack-mutation` at commit %s: each rule of the audit taken away in turn, %d of them: every condition under which a function of these\n"+
		"packages makes an error of its own, whether it returns, assigns or reports it, and what the functions that such a condition asks answer by. Some\n"+
		"test has to fail or panic: of the package itself, or of the whole crossing (packages crossing and attack). Tests that do not end within a minute\n"+
		"are counted apart. Results stay as long as the text of their function does: %d are of commits before.\n\n", now.Format(time.DateOnly), s.Commit, len(all), older)
	b.WriteString("| package | rules | noticed by its own tests | by those of the crossing | tests hang | unreachable | survivors | not yet tried with all tests |\n| --- | --- | --- | --- | --- | --- | --- | --- |\n")
	row := func(name string, c *[columns]int) {
		n := 0
		for _, v := range c {
			n += v
		}
		fmt.Fprintf(&b, "| %s | %d | %d | %d | %d | %d | %d | %d |\n", name, n, c[own], c[other], c[hangs], c[unreachable], c[survives], c[open])
	}
	for _, p := range order {
		row(p, counts[p])
	}
	row("all", &sum)
	if len(kept) > 0 {
		b.WriteString("\nRules that cannot be missed:\n\n" + strings.Join(kept, "\n") + "\n")
	}
	if len(lines) > 0 {
		b.WriteString("\nSurvivors, and what was not yet tried with all tests (stage 1: those of the package, 2: those of the crossing):\n\n" + strings.Join(lines, "\n") + "\n")
	}
	return b.String()
}

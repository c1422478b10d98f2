package main

import (
	"fmt"
	"strings"
	"time"
)

// redundant are rules that another one makes unreachable: each says which. They
// stay, because whoever changes the other one needs them.
var redundant = map[string]string{
	"blockset/check.go:Checker.sound#2": "a naturally aligned block that wraps ends at address 0, and no RAM begins before and ends there",
	"kho/draft.go:Draft.Preserve#3":     "the same",
}

// report prints the survivors and returns how many there are.
func report(all []*Mutant, results map[string]Result) (survivors int) {
	for _, m := range all {
		if r := results[m.Name()]; r.Killed == "" && redundant[m.Name()] == "" {
			fmt.Printf("survives: %s: %s\n", m.Name(), m.Text)
			survivors++
		}
	}
	return survivors
}

// section is the part of the page.
func section(all []*Mutant, results map[string]Result, now time.Time) string {
	type count struct{ rules, own, other, redundant, survive, open int }
	counts := make(map[string]*count)
	var order, open, kept []string
	var sum count
	for _, m := range all {
		c := counts[m.Package]
		if c == nil {
			c = new(count)
			counts[m.Package] = c
			order = append(order, m.Package)
		}
		for _, c := range []*count{c, &sum} {
			c.rules++
			switch r := results[m.Name()]; {
			case r.Killed == m.Package:
				c.own++
			case r.Killed != "":
				c.other++
			case redundant[m.Name()] != "":
				c.redundant++
			case r.Stage < stages:
				c.open++
			default:
				c.survive++
			}
		}
		if r := results[m.Name()]; r.Killed == "" && redundant[m.Name()] != "" {
			kept = append(kept, fmt.Sprintf("* `%s`, `%s`: %s", m.Name(), m.Text, redundant[m.Name()]))
		} else if r.Killed == "" {
			what := ""
			if r.Stage < stages {
				what = fmt.Sprintf(", after stage %d of %d", r.Stage, stages)
			}
			open = append(open, fmt.Sprintf("* `%s`, `%s`%s", m.Name(), m.Text, what))
		}
	}
	var b strings.Builder
	fmt.Fprintf(&b, "%s, `make attack-mutation`: each rule of the audit taken away in turn, %d of them: every condition under which a function of these\n"+
		"packages makes an error of its own. Some test has to fail: of the package itself, or of the whole crossing (packages crossing and attack).\n\n", now.Format(time.DateOnly), sum.rules)
	b.WriteString("| package | rules | noticed by its own tests | by those of the crossing | unreachable | survivors | not yet tried with all tests |\n| --- | --- | --- | --- | --- | --- | --- |\n")
	for _, p := range order {
		c := counts[p]
		fmt.Fprintf(&b, "| %s | %d | %d | %d | %d | %d | %d |\n", p, c.rules, c.own, c.other, c.redundant, c.survive, c.open)
	}
	fmt.Fprintf(&b, "| all | %d | %d | %d | %d | %d | %d |\n", sum.rules, sum.own, sum.other, sum.redundant, sum.survive, sum.open)
	if len(kept) > 0 {
		b.WriteString("\nRules that others make unreachable:\n\n" + strings.Join(kept, "\n") + "\n")
	}
	if len(open) > 0 {
		b.WriteString("\nSurvivors, and what was not yet tried with all tests (stage 1: tests of refusals, 2: all of the package, 3: those of the crossing):\n\n" + strings.Join(open, "\n") + "\n")
	}
	return b.String()
}

package main

import (
	"errors"
	"fmt"
	"strings"
)

// The answers of a check.
const (
	isFine    = "yes"
	isWrong   = "no"
	isUnknown = "unknown"
)

// A finding is what a check found: one line of ferry check.
type finding struct {
	Check    string   `json:"check"`
	Is       string   `json:"is"`    // yes, no or unknown
	Found    string   `json:"found"` // in words
	Lost     string   `json:"lost,omitempty"`
	Fix      string   `json:"fix,omitempty"`
	Forced   bool     `json:"forced,omitempty"` // the operator overruled it
	Warnings []string `json:"warnings,omitempty"`
}

// A skipped check is one that found out nothing, and says why. It does not speak against a load.
type skipped struct {
	why string
	do  string // what would make it known; may be empty
}

func (s *skipped) Error() string { return s.why }

// An unsure error is that of a check that found out nothing without which a load cannot go on.
type unsure struct{ err error }

func (u *unsure) Error() string { return u.err.Error() }
func (u *unsure) Unwrap() error { return u.err }

// all goes through the checks and returns what each found, and what speaks against the load.
func (k *check) all(steps []step) (findings []finding, against []error) {
	for _, s := range steps {
		doubts, warnings := len(k.review.doubts), len(k.review.warnings)
		found, err := s.run(k)
		f := finding{Check: s.name, Is: isFine, Found: found}
		var no *skipped
		var maybe *unsure
		if errors.As(err, &no) {
			f.Is, f.Found, f.Fix = isUnknown, no.why, no.do
		} else if err != nil {
			if f.Is = isWrong; errors.As(err, &maybe) {
				f.Is = isUnknown
			}
			f.Found, f.Fix = parts(err)
			against = append(against, in(s.class, err))
		}
		var all []finding
		if err != nil || len(k.review.doubts) == doubts {
			all = append(all, f)
		}
		for _, err := range k.review.doubts[doubts:] {
			f := finding{Check: s.name, Is: isWrong, Found: err.Error(), Forced: k.review.forced}
			var d *doubt
			if errors.As(err, &d) {
				f.Found, f.Lost, f.Fix = d.what, d.lost, d.do
			}
			all = append(all, f)
			if !k.review.forced {
				against = append(against, &classed{s.class, err})
			}
		}
		all[0].Warnings = k.review.warnings[warnings:]
		findings = append(findings, all...)
	}
	return findings, against
}

// parts returns what an error says is wrong, and what to do.
func parts(err error) (what, do string) {
	what = err.Error()
	var p *problem
	if errors.As(err, &p) {
		what, do = strings.Replace(what, " ("+p.do+")", "", 1), p.do
	}
	return what, do
}

// String is the line of a finding, and one for each warning.
func (f finding) String() string {
	var b strings.Builder
	fmt.Fprintf(&b, "%-7s  %-29s  %s", f.Is, f.Check, f.Found)
	if f.Lost != "" {
		b.WriteString("; that way " + f.Lost)
	}
	if f.Fix != "" {
		b.WriteString("; do: " + f.Fix)
	}
	if f.Forced {
		b.WriteString("; overruled by --force")
	}
	for _, w := range f.Warnings {
		fmt.Fprintf(&b, "\n%-7s  %-29s  warning: %s", "", "", w)
	}
	return b.String()
}

package main

import (
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
)

// sample has a rule of every form, and what is none.
const sample = `package sample

import (
	"errors"
	"fmt"
	"strconv"
)

var ErrOdd = errors.New("odd")

type Error struct{ Found string }

func (e *Error) Error() string { return e.Found }

func fault(found string) *Error { return &Error{found} }

func returned(n int) error {
	if n == 1 || n == 2 {
		return fmt.Errorf("found")
	}
	return nil
}

func assigned(n int) (err error) {
	if err = returned(n); err == nil && n == 3 {
		err = fault("found")
	}
	return err
}

func added(n int, list []error) []error {
	switch {
	case n == 4:
		list = append(list, ErrOdd)
	case n == 5:
	}
	return list
}

func closure(n int) error {
	bad := func(found string) error { return fault(found) }
	if n == 6 {
		return bad("found")
	}
	return nil
}

func words(n int) string {
	if n == 7 {
		return "found"
	}
	return ""
}

func worded(n int) error {
	if found := words(n); found != "" {
		return fault(found)
	}
	return nil
}

func accepting(n int) error {
	if n == 8 && n < 9 {
		return nil
	}
	return fault("found")
}

func otherwise(n int) error {
	if n == 10 {
		n++
	} else {
		return fault("found")
	}
	return nil
}

func even(n int) bool {
	if n == 11 {
		return true
	}
	return n%2 == 0
}

func asking(n int) error {
	if !even(n) {
		return ErrOdd
	}
	return nil
}

func library(s string) error {
	if _, err := strconv.Atoi(s); err != nil {
		return fault("found")
	}
	return nil
}

func tagged(n int) error {
	switch n {
	case 12:
		return ErrOdd
	}
	return nil
}

func passes(n int) error {
	if err := returned(n); err != nil {
		return fmt.Errorf("while it passes: %w", err)
	}
	return nil
}

func none(n int) int {
	if n == 13 {
		return 1
	}
	return 2
}
`

func rulesOf(t *testing.T, text string) (all []*Mutant, places []Place) {
	t.Helper()
	dir := t.TempDir()
	if err := os.WriteFile(filepath.Join(dir, "sample.go"), []byte(text), 0o644); err != nil {
		t.Fatal(err)
	}
	all, places, err := Mutants([]string{dir})
	if err != nil {
		t.Fatal(err)
	}
	for _, m := range all {
		m.Key = strings.TrimPrefix(m.Key, dir+" ")
	}
	return all, places
}

func TestRulesOfEveryFormAreFound(t *testing.T) {
	want := []string{
		"returned: n == 1", "returned: n == 2", "assigned: err == nil && n == 3", "added: n == 4", "closure: n == 6",
		"words: n == 7", `worded: found != ""`, "accepting: n == 8", "accepting: n < 9", "otherwise: n == 10",
		"even: n%2 == 0", "asking: !even(n)", "library: err != nil", "tagged: return ErrOdd",
	}
	all, places := rulesOf(t, sample)
	var got []string
	for _, m := range all {
		got = append(got, m.Func+": "+m.Text)
	}
	if !slices.Equal(got, want) {
		t.Errorf("%q\nwant %q", got, want)
	}
	for _, p := range places {
		if p.None {
			t.Errorf("line %d of %s: %s", p.From, p.Func, p.Why)
		}
	}
}

func TestARuleIsGoneInItsMutant(t *testing.T) {
	all, _ := rulesOf(t, sample)
	for i, want := range map[int]string{0: "if ((n == 1) && false) || n == 2 {", 7: "if ((n == 8) || true) && n < 9 {", 13: "if false { return ErrOdd }"} {
		if !strings.Contains(string(all[i].Source), want) {
			t.Errorf("%s: no %q", all[i].Name(), want)
		}
	}
}

// TestKeysFollowTheRule: not its place, nor what else the file has.
func TestKeysFollowTheRule(t *testing.T) {
	keys := func(text string) (k []string) {
		all, _ := rulesOf(t, text)
		for _, m := range all {
			k = append(k, m.Key)
		}
		return k
	}
	before := keys(sample)
	after := keys(strings.Replace(sample, "func returned", "// A remark.\nfunc first(n int) error {\n\tif n == 0 {\n\t\treturn ErrOdd\n\t}\n\treturn nil\n}\n\nfunc returned", 1))
	if len(after) != len(before)+1 || !slices.Equal(after[1:], before) {
		t.Errorf("a rule more changes the others:\n%q\n%q", before, after)
	}
	changed := keys(strings.Replace(sample, "n == 8", "n == 88", 1))
	for i := range before {
		if same := before[i] == changed[i]; same == (i == 7 || i == 8) {
			t.Errorf("%q became %q", before[i], changed[i])
		}
	}
	seen := make(map[string]bool)
	for _, k := range before {
		if seen[k] {
			t.Errorf("%q twice", k)
		}
		seen[k] = true
	}
}

func TestOnlyFailedTestsAndPanicsCount(t *testing.T) {
	for out, want := range map[string]string{
		"--- FAIL: TestX (0.00s)\n    x_test.go:1: bad\nFAIL\n": "TestX",
		"panic: runtime error: index\n":                         "panic: runtime error: index",
		"fatal error: stack overflow\n":                         "fatal error: stack overflow",
		"no space left on device\nFAIL\n":                       "",
	} {
		if got := first(out); got != want {
			t.Errorf("%q: %q, want %q", out, got, want)
		}
	}
}

//go:build linux && !metal

package attack

import (
	"fmt"
	"sync"
	"testing"
)

// Tally counts verdicts.
type Tally struct {
	mu      sync.Mutex
	Runs    [verdicts]int64
	Roles   map[string]*[verdicts]int64
	Kinds   map[string]int64 // what was carried
	Defects map[string]*Finding
}

// Finding is a class of defects.
type Finding struct {
	Runs    int64
	Example string
}

// NewTally returns an empty one.
func NewTally() *Tally {
	return &Tally{Roles: make(map[string]*[verdicts]int64), Kinds: make(map[string]int64), Defects: make(map[string]*Finding)}
}

// Add counts one run. where is printed as the example of a new class of defects.
func (t *Tally) Add(role string, v Verdict, what, where string, log []byte) {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.Runs[v]++
	if t.Roles[role] == nil {
		t.Roles[role] = new([verdicts]int64)
	}
	t.Roles[role][v]++
	switch v {
	case Carried:
		t.Kinds[what]++
	case Defect:
		class := role + ": " + number.ReplaceAllString(what, "0x..")
		f := t.Defects[class]
		if f == nil {
			f = &Finding{Example: where + ": " + what + "\n" + string(log)}
			t.Defects[class] = f
		}
		f.Runs++
	}
}

// Total returns the number of runs.
func (t *Tally) Total() (n int64) {
	for _, r := range t.Runs {
		n += r
	}
	return n
}

// Report fails the test where there are defects, and says of what kinds.
func (t *Tally) Report(tb testing.TB, name string) {
	tb.Helper()
	for class, f := range t.Defects {
		tb.Errorf("%s: %d runs: %s\n%s", name, f.Runs, class, f.Example)
	}
	tb.Log(name, fmt.Sprint(t.Runs), t.Kinds)
	for role, r := range t.Roles {
		tb.Log(name, role, *r)
	}
}

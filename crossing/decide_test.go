package crossing

import (
	"errors"
	"fmt"
	"slices"
	"strings"
	"testing"

	"ferry/kho"
	"ferry/luo"
	"ferry/memfd"
)

// TestPlans decides without any memory: what comes in, who reads it next, and what is
// to be written.
func TestPlans(t *testing.T) {
	limit := errors.New("beyond the limit")
	metadata, memblock := kho.Subtree{Name: kho.MetadataName}, kho.Subtree{Name: kho.ReservedName}
	of := func(generation string, change ...func(*Contents)) Contents {
		g := ByName(generation)
		c := Contents{KHO: g.KHO, Fits: []*kho.Format{g.KHO}, LUO: g.LUO, Absent: g.LUO == nil, Subtrees: []kho.Subtree{memblock}}
		if g.Metadata {
			c.Subtrees = append(c.Subtrees, metadata)
		}
		if g.Memfd != nil {
			c.Sessions, c.Files, c.Memfds = 1, 2, []*memfd.Format{g.Memfd}
		}
		for _, f := range change {
			f(&c)
		}
		return c
	}
	writtenBy := func(name string) producer { return producer{said: name, by: "a test", gen: ByName(name)} }
	for name, tt := range map[string]struct {
		in      Contents
		next    string // generation; empty: unknown
		from    producer
		beyond  bool
		rewrite bool
		drop    []string
		notes   []string // the start of each
		wrong   string   // in the error; empty: there is a plan
	}{
		"the same again":                     {in: of("F"), next: "F"},
		"to nobody knows whom":               {in: of("F")},
		"unset folios, to nobody knows whom": {in: of("F", func(c *Contents) { c.Unset = 3 }), rewrite: true, notes: []string{"repaired: 3 folios"}},
		"damaged files":                      {in: of("F", func(c *Contents) { c.Damaged = true }), next: "F", rewrite: true},
		"7.3 to 7.0": {in: of("F"), next: "D", rewrite: true, drop: []string{kho.MetadataName},
			notes: []string{`sub-tree "kexec-metadata" is left out`, "memfds arrive sealed"}},
		"7.0 to 7.3":            {in: of("D"), next: "F", rewrite: true, notes: []string{"memfds came without a record of seals"}},
		"7.1 to 7.3, no files":  {in: of("E", func(c *Contents) { c.Memfds, c.Files = nil, 0 }), next: "F"},
		"6.17 to 7.3":           {in: of("A"), next: "F"},
		"7.3 to 6.18":           {in: of("F"), next: "B", rewrite: true, drop: []string{kho.MetadataName}, notes: []string{"sub-tree"}},
		"sessions for none":     {in: of("F", func(c *Contents) { c.Limit = refuse(limit, nil) }), next: "B", wrong: "beyond the limit"},
		"more than it writes":   {in: of("F", func(c *Contents) { c.Limit = refuse(limit, luo.V1FLB) }), next: "E", wrong: "beyond the limit"},
		"but somebody chose it": {in: of("F", func(c *Contents) { c.Limit = refuse(limit, luo.V1FLB) }), next: "E", beyond: true, drop: nil, rewrite: false},
		"FLBs for a kernel that has none": {in: of("D", func(c *Contents) { c.FLBs = []string{"flb"} }), next: "C",
			notes: []string{`FLB "flb" is left out`}},
		"no list of FLBs": {in: of("C", func(c *Contents) { c.NoFLBs = true }), next: "D",
			notes: []string{"repaired: the state came without a list of FLBs", "a kernel that has FLBs of its own"}},
		"both lists, and nobody says which": {in: of("B", func(c *Contents) { c.Fits = []*kho.Format{kho.V1, kho.V1Small} }), wrong: "nobody says which"},
		"both lists, as its producer says":  {in: of("B", func(c *Contents) { c.Fits = []*kho.Format{kho.V1, kho.V1Small} }), from: writtenBy("A")},
		"both lists, for a known kernel":    {in: of("B", func(c *Contents) { c.Fits = []*kho.Format{kho.V1, kho.V1Small} }), next: "F"},
		"as its producer says":              {in: of("E"), next: "F", from: writtenBy("E")},
		"not as its producer says":          {in: of("E"), next: "F", from: writtenBy("F"), wrong: "generation F, but is in kho-v3"},
		"the name of another": {in: of("F", func(c *Contents) { c.Release = "7.1.13" }), next: "F",
			from: producer{said: "7.3.4", by: "a test", gen: ByName("F"), release: true}, wrong: `names Linux "7.1.13" itself`},
	} {
		t.Run(name, func(t *testing.T) {
			if tt.in.Limit == nil {
				tt.in.Limit = refuse(nil, nil)
			}
			p, err := decide(&tt.in, ByName(tt.next), tt.from, tt.beyond)
			if tt.wrong != "" {
				if err == nil || !strings.Contains(err.Error(), tt.wrong) || p != nil {
					t.Fatalf("got %+v, %v, want an error about %q", p, err, tt.wrong)
				}
				return
			}
			if err != nil {
				t.Fatal(err)
			}
			want := Generation{KHO: tt.in.KHO, LUO: tt.in.LUO}
			if g := ByName(tt.next); g != nil {
				want = *g
			}
			if p.KHO != want.KHO || p.LUO != want.LUO || p.Memfd != want.Memfd || p.Rewrite != tt.rewrite || p.Beyond != tt.beyond {
				t.Errorf("got %+v, want %v, rewrite %v", p, want.Strings(), tt.rewrite)
			}
			var drop []string
			for _, s := range p.Drop {
				drop = append(drop, s.Name)
			}
			if !slices.Equal(drop, tt.drop) {
				t.Errorf("drops %q, want %q", drop, tt.drop)
			}
			if len(p.Notes) != len(tt.notes) {
				t.Fatalf("notes %q, want %q", p.Notes, tt.notes)
			}
			for i, n := range p.Notes {
				if !strings.HasPrefix(n, tt.notes[i]) {
					t.Errorf("note %q, want %q", n, tt.notes[i])
				}
			}
		})
	}
}

// refuse returns a limit that a state exceeds in the format f, unless its readers take it.
func refuse(err error, f *luo.Format) func(*luo.Format, bool, string) error {
	return func(to *luo.Format, beyond bool, _ string) error {
		if err == nil || beyond || to != f {
			return nil
		}
		return err
	}
}

// TestTransitions holds the whole table: nothing but a kernel that is ready, and reads
// what it is handed, follows a failure.
func TestTransitions(t *testing.T) {
	var got []string
	for _, policy := range []Outcome{OnErrorRollback, OnErrorPass, OnErrorCold, OnErrorHalt} {
		for _, kernel := range []readiness{unplaced, unnecessary, ready, unreading} {
			if how := transitions[situation{policy, kernel}]; how != halted {
				got = append(got, fmt.Sprintf("%s %d: %s", policy, kernel, endings[how].kernel))
			}
		}
	}
	want := []string{
		"rollback 2: the rollback kernel with the untouched handover",
		"pass 2: the next kernel with the untouched handover",
		"cold 1: the next kernel without the handover",
		"cold 2: the next kernel without the handover",
	}
	if !slices.Equal(got, want) || len(transitions) != len(want) {
		t.Errorf("got %q, want %q", got, want)
	}
}

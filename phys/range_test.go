package phys_test

import (
	"math/rand/v2"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"

	"ferry/phys"
)

const space = 64 // addresses of the model

// model is a set of addresses, one bool each.
type model [space]bool

func (m *model) set(r phys.Range, v bool) {
	for a := r.Start; a < r.End; a++ {
		m[a] = v
	}
}

// ranges returns what a [phys.Ranges] of the same addresses looks like.
func (m *model) ranges() phys.Ranges {
	var out phys.Ranges
	for a := range phys.Addr(space) {
		if !m[a] {
			continue
		}
		if n := len(out); n > 0 && out[n-1].End == a {
			out[n-1].End++
		} else {
			out = append(out, phys.Range{Start: a, End: a + 1})
		}
	}
	return out
}

func someRanges(r *rand.Rand) []phys.Range {
	rs := make([]phys.Range, r.IntN(6))
	for i := range rs {
		rs[i].Start = phys.Addr(r.IntN(space))
		rs[i].End = phys.Addr(r.IntN(space + 1)) // before Start at times: empty
	}
	return rs
}

func TestRangesAreASetOfAddresses(t *testing.T) {
	for seed := range uint64(500) {
		r := rand.New(rand.NewPCG(seed, 3))
		var m model
		in, add, sub := someRanges(r), someRanges(r), someRanges(r)
		s := phys.NewRanges(in...)
		check := func(what string, got phys.Ranges, rs []phys.Range, v bool) {
			t.Helper()
			for _, r := range rs {
				m.set(r, v)
			}
			if diff := cmp.Diff(m.ranges(), got, cmpopts.EquateEmpty()); diff != "" {
				t.Fatalf("seed %d: %s %v to %v (-want +got):\n%s", seed, what, rs, in, diff)
			}
		}
		check("NewRanges", s, in, true)
		before := append(phys.Ranges(nil), s...)
		var size uint64
		for _, set := range m {
			if set {
				size++
			}
		}
		if s.Size() != size {
			t.Fatalf("seed %d: size %d, want %d", seed, s.Size(), size)
		}
		for range 20 {
			q := phys.Range{Start: phys.Addr(r.IntN(space - 1))}
			q.End = q.Start + 1 + phys.Addr(r.IntN(space-int(q.Start)))
			all, any := true, false
			for a := q.Start; a < q.End; a++ {
				inside := a < space && m[a]
				all, any = all && inside, any || inside
			}
			if got := s.Contains(q); got != all {
				t.Fatalf("seed %d: %v contains %v: %v", seed, s, q, got)
			}
			hit, got := s.Overlaps(q)
			if got != any || got && !hit.Overlaps(q) {
				t.Fatalf("seed %d: %v overlaps %v: %v, %v", seed, s, q, hit, got)
			}
			if i := s.Index(q.Start); i < len(s) && s[i].End <= q.Start || i > 0 && s[i-1].End > q.Start {
				t.Fatalf("seed %d: index of %v in %v: %d", seed, q.Start, s, i)
			}
		}
		check("add", s.Add(add...), add, true)
		check("subtract", s.Add(add...).Sub(sub...), sub, false)
		if diff := cmp.Diff(before, s, cmpopts.EquateEmpty()); diff != "" {
			t.Fatalf("seed %d: the set itself changed (-before +after):\n%s", seed, diff)
		}
	}
}

func TestEmptyRangesAreInNoSet(t *testing.T) {
	var none phys.Ranges
	if none.Contains(phys.Range{}) || none.Size() != 0 || none.Index(0) != 0 {
		t.Error("the empty set holds something")
	}
	s := phys.NewRanges(phys.Range{Start: 10, End: 20})
	if !s.Contains(phys.Range{Start: 10, End: 10}) || s.Contains(phys.Range{Start: 20, End: 20}) {
		t.Error("an empty range is not contained where its start is, or is beyond the end")
	}
	if _, hit := s.Overlaps(phys.Range{Start: 15, End: 15}); hit {
		t.Error("an empty range overlaps")
	}
}

func TestRangesReachTheEndOfTheAddressSpace(t *testing.T) {
	top := phys.Range{Start: ^phys.Addr(0) - 4095, End: ^phys.Addr(0)}
	s := phys.NewRanges(top, phys.Range{Start: 0, End: 4096})
	if !s.Contains(top) || s.Size() != 4095+4096 || len(s.Sub(top)) != 1 {
		t.Errorf("%v", s)
	}
	for _, c := range []struct {
		a  phys.Addr
		n  uint64
		ok bool
	}{
		{0, 0, true}, {0, ^uint64(0), true}, {1, ^uint64(0), false}, {^phys.Addr(0), 1, false}, {^phys.Addr(0), 0, true}, {4096, ^uint64(0) - 4095, false},
	} {
		if r, ok := phys.Span(c.a, c.n); ok != c.ok || ok && r.Size() != c.n {
			t.Errorf("Span(%v, %#x) = %v, %v", c.a, c.n, r, ok)
		}
	}
}

func TestRangesPrintWithInclusiveEnds(t *testing.T) {
	for want, r := range map[string]phys.Range{
		"[0x1000-0x1fff]": {Start: 0x1000, End: 0x2000},
		"[0x1000, empty]": {Start: 0x1000, End: 0x1000},
	} {
		if got := r.String(); got != want {
			t.Errorf("%q, want %q", got, want)
		}
	}
}

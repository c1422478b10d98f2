package kho_test

import (
	"bytes"
	"fmt"
	"maps"
	"slices"
	"testing"

	"github.com/google/go-cmp/cmp"

	"ferry/kho"
	"ferry/kho/khotest"
	"ferry/phys"
)

// generation is a handover of which the format is known, and what is to be
// found in it.
type generation struct {
	letter   string
	format   *kho.Format
	subtrees []string
}

var generations = []generation{
	{"A", kho.V1Small, []string{"memblock"}},
	{"B", kho.V1, []string{"memblock"}},
	{"C", kho.V1, []string{"memblock", "LUO"}},
	{"D", kho.V1, []string{"memblock", "LUO"}},
	{"E", kho.V3, []string{"memblock", "LUO", "kexec-metadata"}},
	{"E'", kho.V3, []string{"memblock", "LUO", "kexec-metadata"}},
	{"F", kho.V4, []string{"memblock", "LUO", "kexec-metadata"}},
}

func (g generation) open(tb testing.TB, hint *kho.Format) (*khotest.Vector, *kho.Handover) {
	tb.Helper()
	v := khotest.Generation(tb, g.letter)
	h, err := kho.Open(v.Memory, v.Data, hint)
	if err != nil {
		tb.Fatalf("generation %s: %v", g.letter, err)
	}
	return v, h
}

// names returns what sub-trees are called, where they lie and how large they are.
func names(h *kho.Handover) map[string]string {
	m := make(map[string]string)
	for _, s := range h.Subtrees() {
		m[s.Name] = fmt.Sprintf("%v %d %v", s.Data, s.Size, s.FDT)
	}
	return m
}

func TestEveryGenerationIsReadAsTheOracleSays(t *testing.T) {
	for _, g := range generations {
		t.Run(g.letter, func(t *testing.T) {
			v, h := g.open(t, g.format)
			if h.Format() != g.format {
				t.Errorf("format %v, want %v", h.Format(), g.format)
			}
			want := make(map[phys.Block]bool)
			for _, b := range v.Blocks {
				want[b.Block] = true
			}
			if diff := cmp.Diff(want, members(t, h.Map())); diff != "" {
				t.Errorf("preserved blocks (-oracle +read):\n%s", diff)
			}
			if got := slices.Sorted(maps.Keys(names(h))); !slices.Equal(got, slices.Sorted(slices.Values(g.subtrees))) {
				t.Errorf("sub-trees %q, want %q", got, g.subtrees)
			}
			var nodes []phys.PFN // pages of structure that are neither preserved nor in scratch
			for _, a := range v.Pages {
				_, scratch := h.Scratch().Overlaps(phys.Block{Addr: a}.Range())
				if _, preserved := h.Map().Find(a); !scratch && !preserved {
					nodes = append(nodes, a.PFN())
				}
			}
			if diff := cmp.Diff(nodes, h.Map().Nodes()); diff != "" {
				t.Errorf("nodes (-pages that are left +read):\n%s", diff)
			}
			regions, err := h.Reserved()
			if err != nil || len(regions) != 1 || regions[0].Name != "foo" {
				t.Errorf("reserved memory %v, %v", regions, err)
			}
			if m, ok, err := h.Metadata(); err != nil || ok != (len(g.subtrees) == 3) || ok && m.Count != 1 {
				t.Errorf("metadata %+v %v %v", m, ok, err)
			}
		})
	}
}

// cross writes h as f and reads that again, with what f cannot hold left out.
func cross(tb testing.TB, h *kho.Handover, f *kho.Format) (*kho.Handover, kho.Stats) {
	tb.Helper()
	d, err := h.Draft(f, nil)
	if err != nil {
		tb.Fatal(err)
	}
	for _, s := range h.Subtrees() {
		if f.MaxRestore() == 10 && f != kho.V1 && s.Name == "LUO" || f.MaxRestore() == 10 && !s.FDT {
			d.DropSubtree(s.Name)
		}
	}
	data, err := d.Commit()
	if err != nil {
		tb.Fatalf("%v to %v: %v", h.Format(), f, err)
	}
	next, err := kho.Open(h.Memory(), data, f)
	if err != nil {
		tb.Fatalf("%v to %v, read again: %v", h.Format(), f, err)
	}
	if next.Format() != f || d.Format() != f {
		tb.Fatalf("%v to %v: read as %v", h.Format(), f, next.Format())
	}
	if diff := cmp.Diff(next.Map().Nodes(), d.Map().Nodes()); diff != "" {
		tb.Errorf("%v to %v: nodes (-read +draft):\n%s", h.Format(), f, diff)
	}
	if next.Map().Root() != d.Map().Root() {
		tb.Errorf("%v to %v: root %v, draft says %v", h.Format(), f, next.Map().Root(), d.Map().Root())
	}
	return next, d.Stats()
}

// same proves that two handovers preserve the same but for their device trees,
// and name the same.
func same(tb testing.TB, what string, a, b *kho.Handover) {
	tb.Helper()
	want, got := members(tb, a.Map()), members(tb, b.Map())
	delete(want, phys.Block{Addr: a.Data().FDT})
	delete(got, phys.Block{Addr: b.Data().FDT})
	if !maps.Equal(want, got) {
		tb.Errorf("%s: preserved (-before +after):\n%s", what, cmp.Diff(want, got))
	}
	trees := names(a)
	for name := range trees {
		if _, ok := b.Subtree(name); !ok {
			delete(trees, name) // left out by cross
		}
	}
	if diff := cmp.Diff(trees, names(b)); diff != "" || len(trees) == 0 {
		tb.Errorf("%s: sub-trees (-before +after):\n%s", what, diff)
	}
}

// TestEveryPairOfFormatsThereAndBackIsEqual takes each handover to each format
// and from there to each other one and back.
func TestEveryPairOfFormatsThereAndBackIsEqual(t *testing.T) {
	for _, g := range generations {
		for _, x := range kho.Formats() {
			for _, y := range kho.Formats() {
				t.Run(fmt.Sprintf("%s to %v to %v", g.letter, x, y), func(t *testing.T) {
					_, h := g.open(t, g.format)
					first, _ := cross(t, h, x)
					same(t, "there", h, first)
					second, _ := cross(t, first, y)
					same(t, "on", first, second)
					back, _ := cross(t, second, g.format)
					same(t, "back", h, back)
				})
			}
		}
	}
}

// TestNothingOldIsWritten compares every page of structure, and the last one of
// every block, before and after a draft of the handover became another one.
func TestNothingOldIsWritten(t *testing.T) {
	for _, g := range generations {
		for _, f := range kho.Formats() {
			v, h := g.open(t, g.format)
			before := make(map[phys.Addr][]byte)
			keep := func(a phys.Addr) {
				b, err := v.Memory.View(a, phys.PageSize)
				if err != nil {
					t.Fatal(err)
				}
				before[a] = bytes.Clone(b)
			}
			for _, b := range v.Blocks {
				keep(b.Range().End - phys.PageSize)
			}
			for _, a := range v.Pages {
				keep(a)
			}
			cross(t, h, f)
			for a, want := range before {
				if got, err := v.Memory.View(a, phys.PageSize); err != nil || !bytes.Equal(got, want) {
					t.Fatalf("%s to %v: page %v changed, %v", g.letter, f, a, err)
				}
			}
		}
	}
}

// TestBitmapsOfAPageAreShared: between a list of pages and a radix tree only the
// index is written, and the leaf that the device tree leaves and enters. What
// leaves there must be follows from the oracle.
func TestBitmapsOfAPageAreShared(t *testing.T) {
	type window struct {
		order  phys.Order
		number phys.Addr
	}
	of := func(b phys.Block) window { return window{b.Order, b.Addr >> (27 + b.Order)} }
	for _, c := range []struct {
		letter string
		to     *kho.Format
	}{
		{"C", kho.V3}, {"C", kho.V4}, {"D", kho.V4}, {"E", kho.V1}, {"E'", kho.V1}, {"F", kho.V1},
	} {
		v, h := generation{letter: c.letter}.open(t, nil)
		next, stats := cross(t, h, c.to)
		leaves := make(map[window]bool)
		orders := make(map[phys.Order]bool)
		for _, b := range v.Blocks {
			leaves[of(b.Block)], orders[b.Order] = true, true
		}
		written := map[window]bool{of(phys.Block{Addr: h.Data().FDT}): true, of(phys.Block{Addr: next.Data().FDT}): true}
		shared := 0
		for n := range nodesOf(next.Map()) {
			if nodesOf(h.Map())[n] {
				shared++
			}
		}
		if !leaves[of(phys.Block{Addr: next.Data().FDT})] {
			leaves[of(phys.Block{Addr: next.Data().FDT})] = true // new, for the memory of the pool
		}
		if want := len(leaves) - len(written); shared != want || stats.NodesKept != want {
			t.Errorf("%s to %v: %d pages shared, stats say %d, want %d", c.letter, c.to, shared, stats.NodesKept, want)
		}
		if c.to == kho.V1 && stats.Nodes != len(orders)+len(written) {
			t.Errorf("%s to %v: %d pages written, want a chunk for each of %d orders and %d leaves", c.letter, c.to, stats.Nodes, len(orders), len(written))
		}
	}
}

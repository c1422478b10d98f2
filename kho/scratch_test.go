package kho_test

import (
	"testing"

	"ferry/kho"
	"ferry/phys"
	"ferry/phys/phystest"
)

// TestScratchOfAnySizeIsKeptFree: kernels up to 7.1 take the sizes of
// kho_scratch= as they are, and all leave areas of size 0 anywhere.
func TestScratchOfAnySizeIsKeptFree(t *testing.T) {
	f := &fixture{TB: t, mem: phystest.New(t, phys.Range{Start: ramStart, End: ramEnd})}
	table := []kho.ScratchArea{
		{Addr: scratch0, Size: 4<<20 - 1000},    // ends inside a page
		{Addr: scratch0 + 2<<20},                // nothing, inside the first
		{Addr: scratch2, Size: 1<<20 + 0x30001}, // one byte into a page
		{Addr: scratch2 + 12345},
	}
	d, err := kho.New(f.mem, kho.V1, f.mem.RAM(), scratch0, table, nil)
	f.check(err)
	last := phys.Block{Addr: scratch2 + 1<<20 + 0x30000}
	refusedAs(t, d.Preserve(last), kho.ErrPlace, last.Addr, "block")
	beside := phys.Block{Addr: last.Range().End}
	f.check(d.Preserve(beside))
	f.data, err = d.Commit()
	f.check(err)
	h, err := kho.Open(f.mem, f.data, kho.V1)
	f.check(err)
	want := phys.Ranges{{Start: scratch0, End: scratch0 + 4<<20 - 1000}, {Start: scratch2, End: scratch2 + 1<<20 + 0x30001}}
	if len(h.Scratch) != 2 || h.Scratch[0] != want[0] || h.Scratch[1] != want[1] || len(h.Table) != 4 {
		t.Errorf("scratch %v of %d entries, want %v of 4", h.Scratch, len(h.Table), want)
	}
	if err := h.Map.Walk(func(b phys.Block) error {
		if s, hit := want.Overlaps(b.Range()); hit {
			t.Errorf("%v touches scratch %v", b, s)
		}
		return nil
	}); err != nil {
		t.Error(err)
	}
}

// TestHintOfScratchLeavesOutWhatIsPreserved: one flipped bit makes scratch of
// memory that is none, and a kernel must not be placed there.
func TestHintOfScratchLeavesOutWhatIsPreserved(t *testing.T) {
	for _, format := range kho.Formats() {
		f := fixtureAs(t, format)
		h := f.open()
		areas, table := kho.ScratchHint(f.mem, f.data)
		if len(areas) == 0 || table.Start != f.data.Scratch {
			t.Fatalf("%v: areas %v, table %v", format, areas, table)
		}
		for _, r := range f.mem.RAM() {
			f.setWord(f.data.Scratch, uint64(r.Start))
			f.setWord(f.data.Scratch+8, r.Size())
			areas, _ := kho.ScratchHint(f.mem, f.data)
			set := phys.NewRanges(kho.Spared(f.mem, f.data, format, areas)...)
			if set.Size() < r.Size()/2 {
				t.Errorf("%v: %d bytes are left of %v", format, set.Size(), r)
			}
			for _, n := range h.Map.Nodes() {
				if _, hit := set.Overlaps(phys.Block{Addr: n.Addr()}.Range()); hit {
					t.Errorf("%v: node %v is taken for scratch", format, n.Addr())
				}
			}
			f.check(h.Map.Walk(func(b phys.Block) error {
				if in, hit := set.Overlaps(b.Range()); hit {
					t.Errorf("%v: block %v is taken for scratch %v", format, b, in)
				}
				return nil
			}))
		}
	}
}

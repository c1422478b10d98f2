package kho_test

import (
	"errors"
	"math/rand/v2"
	"testing"

	"ferry/kho"
	"ferry/own"
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
	refusedAs(t, d.Preserve(last), own.ErrPlace, last.Addr, "block")
	beside := phys.Block{Addr: last.Range().End}
	f.check(d.Preserve(beside))
	f.data, err = d.Commit()
	f.check(err)
	h, err := kho.Open(f.mem, f.data, kho.V1)
	f.check(err)
	want := phys.Ranges{{Start: scratch0, End: scratch0 + 4<<20 - 1000}, {Start: scratch2, End: scratch2 + 1<<20 + 0x30001}}
	if len(h.Scratch()) != 2 || h.Scratch()[0] != want[0] || h.Scratch()[1] != want[1] || len(h.Table()) != 4 {
		t.Errorf("scratch %v of %d entries, want %v of 4", h.Scratch(), len(h.Table()), want)
	}
	if err := h.Map().Walk(func(b phys.Block) error {
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
			for _, n := range h.Map().Nodes() {
				if _, hit := set.Overlaps(phys.Block{Addr: n.Addr()}.Range()); hit {
					t.Errorf("%v: node %v is taken for scratch", format, n.Addr())
				}
			}
			f.check(h.Map().Walk(func(b phys.Block) error {
				if in, hit := set.Overlaps(b.Range()); hit {
					t.Errorf("%v: block %v is taken for scratch %v", format, b, in)
				}
				return nil
			}))
		}
	}
}

// TestNewWritesNoTableThatOpenRefuses makes tables of everything that can be
// wrong with one, many of them sound.
func TestNewWritesNoTableThatOpenRefuses(t *testing.T) {
	mem := phystest.New(t, phys.Range{Start: ramStart, End: ramEnd})
	pick := func(r *rand.Rand, all ...phys.Addr) phys.Addr { return all[r.IntN(len(all))] }
	accepted := 0
	for seed := range uint64(2000) {
		r := rand.New(rand.NewPCG(seed, 10))
		areas := make([]kho.ScratchArea, r.IntN(6))
		for i := range areas {
			areas[i] = kho.ScratchArea{Addr: ramStart + phys.Addr(r.IntN(64))<<21 + pick(r, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 8, 4096),
				Size: uint64(pick(r, 0, 0, 0, 4096, 4096, 1<<20, 1<<20, 12345, 12345, 2<<20, 2<<20, 2<<20, 1<<32, 1<<63))}
		}
		if seed == 0 {
			areas = make([]kho.ScratchArea, 16384+1)
		}
		if len(areas) > 0 && areas[0].Size == 0 {
			areas[0] = kho.ScratchArea{Addr: scratch0, Size: 2 << 20}
		}
		at := ramStart + phys.Addr(r.IntN(64))<<21
		if len(areas) > 0 && r.IntN(4) > 0 {
			at = areas[0].Addr
		}
		for _, format := range kho.Formats() {
			d, err := kho.New(mem, format, mem.RAM(), at, areas, nil)
			if err != nil {
				if !errors.Is(err, kho.ErrScratch) {
					t.Fatalf("seed %d: %v", seed, err)
				}
				continue
			}
			accepted++
			data, err := d.Commit()
			if err == nil {
				_, err = kho.Open(mem, data, format)
			}
			if err != nil {
				t.Fatalf("seed %d: %v in the table %v at %v: %v", seed, format, areas, at, err)
			}
		}
	}
	if accepted < 100 {
		t.Errorf("%d tables were sound", accepted)
	}
}

func TestNewRefusesWhatIsNoRAM(t *testing.T) {
	f := &fixture{TB: t, mem: phystest.New(t, phys.Range{Start: ramStart, End: ramEnd})}
	ram := f.mem.RAM().Add(phys.Range{Start: ramEnd, End: ramEnd + 2<<20})
	d, err := kho.New(f.mem, kho.V4, ram, scratch0, scratchTable, nil)
	if !errors.Is(err, phys.ErrNotRAM) || d != nil {
		t.Errorf("%v, want %v", err, phys.ErrNotRAM)
	}
	beyond := append([]kho.ScratchArea{{Addr: ramEnd, Size: 2 << 20}}, scratchTable...)
	if _, err := kho.New(f.mem, kho.V4, f.mem.RAM(), scratch0, beyond, nil); !errors.Is(err, kho.ErrScratch) {
		t.Errorf("an area beyond RAM: %v, want %v", err, kho.ErrScratch)
	}
}

package kho_test

import (
	"errors"
	"fmt"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"ferry/kho"
	"ferry/phys"
)

// crossed commits a draft that took n pages, and opens what it made.
func (f *fixture) crossed(n int, occupied phys.Ranges) (*kho.Draft, *kho.Handover) {
	f.Helper()
	d, err := f.open().Draft(nil, occupied)
	f.check(err)
	for range n {
		a, _, err := d.Alloc()
		f.check(err)
		f.check(d.SetSubtree("thing", a, 100)) // the last one belongs to somebody
	}
	f.data, err = d.Commit()
	f.check(err)
	return d, f.open()
}

// tableSum returns the bytes of scratch and those that are remembered.
func tableSum(h *kho.Handover) uint64 { return h.Scratch().Size() + h.Remembered().Size() }

func TestTheNextTableIsWithoutThePool(t *testing.T) {
	f := newFixture(t)
	before := f.open()
	d, h := f.crossed(1500, nil)
	if diff := cmp.Diff(before.Scratch().Sub(d.Pool()...), h.Scratch()); diff != "" {
		t.Errorf("scratch (-want +got):\n%s", diff)
	}
	if diff := cmp.Diff(d.Pool(), h.Remembered()); diff != "" {
		t.Errorf("remembered (-pool +got):\n%s", diff)
	}
	// The kernel's entries keep their places.
	want := []kho.ScratchArea{{Addr: scratch0, Size: 4 << 20}, {Addr: scratch1 + 8<<20, Size: 56 << 20}, {Addr: scratch2, Size: 2 << 20}}
	if diff := cmp.Diff(want, h.Table()[:3]); diff != "" {
		t.Errorf("table (-want +got):\n%s", diff)
	}
	for _, e := range h.Table()[3:] {
		if e.Size != 0 {
			t.Errorf("entry %+v, want none but empty ones behind the kernel's", e)
		}
	}
	if n := len(h.Table()); n != 6 || h.Table()[4].Addr != scratch1 || h.Table()[5].Addr != scratch1+8<<20 {
		t.Errorf("the table ends in %+v, want the start and the end of the pool", h.Table()[3:])
	}
}

// TestAMiddleCutMakesOneMoreEntry: what is below is occupied.
func TestAMiddleCutMakesOneMoreEntry(t *testing.T) {
	f := newFixture(t)
	_, h := f.crossed(1, phys.NewRanges(phys.Range{Start: scratch1, End: scratch1 + 5<<20}))
	want := []kho.ScratchArea{{Addr: scratch0, Size: 4 << 20}, {Addr: scratch1, Size: 8 << 20}, {Addr: scratch2, Size: 2 << 20}, {Addr: scratch1 + 12<<20, Size: 52 << 20}}
	if diff := cmp.Diff(want, h.Table()[:4]); diff != "" {
		t.Errorf("table (-want +got):\n%s", diff)
	}
	if want := (phys.Ranges{{Start: scratch1 + 8<<20, End: scratch1 + 12<<20}}); cmp.Diff(want, h.Remembered()) != "" {
		t.Errorf("remembered %v, want %v", h.Remembered(), want)
	}
}

// kernel does to the table what a kernel in between does: it takes it as it is, and
// makes a map of its own. What it preserves is free for it to choose.
func (f *fixture) kernel(preserve ...phys.Block) {
	f.Helper()
	h := f.open()
	at := h.Scratch()[len(h.Scratch())-1].Start
	d, err := kho.New(f.mem, kho.V4, f.mem.RAM(), at, h.Table(), phys.NewRanges(phys.Range{Start: scratch1, End: scratch1 + 64<<20}))
	f.check(err)
	for _, b := range preserve {
		f.check(d.Preserve(b))
	}
	a, page, err := d.Alloc()
	f.check(err)
	copy(page, "a thing")
	f.check(d.SetSubtree("thing", a, 100))
	f.data, err = d.Commit()
	f.check(err)
}

func TestPiecesGoBackOnceNothingLiesInThem(t *testing.T) {
	f := newFixture(t)
	before := f.open()
	first, _ := f.crossed(2500, nil) // three pieces
	middle := phys.Block{Addr: scratch1 + 5<<20}
	f.kernel(middle)

	// The lowest piece touches no scratch but through the second, in which something
	// lies; the third goes back.
	second, h := f.crossed(1, nil)
	third := phys.Range{Start: scratch1 + 8<<20, End: scratch1 + 12<<20}
	if got := second.GivenBack(); len(got) != 1 || got[0] != third {
		t.Errorf("given back %v, want %v", got, third)
	}
	if fresh := second.Pool(); fresh[0].Overlaps(third) || !before.Scratch().Sub(first.Pool()...).Contains(fresh[0]) {
		t.Errorf("the new piece %v is not from scratch as it came", fresh)
	}
	if tableSum(h) != before.Scratch().Size() || h.Remembered().Size() != 12<<20 {
		t.Errorf("scratch %v, remembered %v: %d bytes in all, want %d", h.Scratch(), h.Remembered(), tableSum(h), before.Scratch().Size())
	}

	// Once it is gone, all of it goes back.
	f.kernel()
	last, h := f.crossed(1, nil)
	if got := last.GivenBack().Size(); got != 12<<20 {
		t.Errorf("%d bytes given back, want 12 MiB", got)
	}
	if tableSum(h) != before.Scratch().Size() || h.Remembered().Size() != 4<<20 {
		t.Errorf("scratch %v, remembered %v", h.Scratch(), h.Remembered())
	}
}

// TestFiftyCrossingsKeepScratch: with kernels in between that preserve little, and
// here and there something in an old piece.
func TestFiftyCrossingsKeepScratch(t *testing.T) {
	f := newFixture(t)
	first := f.open().Scratch().Size()
	least, entries := first, 0
	for i := range 50 {
		var occupied phys.Ranges
		if i%3 == 0 { // a cut in the middle
			occupied = phys.NewRanges(phys.Range{Start: scratch1 + 16<<20, End: scratch1 + 17<<20}, phys.Range{Start: scratch1, End: scratch1 + 9<<20})
		}
		d, h := f.crossed(300, occupied)
		if got := tableSum(h); got != first {
			t.Fatalf("crossing %d: %d bytes of scratch and remembered pieces, want %d: %+v", i, got, first, h.Table())
		}
		least, entries = min(least, h.Scratch().Size()), max(entries, len(h.Table()))
		var keep []phys.Block
		if i%5 == 0 {
			keep = append(keep, phys.Block{Addr: d.Pool()[0].Start + 12345<<4&^4095})
		}
		f.kernel(keep...)
	}
	if lost := first - least; lost > 3*4<<20 || entries > 16 {
		t.Errorf("scratch was down by %d bytes, tables up to %d entries; want at most three pools, and no growth", lost, entries)
	}
}

// TestADamagedMemoryOfPiecesIsNotBelieved: a bit of what the table remembers must
// not make scratch of memory that never was.
func TestADamagedMemoryOfPiecesIsNotBelieved(t *testing.T) {
	f := newFixture(t)
	_, h := f.crossed(1, nil)
	n := len(h.Table())
	for i := n - 3; i < n; i++ {
		for bit := range 64 {
			at := f.data.Scratch + phys.Addr(16*i)
			f.setWord(at, f.word(at)^1<<bit)
			h, err := kho.Open(f.mem, f.data, nil)
			if err != nil {
				t.Fatalf("entry %d bit %d: %v", i, bit, err)
			}
			if len(h.Remembered()) != 0 {
				t.Errorf("entry %d bit %d: %v is remembered", i, bit, h.Remembered())
			}
			f.setWord(at, f.word(at)^1<<bit)
		}
	}
	if h := f.open(); len(h.Remembered()) != 1 {
		t.Errorf("undamaged: %v is remembered", h.Remembered())
	}
}

// TestRememberedPiecesAreProved: a sum proves that the table is as somebody wrote
// it, and nothing about memory.
func TestRememberedPiecesAreProved(t *testing.T) {
	const mib = phys.Addr(1 << 20)
	for name, c := range map[string]struct {
		pieces phys.Ranges
		want   string
	}{
		"beside an area":        {phys.Ranges{{Start: 0x10c0_0000, End: 0x1140_0000}}, ""},
		"unaligned":             {phys.Ranges{{Start: ramStart + 4*mib, End: ramStart + 6*mib}}, "multiples of 4 MiB"},
		"empty":                 {phys.Ranges{{Start: 0x1080_0000, End: 0x1080_0000}}, "multiples of 4 MiB"},
		"backwards":             {phys.Ranges{{Start: 0x1080_0000, End: 0x1040_0000}}, "multiples of 4 MiB"},
		"in scratch":            {phys.Ranges{{Start: scratch1, End: scratch1 + 4*mib}}, "outside scratch"},
		"outside RAM":           {phys.Ranges{{Start: scratch1 + 64*mib, End: scratch1 + 68*mib}}, "RAM"},
		"far from every area":   {phys.Ranges{{Start: 0x1200_0000, End: 0x1240_0000}}, "beside one"},
		"twice":                 {phys.Ranges{{Start: 0x10c0_0000, End: 0x1100_0000}, {Start: 0x10c0_0000, End: 0x1100_0000}}, "ascending"},
		"through another piece": {phys.Ranges{{Start: 0x1040_0000 + 4*mib, End: 0x1100_0000}}, "outside scratch"},
	} {
		t.Run(name, func(t *testing.T) {
			f := newFixture(t)
			entries := kho.Remember(c.pieces)
			at := scratch0 + 48
			for i, e := range entries {
				f.setWord(at+phys.Addr(16*i), uint64(e.Addr))
				f.setWord(at+phys.Addr(16*i)+8, 0)
			}
			f.data.ScratchSize += uint64(16 * len(entries))
			h := f.open()
			if c.want == "" {
				if diff := cmp.Diff(c.pieces, h.Remembered()); diff != "" || h.Forgotten() != nil {
					t.Errorf("%v (-table +remembered):\n%s", h.Forgotten(), diff)
				}
				return
			}
			if len(h.Remembered()) != 0 || h.Forgotten() == nil || !strings.Contains(h.Forgotten().Error(), c.want) || !errors.Is(h.Forgotten(), kho.ErrScratch) {
				t.Errorf("remembered %v, forgotten because %v; want nothing, because of %q", h.Remembered(), h.Forgotten(), c.want)
			}
		})
	}
}

// TestTheTableMayLieOutsideScratch, in memory of nobody.
func TestTheTableMayLieOutsideScratch(t *testing.T) {
	for name, c := range map[string]struct {
		at   func(f *fixture, h *kho.Handover) phys.Addr
		rule error
	}{
		"in scratch":           {func(*fixture, *kho.Handover) phys.Addr { return scratch2 }, nil},
		"in memory of nobody":  {func(*fixture, *kho.Handover) phys.Addr { return ramStart + 0x0030_0000 + 4<<20 }, nil},
		"in a preserved block": {func(*fixture, *kho.Handover) phys.Addr { return hugeBlock + 1<<20 }, kho.ErrScratch},
		"over two blocks":      {func(*fixture, *kho.Handover) phys.Addr { return loneBlock - 16 }, kho.ErrScratch},
		"over into a node of the map": {func(f *fixture, h *kho.Handover) phys.Addr {
			// One that begins with zeros, as the table ends with, after a page of nobody.
			for _, n := range h.Map().Nodes() {
				before := phys.Block{Addr: n.Addr() - phys.PageSize}.Range()
				if _, hit := h.Map().Overlaps(before); !hit && !hasNode(h.Map(), before) && f.word(n.Addr()) == 0 && f.word(n.Addr()+8) == 0 {
					return n.Addr() - 32
				}
			}
			t.Fatal("no such node")
			return 0
		}, kho.ErrScratch},
		"half in scratch": {func(*fixture, *kho.Handover) phys.Addr { return scratch0 + 4<<20 - 16 }, kho.ErrScratch},
	} {
		t.Run(name, func(t *testing.T) {
			f := newFixture(t)
			h := f.open()
			f.data.Scratch = c.at(f, h)
			copy(f.edit(f.data.Scratch, 48), f.edit(scratch0, 32))
			clear(f.edit(f.data.Scratch+32, 16))
			if c.rule == nil {
				f.open()
			} else {
				f.refused(c.rule, f.data.Scratch, "scratch table")
			}
		})
	}
}

func TestTooSmallAPoolIsRefusedByName(t *testing.T) {
	f := newFixture(t)
	d, err := f.open().Draft(nil, phys.NewRanges(poolArea))
	f.check(err)
	_, err = d.Commit()
	refusedAs(t, err, kho.ErrNoMemory, scratch0, "pool of new pages")
	for _, want := range []string{"4 MiB", "kho_scratch="} {
		if !strings.Contains(fmt.Sprint(err), want) {
			t.Errorf("%v does not say %q", err, want)
		}
	}
	f.open() // untouched
}

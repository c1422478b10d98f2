package kho_test

import (
	"bytes"
	"errors"
	"testing"

	"ferry/kho"
	"ferry/phys"
	"ferry/phys/phystest"
)

// exhaust allocates all that there is.
func exhaust(tb testing.TB, d *kho.Draft) map[phys.Addr]bool {
	tb.Helper()
	got := make(map[phys.Addr]bool)
	for {
		a, page, err := d.Alloc()
		if err != nil {
			refusedAs(tb, err, kho.ErrNoMemory, 0, "page allocator")
			return got
		}
		if got[a] || !a.Aligned(phys.PageSize) || len(page) != phys.PageSize || bytes.Count(page, []byte{0}) != phys.PageSize {
			tb.Fatalf("page %v: handed out before, unaligned or not zeroed", a)
		}
		got[a] = true
	}
}

func TestAllocatorHandsOutExactlyWhatIsFree(t *testing.T) {
	f := newFixture(t)
	dirty := f.edit(ramStart+0x0200_0000, 4096)
	copy(dirty, "left by the old kernel")
	h := f.open()
	avoid := phys.NewRanges(
		phys.Range{Start: ramStart + 0x0300_0000, End: ramStart + 0x0340_0800}, // ends inside a page
		phys.Range{Start: ramStart + 0x0350_0ff8, End: ramStart + 0x0350_1008}) // touches two
	d, err := h.Draft(kho.V4, avoid)
	f.check(err)
	retired := phys.Block{Addr: hugeBlock, Order: 9}
	f.check(d.Retire(retired))
	f.check(d.Preserve(phys.Block{Addr: ramStart + 0x0100_0000, Order: 8}))
	got := exhaust(t, d)
	missing := 0
	for a := ramStart; a < ramEnd; a += phys.PageSize {
		r := phys.Block{Addr: a}.Range()
		_, preserved := h.Map.Overlaps(r)
		_, scratch := h.Scratch.Overlaps(r)
		_, avoided := avoid.Overlaps(r)
		free := !preserved && !scratch && !avoided && !hasNode(h.Map, r) &&
			!(a >= ramStart+0x0100_0000 && a < ramStart+0x0110_0000)
		if got[a] && !free {
			t.Errorf("allocated %v: preserved %v, scratch %v, avoided %v", a, preserved, scratch, avoided)
		}
		if free && !got[a] {
			missing++
		}
	}
	// What is free and was not handed out holds the new nodes.
	if missing != d.Stats().Nodes {
		t.Errorf("%d free pages not handed out, %d nodes written", missing, d.Stats().Nodes)
	}
}

func TestAllocatorKnowsWhatChangedBeforeItLooked(t *testing.T) {
	// Three stretches of RAM, each with a leaf of its own; pages come from the
	// last one first, when the others are changed already.
	mem := phystest.New(t, phys.Range{Start: 0x1020_0000, End: 0x1080_0000},
		phys.Range{Start: 0x1800_0000, End: 0x1820_0000}, phys.Range{Start: 0x2000_0000, End: 0x2020_0000})
	old := phys.Block{Addr: 0x1070_0000, Order: 3}
	h, err := kho.Open(mem, handoverOf(t, mem, func(preserve func(phys.Block)) { preserve(old) }), nil)
	if err != nil {
		t.Fatal(err)
	}
	d, err := h.Draft(kho.V4, nil)
	if err != nil {
		t.Fatal(err)
	}
	fresh := phys.Block{Addr: 0x1074_0000, Order: 2}
	last := phys.Block{Addr: 0x1078_0000} // fresh is not the one seen last
	if err := errors.Join(d.Retire(old), d.Preserve(fresh), d.Preserve(last)); err != nil {
		t.Fatal(err)
	}
	got := exhaust(t, d)
	for a := range got {
		if r := (phys.Block{Addr: a}).Range(); r.Overlaps(old.Range()) || r.Overlaps(fresh.Range()) || r.Overlaps(last.Range()) {
			t.Errorf("allocated %v, which is retired or preserved", a)
		}
	}
	if !got[0x1074_4000] || !got[0x1800_0000] {
		t.Error("not all memory was reached")
	}
}

// TestFirstMiBHoldsNothing: RAM is there on every PC, and the next kernel uses
// it before it looks at what is preserved.
func TestFirstMiBHoldsNothing(t *testing.T) {
	low := phys.Range{Start: 0x1000, End: 0x9_f000}
	f := &fixture{TB: t}
	f.mem = phystest.NewSparse(t, phys.Range{Start: 0x20_0000, End: 0x80_0000}, low)
	areas := []kho.ScratchArea{{Addr: 0x20_0000, Size: 4 << 20}, {}, {}}
	d, err := kho.New(f.mem, kho.V4, f.mem.RAM(), 0x20_0000, areas, nil)
	f.check(err)
	f.data, err = d.Commit()
	f.check(err)

	_, d = f.draft()
	for _, b := range []phys.Block{{Addr: 0x8000}, {Addr: 0x1000}, {Addr: 0x9_e000}, {Addr: 0x1_0000, Order: 4}} {
		refusedAs(t, d.Preserve(b), kho.ErrPlace, b.Addr, "block")
	}
	got := exhaust(t, d)
	for a := range got {
		if a < phys.LowMemory {
			t.Errorf("allocated %v", a)
		}
	}
	if len(got) < 100 {
		t.Errorf("only %d pages allocated", len(got))
	}
	f.setBit(phys.Block{Addr: 0x8000})
	f.refused(kho.ErrPlace, 0x8000, "block")
}

// TestAllocatorSparesWhatTheDraftPreservedFirst: what is preserved in windows
// that were not looked at is known from the draft's map alone.
func TestAllocatorSparesWhatTheDraftPreservedFirst(t *testing.T) {
	mem := phystest.New(t, phys.Range{Start: 0x1020_0000, End: 0x1080_0000}, phys.Range{Start: 0x2000_0000, End: 0x2020_0000})
	h, err := kho.Open(mem, handoverOf(t, mem, func(func(phys.Block)) {}), nil)
	if err != nil {
		t.Fatal(err)
	}
	if h.Data.FDT < 0x2000_0000 {
		t.Fatalf("the device tree at %v draws the allocator to the window of the test", h.Data.FDT)
	}
	d, err := h.Draft(kho.V4, nil)
	if err != nil {
		t.Fatal(err)
	}
	mine := []phys.Block{{Addr: 0x1070_0000}, {Addr: 0x1071_0000, Order: 4}, {Addr: 0x1060_0000, Order: 8},
		{Addr: 0x1072_0000}, {Addr: 0x1073_0000, Order: 1}}
	for _, b := range mine {
		if err := d.Preserve(b); err != nil {
			t.Fatal(err)
		}
	}
	got := exhaust(t, d)
	for _, b := range mine {
		for a := b.Addr; a < b.Range().End; a += phys.PageSize {
			if got[a] {
				t.Errorf("allocated %v of %v, which the draft preserves", a, b)
			}
		}
	}
	if !got[0x1070_1000] {
		t.Error("the window was not reached")
	}
}

func TestAllocatorForgetsWindowsThatAreThenPreserved(t *testing.T) {
	big := phys.Block{Addr: 1 << 40, Order: 16} // two windows
	mem, d := sparse(t, phys.Range{Start: 0x1000_0000, End: 0x1080_0000}, big.Range())
	// One page to hand out, and one for the leaf that would need.
	free := []phys.Range{{Start: big.Addr + 0x7000, End: big.Addr + 0x8000}, {Start: big.Addr + 0x5000, End: big.Addr + 0x6000}}
	d, err := commitAndOpen(t, mem, d).Draft(kho.V4, phys.NewRanges(big.Range()).Sub(free...))
	if err != nil {
		t.Fatal(err)
	}
	// 4 MiB are nowhere, but now the window with the two free pages is known.
	if _, _, err := d.AllocBlock(10); !errors.Is(err, kho.ErrNoMemory) {
		t.Fatal(err)
	}
	if err := d.Preserve(big); err != nil {
		t.Fatal(err)
	}
	if exhaust(t, d)[free[0].Start] {
		t.Errorf("allocated %v in %v, which is preserved", free[0], big)
	}
}

func TestAllocatorServesEveryOrderAligned(t *testing.T) {
	f := newFixture(t)
	_, d := f.draft()
	seen := make(map[phys.Block]bool)
	for i := range 55 { // 40 MiB of 64
		b := phys.Block{Order: phys.Order(i * 7 % 11)}
		a, bytes, err := d.AllocBlock(b.Order)
		f.check(err)
		b.Addr = a
		if !a.Aligned(b.Order.Bytes()) || uint64(len(bytes)) != b.Order.Bytes() || covered(seen, b) || !d.Map().Preserved(b) {
			t.Fatalf("block %v: unaligned, of %d bytes, overlapping, or not preserved", b, len(bytes))
		}
		seen[b] = true
	}
	for range 20 {
		if _, _, err := d.AllocBlock(10); err != nil {
			refusedAs(t, err, kho.ErrNoMemory, 0, "page allocator")
			break
		}
	}
	if _, _, err := d.AllocBlock(11); err == nil {
		t.Error("order 11 was served")
	}
	var err error
	f.data, err = d.Commit()
	f.check(err)
	f.open()
}

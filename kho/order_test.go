package kho_test

import (
	"encoding/binary"
	"testing"

	"ferry/kho"
	"ferry/phys"
)

// TestBlocksTooLargeForReadersAreWrittenInParts: all kernels before 7.2 compute
// the size of larger ones than 1 GiB wrong.
func TestBlocksTooLargeForReadersAreWrittenInParts(t *testing.T) {
	const gib = phys.Addr(1 << 30)
	low, high := phys.Range{Start: 0x1000_0000, End: 0x1400_0000}, phys.Range{Start: 1 << 40, End: 1<<40 + 128*gib}
	for _, f := range kho.Formats() {
		mem, d := sparse(t, low, high)
		blocks := []phys.Block{{Addr: high.Start, Order: 22}, {Addr: high.Start + 32*gib, Order: 19}, {Addr: high.Start + 64*gib, Order: 18}}
		for _, b := range blocks {
			if err := d.Preserve(b); err != nil {
				t.Fatal(err)
			}
		}
		h := commitAndOpen(t, mem, d)
		d, err := h.Draft(f, phys.NewRanges(high))
		if err != nil {
			t.Fatal(err)
		}
		fresh := phys.Block{Addr: high.Start + 96*gib, Order: 21}
		if err := d.Preserve(fresh); err != nil {
			t.Fatal(err)
		}
		if err := d.Retire(blocks[1]); err != nil {
			t.Errorf("%v: a block in parts is not retired: %v", f, err)
		}
		next := commitAndOpen(t, mem, d)
		largest := phys.Order(0)
		next.Map().Walk(func(b phys.Block) error { largest = max(largest, b.Order); return nil })
		want, count, split := phys.Order(18), uint64(16+1+8+1), uint64(2)
		if f == kho.V4 {
			want, count, split = 22, 4, 0
		}
		if n := next.Map().Count(); largest != want || n != count || d.Stats().Split != split {
			t.Errorf("%v: %d blocks, largest order %d, %d split, want %d, %d, %d", f, n, largest, d.Stats().Split, count, want, split)
		}
		if !next.Map().Covers(blocks[0].Range()) || !next.Map().Covers(fresh.Range()) || next.Map().Covers(phys.Range{Start: blocks[1].Addr, End: blocks[1].Addr + 1}) {
			t.Errorf("%v: the memory of large blocks is not what is preserved", f)
		}
		// The handover that came in is what it was.
		if again, err := kho.Open(mem, h.Data(), nil); err != nil || !again.Map().Preserved(blocks[0]) || !again.Map().Preserved(blocks[1]) {
			t.Errorf("%v: the old handover changed: %v", f, err)
		}
	}
}

// TestAnOldKernelsLargeBlocksAreReadRight: what writes a list has no bound of its
// own, and only its readers get the size wrong.
func TestAnOldKernelsLargeBlocksAreReadRight(t *testing.T) {
	f := &fixture{TB: t, hint: kho.V1}
	var d *kho.Draft
	high := phys.Range{Start: 1 << 40, End: 1<<40 + 4<<30}
	f.mem, d = sparseAs(t, kho.V1, phys.Range{Start: 0x1000_0000, End: 0x1400_0000}, high)
	f.check(d.Preserve(phys.Block{Addr: high.Start, Order: 18}))
	var err error
	f.data, err = d.Commit()
	f.check(err)
	e := f.element(phys.Block{Addr: high.Start, Order: 18}, 4096)
	binary.LittleEndian.PutUint32(f.edit(e.at.Page()+8, 4), 20)
	f.setWord(e.at, 0)
	clear(f.edit(e.bitmap, 4096))
	f.flip(phys.Block{Addr: high.Start, Order: 20}, 4096)
	h := f.open()
	if !h.Map().Preserved(phys.Block{Addr: high.Start, Order: 20}) || !h.Map().Covers(high) {
		t.Error("a block of order 20 is not read as it was written")
	}
	next, stats := cross(t, h, kho.V4)
	if !next.Map().Preserved(phys.Block{Addr: high.Start, Order: 20}) || stats.Split != 0 {
		t.Error("a block of order 20 does not stay whole where readers know it")
	}
	next, _ = cross(t, h, kho.V1)
	if next.Map().Preserved(phys.Block{Addr: high.Start, Order: 20}) || !next.Map().Covers(high) {
		t.Error("a block of order 20 stays whole where readers do not know it")
	}
}

package kho_test

import (
	"bytes"
	"testing"

	"ferry/kho"
	"ferry/phys"
)

// exhaust allocates all pages that there are.
func exhaust(tb testing.TB, d *kho.Draft) map[phys.Addr]bool {
	tb.Helper()
	got := make(map[phys.Addr]bool)
	for {
		a, page, err := d.Alloc()
		if err != nil {
			refusedAs(tb, err, kho.ErrNoMemory, scratch0, "pool of new pages")
			return got
		}
		if got[a] || !a.Aligned(phys.PageSize) || len(page) != phys.PageSize || bytes.Count(page, []byte{0}) != phys.PageSize {
			tb.Fatalf("page %v: handed out before, unaligned or not zeroed", a)
		}
		got[a] = true
	}
}

// TestADraftHandsOutEveryPageOfItsPool: of scratch that is neither occupied nor the
// last piece of its area, and of nothing else.
func TestADraftHandsOutEveryPageOfItsPool(t *testing.T) {
	f := newFixture(t)
	copy(f.edit(poolArea.Start+0x0100_0000, 4096), "left by somebody")
	h := f.open()
	occupied := phys.NewRanges(
		phys.Range{Start: poolArea.Start + 0x0080_0000, End: poolArea.Start + 0x0080_0800}, // part of a page of the third piece
		phys.Range{Start: poolArea.Start + 0x017f_f000, End: poolArea.Start + 0x0180_1000}) // pages of the sixth and seventh
	d, err := h.Draft(kho.V4, occupied)
	f.check(err)
	got := exhaust(t, d)
	pieces := map[phys.Addr]int{}
	for a := range got {
		pieces[(a-poolArea.Start)>>22]++
	}
	total := 0
	for i := phys.Addr(0); i < 16; i++ {
		switch n := pieces[i]; {
		case i == 2 || i == 5 || i == 6:
			if n != 0 {
				t.Errorf("%d pages of piece %d, which is occupied", n, i)
			}
		default:
			total += n
			if n == 0 {
				t.Errorf("no page of piece %d", i)
			}
		}
	}
	if total != len(got) || total+d.Stats().Nodes != 13*1024 {
		t.Errorf("%d pages, %d of them in the pool, and %d nodes; want 13 pieces of 1024", len(got), total, d.Stats().Nodes)
	}
}

// TestAnAreaKeepsItsLastPiece, because what is cut off has to touch scratch to be
// given back.
func TestAnAreaKeepsItsLastPiece(t *testing.T) {
	f := newFixture(t)
	_, d := f.draft()
	exhaust(t, d)
	want := phys.Ranges{{Start: poolArea.Start, End: poolArea.End - 4<<20}}
	if got := d.Pool(); len(got) != 1 || got[0] != want[0] {
		t.Errorf("pool %v, want %v", got, want)
	}
}

func TestDraftServesEveryOrderAligned(t *testing.T) {
	f := newFixture(t)
	_, d := f.draft()
	seen := make(map[phys.Block]bool)
	for i := range 55 { // 40 MiB of 60
		b := phys.Block{Order: phys.Order(i * 7 % 11)}
		a, bytes, err := d.AllocBlock(b.Order)
		f.check(err)
		b.Addr = a
		if !a.Aligned(b.Order.Bytes()) || uint64(len(bytes)) != b.Order.Bytes() || covered(seen, b) || !d.Map().Preserved(b) {
			t.Fatalf("block %v: unaligned, of %d bytes, overlapping, or not preserved", b, len(bytes))
		}
		seen[b] = true
	}
	if pool := d.Pool().Size(); pool > 48<<20 {
		t.Errorf("40 MiB of blocks took %d MiB of scratch", pool>>20)
	}
	if _, _, err := d.AllocBlock(11); err == nil {
		t.Error("order 11 was served")
	}
	var err error
	f.data, err = d.Commit()
	f.check(err)
	f.open()
}

package kho_test

import (
	"testing"
	"time"

	"ferry/kho"
	"ferry/phys"
)

// TestTheCostOfAConversionFollowsBitmapsNotBits compares one block a bitmap with
// as many as it holds.
func TestTheCostOfAConversionFollowsBitmapsNotBits(t *testing.T) {
	spent := func(step phys.Addr) (time.Duration, uint64) {
		mem, d := sparseAs(t, kho.V1, phys.Range{Start: 0x1000_0000, End: 0x2000_0000}, phys.Range{Start: 1 << 40, End: 1<<40 + 1<<33})
		for a := phys.Addr(1 << 40); a < 1<<40+1<<33; a += step {
			if err := d.Preserve(phys.Block{Addr: a}); err != nil {
				t.Fatal(err)
			}
		}
		h := commitAndOpen(t, mem, d)
		best := time.Hour
		for range 5 {
			start := time.Now()
			d, err := h.Draft(kho.V4, nil)
			if err == nil {
				_, err = d.Commit()
			}
			if err != nil {
				t.Fatal(err)
			}
			best = min(best, time.Since(start))
		}
		return best, h.Map().Count()
	}
	few, n := spent(128 << 20)
	many, m := spent(4096)
	t.Logf("%d blocks: %v, %d blocks: %v", n, few, m, many)
	if n*10000 > m || many > 3*few+time.Millisecond {
		t.Errorf("%d blocks took %v, %d blocks %v", n, few, m, many)
	}
}

func TestReadingAListAllocatesByBitmapsNotByBlocks(t *testing.T) {
	for _, format := range lists {
		count := func(blocks int) float64 {
			mem, d := sparseAs(t, format, phys.Range{Start: 0x1000_0000, End: 0x2000_0000})
			for i := range phys.Addr(blocks) {
				if err := d.Preserve(phys.Block{Addr: 0x1080_0000 + i*0x1000}); err != nil {
					t.Fatal(err)
				}
			}
			data, err := d.Commit()
			if err != nil {
				t.Fatal(err)
			}
			return testing.AllocsPerRun(3, func() {
				h, err := kho.Open(mem, data, format)
				if err != nil {
					t.Fatal(err)
				}
				h.Map().Walk(func(phys.Block) error { return nil })
				if _, err := h.Draft(kho.V4, nil); err != nil {
					t.Fatal(err)
				}
			})
		}
		if few, many := count(10), count(20000); many > few+12 {
			t.Errorf("%v: %v allocations for 10 blocks, %v for 20000", format, few, many)
		}
	}
}

package kho_test

import (
	"errors"
	"testing"

	"ferry/kho"
	"ferry/own"
	"ferry/phys"
)

// TestRetireTakesOnlyBlocksThatCanBe: where readers want large blocks in parts,
// parts that lie side by side are a block only where that is one of the map, not
// where it begins in between, nor where it is larger than all memory.
func TestRetireTakesOnlyBlocksThatCanBe(t *testing.T) {
	const gib = phys.Addr(1 << 30)
	low, high := phys.Range{Start: 0x1000_0000, End: 0x1400_0000}, phys.Range{Start: 1 << 40, End: 1<<40 + 4*gib}
	for _, f := range kho.Formats() {
		_, d := sparseAs(t, f, low, high)
		for a := high.Start; a < high.End; a += gib {
			if err := d.Preserve(phys.Block{Addr: a, Order: 18}); err != nil {
				t.Fatal(err)
			}
		}
		for _, b := range []phys.Block{
			{Addr: high.Start + gib, Order: 19}, {Addr: high.Start, Order: 52}, {Addr: 0, Order: 100}, {Addr: 0, Order: 255},
		} {
			if err := d.Retire(b); !errors.Is(err, own.ErrPreserved) {
				t.Errorf("%v: %v is retired: %v", f, b, err)
			}
		}
	}
}

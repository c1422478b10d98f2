package luo

import (
	"errors"
	"testing"

	"ferry/phys"
)

func TestRunHoldsItsAddressAndLength(t *testing.T) {
	for _, tt := range []struct {
		a phys.Addr
		n int
	}{{0, 1}, {0x10000010, 63}, {1<<52 - 16, maxRun}, {1 << 46, 0}} {
		if r, err := newRun(tt.a, tt.n); err != nil || r.addr() != tt.a || r.len() != tt.n {
			t.Errorf("%d records at %v: %d at %v, %v", tt.n, tt.a, r.len(), r.addr(), err)
		}
	}
	if _, err := newRun(1<<52, 1); !errors.Is(err, phys.ErrNotRAM) {
		t.Errorf("a record at 2^52: %v, want ErrNotRAM", err)
	}
}

func TestRunsLiveInTheBlocksTheyCameFrom(t *testing.T) {
	l := runs{size: fileSize, order: 1}
	for i := range 3 * chunkRuns {
		r, err := newRun(base+phys.Addr(i)*2*phys.PageSize+16, 63)
		if err != nil {
			t.Fatal(err)
		}
		l.add(r)
	}
	for i := range 3 * chunkRuns {
		if got, want := l.block(i), (phys.Block{Addr: base + phys.Addr(i)*2*phys.PageSize, Order: 1}); got != want {
			t.Fatalf("run %d lies in %v, want %v", i, got, want)
		}
	}
}

// gone is memory that gives no more records of one size.
type gone struct {
	memory
	size uint64
}

func (m gone) View(a phys.Addr, n uint64) ([]byte, error) {
	if n%m.size == 0 {
		return nil, phys.ErrNotRAM
	}
	return m.memory.View(a, n)
}

// TestLostMemoryIsNoShorterState takes memory away that was there when the state
// was restored: neither serializing nor comparing may take it for fewer records.
func TestLostMemoryIsNoShorterState(t *testing.T) {
	for name, size := range map[string]uint64{"sessions": sessionSize, "files": fileSize} {
		mem, d := machine(t)
		serialize(t, state(t, 1, 3, 0, 70), d)
		in := restore(t, mem, d)
		in.mem = gone{in.mem, size}
		if err := serializeV5(in, d); !errors.Is(err, phys.ErrNotRAM) {
			t.Errorf("serializing without the memory of %s: %v, want ErrNotRAM", name, err)
		}
		if err := in.Diff(state(t, 1, 3, 0, 70)); !errors.Is(err, phys.ErrNotRAM) {
			t.Errorf("comparing without the memory of %s: %v, want ErrNotRAM", name, err)
		}
	}
}

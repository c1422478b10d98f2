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

func TestRunsAreFoundByTheirRecords(t *testing.T) {
	l := runs{size: fileSize}
	for i, n := range []int{1, 63, 2*maxRun + 7, 0, 5} {
		if err := l.append(base+phys.Addr(i)<<24, n); err != nil {
			t.Fatal(err)
		}
	}
	if l.n != 6 { // the third takes three, the fourth none
		t.Errorf("%d runs, want 6", l.n)
	}
	for _, tt := range []struct {
		from, n int
		want    phys.Addr
	}{
		{0, 0, base}, {0, 1, base + 1<<24}, {0, 63, base + 1<<24 + 62*fileSize}, {0, 64, base + 2<<24},
		{0, 64 + 2*maxRun + 6, base + 2<<24 + (2*maxRun+6)*fileSize}, {0, 64 + 2*maxRun + 7, base + 4<<24},
		{2, maxRun, base + 2<<24 + maxRun*fileSize}, {5, 4, base + 4<<24 + 4*fileSize}, {5, 5, 0}, {0, 1 << 20, 0},
	} {
		if got := l.find(tt.from, l.n, tt.n); got != tt.want {
			t.Errorf("record %d from run %d on lies at %v, want %v", tt.n, tt.from, got, tt.want)
		}
	}
	if err := l.append(1<<52-64, maxRun+1); !errors.Is(err, phys.ErrNotRAM) {
		t.Errorf("records across 2^52: %v, want ErrNotRAM", err)
	}
}

func TestBlocksKeepAddressAndOrder(t *testing.T) {
	var l blocks
	all := []phys.Block{{Addr: base}, {Addr: base + 1<<16, Order: 4}, {Addr: 1 << 51, Order: 10}, {Addr: 0, Order: phys.MaxOrder}}
	for _, b := range all {
		l.add(b)
	}
	for i, want := range all {
		if got := l.at(i); got != want {
			t.Errorf("block %d: %v, want %v", i, got, want)
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
		if err := serializeTo(in, d, Options{Format: V5}); !errors.Is(err, phys.ErrNotRAM) {
			t.Errorf("serializing without the memory of %s: %v, want ErrNotRAM", name, err)
		}
		if err := in.Diff(state(t, 1, 3, 0, 70), nil); !errors.Is(err, phys.ErrNotRAM) {
			t.Errorf("comparing without the memory of %s: %v, want ErrNotRAM", name, err)
		}
	}
}

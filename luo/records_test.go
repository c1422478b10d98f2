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

func TestARecordFromNothingLiesInOneChunk(t *testing.T) {
	m := new(arena)
	m.take(chunkBytes)
	last, _ := m.take(1)
	for _, tt := range []struct {
		a    phys.Addr
		n    uint64
		want error
	}{
		{0, chunkBytes, nil}, {chunkBytes - 1, 1, nil}, {last, chunkBytes, nil}, {last + chunkBytes - 1, 1, nil},
		{0, chunkBytes + 1, phys.ErrNotRAM}, {chunkBytes - 1, 2, phys.ErrNotRAM}, {0, 1 << 63, phys.ErrNotRAM},
		{last + chunkBytes, 1, phys.ErrNotRAM}, {1 << 63, 1, phys.ErrNotRAM},
	} {
		if b, err := m.View(tt.a, tt.n); !errors.Is(err, tt.want) || err == nil && uint64(len(b)) != tt.n {
			t.Errorf("%d bytes at %v: %d, %v, want %v", tt.n, tt.a, len(b), err, tt.want)
		}
	}
}

// lost is memory that gives records of one size only left times.
type lost struct {
	memory
	size uint64
	left int
}

func (m *lost) View(a phys.Addr, n uint64) ([]byte, error) {
	if n%m.size == 0 {
		if m.left == 0 {
			return nil, phys.ErrNotRAM
		}
		m.left--
	}
	return m.memory.View(a, n)
}

// TestLostMemoryIsNoShorterState takes memory away that was there when the state
// was restored, at whatever moment: neither serializing nor comparing nor asking
// for limits may take it for fewer records.
func TestLostMemoryIsNoShorterState(t *testing.T) {
	for name, size := range map[string]uint64{"sessions": sessionSize, "files": fileSize} {
		for what, use := range map[string]func(in *State, d *draft) error{
			"serializing": func(in *State, d *draft) error { return serializeTo(in, d, Options{Format: V5}) },
			"comparing":   func(in *State, d *draft) error { return in.Diff(state(t, 1, 3, 0, 70), nil) },
			"limits":      func(in *State, d *draft) error { return Fits(in, V5, false) },
		} {
			reads := 0
			for ; ; reads++ {
				mem, d := machine(t)
				serialize(t, state(t, 1, 3, 0, 70), d)
				in := restore(t, mem, d)
				in.mem = &lost{in.mem, size, reads}
				err := use(in, d)
				if err == nil {
					break
				}
				if !errors.Is(err, phys.ErrNotRAM) {
					t.Fatalf("%s without the memory of %s after %d reads: %v, want ErrNotRAM", what, name, reads, err)
				}
			}
			// Whether there are too many files in a session is known without reading them.
			if known := what == "limits" && size == fileSize; known != (reads == 0) {
				t.Errorf("%s reads the memory of %s %d times", what, name, reads)
			}
		}
	}
}

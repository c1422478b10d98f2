//go:build linux

// Package phystest gives tests physical memory: on a host a sparse fake, in a
// test binary that runs on metal the machine's own RAM at the same addresses.
// Nothing outside tests imports it.
package phystest

import (
	"syscall"
	"testing"

	"ferry/phys"
)

// Sparse is RAM that exists only for a test: zeroed, taking host memory page by
// page as it is touched, so that 64 GiB are as cheap as 64 MiB.
type Sparse struct {
	ram   phys.Ranges
	bytes [][]byte // one mapping a range
}

// NewSparse returns zeroed RAM at the given ranges, each a multiple of the page
// size, until the test ends.
func NewSparse(t testing.TB, ram ...phys.Range) *Sparse {
	t.Helper()
	s := &Sparse{ram: phys.NewRanges(ram...)}
	for _, r := range s.ram {
		b, err := syscall.Mmap(-1, 0, int(r.Size()), syscall.PROT_READ|syscall.PROT_WRITE,
			syscall.MAP_ANON|syscall.MAP_PRIVATE|syscall.MAP_NORESERVE)
		if err != nil {
			t.Fatalf("mapping %v for the fake of physical memory: %v", r, err)
		}
		t.Cleanup(func() { syscall.Munmap(b) })
		s.bytes = append(s.bytes, b)
	}
	return s
}

// View implements [phys.Memory].
func (s *Sparse) View(a phys.Addr, n uint64) ([]byte, error) {
	if err := phys.Check(s.ram, a, n); err != nil {
		return nil, err
	}
	for i, r := range s.ram {
		if a >= r.Start && a < r.End {
			off := uint64(a - r.Start)
			return s.bytes[i][off : off+n : off+n], nil
		}
	}
	panic("unreachable: check found a range")
}

// Edit implements [phys.Memory].
func (s *Sparse) Edit(a phys.Addr, n uint64) ([]byte, error) { return s.View(a, n) }

// RAM implements [phys.Memory].
func (s *Sparse) RAM() phys.Ranges { return s.ram }

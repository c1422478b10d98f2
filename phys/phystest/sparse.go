//go:build linux || metal

// Package phystest gives tests physical memory: on a host a sparse fake, in a
// test binary that runs on metal the machine's own RAM at the same addresses.
// Nothing outside tests imports it.
package phystest

import (
	"testing"

	"ferry/phys"
)

// Sparse is RAM that exists only for a test: zeroed, taking host memory page by
// page as it is touched, so that 64 GiB are as cheap as 64 MiB. On a host a
// write through View faults.
type Sparse struct {
	ram        phys.Ranges
	view, edit [][]byte // for each range one mapping to read and one to write
}

// NewSparse returns zeroed RAM at the given ranges, each a multiple of the page
// size, until the test ends.
func NewSparse(t testing.TB, ram ...phys.Range) *Sparse {
	t.Helper()
	s := &Sparse{ram: phys.NewRanges(ram...)}
	for _, r := range s.ram {
		view, edit, unmap, err := mapRAM(int(r.Size()))
		if err != nil {
			t.Fatalf("mapping %v for the fake of physical memory: %v", r, err)
		}
		t.Cleanup(unmap)
		s.view, s.edit = append(s.view, view), append(s.edit, edit)
	}
	return s
}

// View implements [phys.Memory].
func (s *Sparse) View(a phys.Addr, n uint64) ([]byte, error) { return s.window(s.view, a, n) }

// Edit implements [phys.Memory].
func (s *Sparse) Edit(a phys.Addr, n uint64) ([]byte, error) { return s.window(s.edit, a, n) }

func (s *Sparse) window(bytes [][]byte, a phys.Addr, n uint64) ([]byte, error) {
	if err := phys.Check(s.ram, a, n); err != nil {
		return nil, err
	}
	i := s.ram.Index(a)
	off := uint64(a - s.ram[i].Start)
	if err := back(bytes[i], off, n); err != nil {
		return nil, phys.In("fake of physical memory", a, err)
	}
	return bytes[i][off : off+n : off+n], nil
}

// RAM implements [phys.Memory].
func (s *Sparse) RAM() phys.Ranges { return s.ram }

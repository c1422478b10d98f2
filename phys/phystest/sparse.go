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
	ram  phys.Ranges
	maps []mapping // of each range
}

// NewSparse returns zeroed RAM at the given ranges, each a multiple of the page
// size, until the test ends.
func NewSparse(t testing.TB, ram ...phys.Range) *Sparse {
	t.Helper()
	s := &Sparse{ram: phys.NewRanges(ram...)}
	for _, r := range s.ram {
		m, unmap, err := mapRAM(int(r.Size()))
		if err != nil {
			t.Fatalf("mapping %v for the fake of physical memory: %v", r, err)
		}
		t.Cleanup(unmap)
		s.maps = append(s.maps, m)
	}
	return s
}

// View implements [phys.Memory].
func (s *Sparse) View(a phys.Addr, n uint64) ([]byte, error) {
	m, off, err := s.window(a, n)
	if err != nil {
		return nil, err
	}
	return m.view[off : off+n : off+n], nil
}

// Edit implements [phys.Memory].
func (s *Sparse) Edit(a phys.Addr, n uint64) ([]byte, error) {
	m, off, err := s.window(a, n)
	if err != nil {
		return nil, err
	}
	return m.edit[off : off+n : off+n], nil
}

func (s *Sparse) window(a phys.Addr, n uint64) (m mapping, off uint64, err error) {
	if err := phys.Check(s.ram, a, n); err != nil {
		return m, 0, err
	}
	i := s.ram.Index(a)
	m, off = s.maps[i], uint64(a-s.ram[i].Start)
	if err := back(m.view, off, n); err != nil {
		return m, 0, phys.In("fake of physical memory", a, err)
	}
	return m, off, nil
}

// RAM implements [phys.Memory].
func (s *Sparse) RAM() phys.Ranges { return s.ram }

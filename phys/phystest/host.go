//go:build linux && !metal

package phystest

import (
	"testing"

	"golang.org/x/sys/unix"

	"ferry/phys"
)

// OnMetal reports whether the test runs on the machine's own RAM.
const OnMetal = false

// New returns zeroed RAM at the given ranges, each a multiple of the page size:
// the machine's own at exactly these addresses on metal, a [Sparse] elsewhere.
func New(t testing.TB, ram ...phys.Range) phys.Memory { return NewSparse(t, ram...) }

// back has nothing to do: Linux backs the pages of a mapping when they are touched.
func back(b []byte, off, n uint64) error { return nil }

// mapping is a file mapped once to read and once to write.
type mapping struct {
	view, edit []byte
	file       int // its descriptor
}

// mapRAM maps n bytes of zeros twice, once to read and once to write.
func mapRAM(n int) (m mapping, unmap func(), err error) {
	fd, err := unix.MemfdCreate("ferry-test-ram", unix.MFD_CLOEXEC)
	if err != nil {
		return m, nil, err
	}
	unmap = func() {
		unix.Munmap(m.view)
		unix.Munmap(m.edit)
		unix.Close(fd)
	}
	m.file = fd
	if err = unix.Ftruncate(fd, int64(n)); err == nil {
		m.view, err = unix.Mmap(fd, 0, n, unix.PROT_READ, unix.MAP_SHARED|unix.MAP_NORESERVE)
	}
	if err == nil {
		m.edit, err = unix.Mmap(fd, 0, n, unix.PROT_READ|unix.PROT_WRITE, unix.MAP_SHARED|unix.MAP_NORESERVE)
	}
	if err != nil {
		unmap()
	}
	return m, unmap, err
}

// Touched returns the pages that were ever read or written: all others are zero.
func (s *Sparse) Touched() phys.Ranges {
	var rs []phys.Range
	for i, r := range s.ram {
		for at := int64(0); at < int64(r.Size()); {
			start, err := unix.Seek(s.maps[i].file, at, unix.SEEK_DATA)
			if err != nil {
				break // ENXIO: no more of them
			}
			if at, err = unix.Seek(s.maps[i].file, start, unix.SEEK_HOLE); err != nil {
				at = int64(r.Size())
			}
			rs = append(rs, phys.Range{Start: r.Start + phys.Addr(start), End: r.Start + phys.Addr(at)})
		}
	}
	return phys.NewRanges(rs...)
}

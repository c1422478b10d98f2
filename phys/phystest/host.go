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

// mapRAM maps n bytes of zeros twice, once to read and once to write.
func mapRAM(n int) (view, edit []byte, unmap func(), err error) {
	fd, err := unix.MemfdCreate("ferry-test-ram", unix.MFD_CLOEXEC)
	if err != nil {
		return nil, nil, nil, err
	}
	defer unix.Close(fd)
	if err := unix.Ftruncate(fd, int64(n)); err != nil {
		return nil, nil, nil, err
	}
	const flags = unix.MAP_SHARED | unix.MAP_NORESERVE
	if view, err = unix.Mmap(fd, 0, n, unix.PROT_READ, flags); err != nil {
		return nil, nil, nil, err
	}
	if edit, err = unix.Mmap(fd, 0, n, unix.PROT_READ|unix.PROT_WRITE, flags); err != nil {
		unix.Munmap(view)
		return nil, nil, nil, err
	}
	return view, edit, func() { unix.Munmap(view); unix.Munmap(edit) }, nil
}

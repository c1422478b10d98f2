package memfd

import (
	"bytes"
	"encoding/binary"

	"ferry/kho"
	"ferry/phys"
)

// A file that cannot be given back: what is left of one that is damaged, so that the
// next kernel has an error to answer for it, and nothing else to read. Its structure
// says one page of contents, in an array that has no chunks. memfd_luo_retrieve then
// gives up at kho_restore_vmalloc, which finds no pages instead of one,
// and answers EINVAL; memfd_luo_finish gives up there as well. Both let go of the
// structure alone. No kernel writes such a file.

// unreadable fills b, a page of zeros, with the structure of a file that cannot be
// given back.
func (f *Format) unreadable(b []byte) {
	f.begin(b)
	binary.LittleEndian.PutUint64(b[f.size:], phys.PageSize)
	binary.LittleEndian.PutUint64(b[f.count:], 1)
	kho.Vmalloc{Pages: 1, Flags: kho.VmallocAlloc}.Append(b[f.folios:f.folios])
}

// isUnreadable reports whether b is such a structure.
func (f *Format) isUnreadable(b []byte) bool {
	var want [phys.PageSize]byte
	f.unreadable(want[:])
	return bytes.Equal(b[:f.end()], want[:f.end()])
}

// WriteUnreadable preserves in d a file in format f that the next kernel answers
// EINVAL for, and returns the address of its structure, which refers to nothing.
func WriteUnreadable(d *kho.Draft, f *Format) (phys.Addr, error) {
	a, page, err := d.Alloc()
	if err != nil {
		return 0, phys.In("memfd: structure", a, err)
	}
	f.unreadable(page)
	return a, nil
}

// Unreadable reports whether f is what [WriteUnreadable] writes. It has no folios.
func (f *File) Unreadable() bool { return f.unreadable }

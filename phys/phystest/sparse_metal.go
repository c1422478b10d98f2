//go:build metal

package phystest

import (
	"errors"
	"unsafe"

	"ferry/board/amd64"
	"ferry/board/amd64/boardtest"
	"ferry/phys"
)

// The fake is at virtual addresses that nothing else uses, one after another,
// and is backed page by page, when windows are opened, with RAM outside of what
// [New] lends to tests.
const sparseBase = 0xffff_e000_0000_0000

var lent = phys.Range{Start: 0x1000_0000, End: 0x4000_0000}

var (
	sparseNext = uint64(sparseBase)
	sparseLive int          // fakes; without any, addresses start again, and tables serve again
	sparseFree []phys.Range // never used
	sparseUsed []phys.Addr  // given back
	sparseOnce bool
)

// mapping is memory, the same to read and to write.
type mapping struct{ view, edit []byte }

// mapRAM reserves n bytes, the same to read and to write: the machine's own memory
// is not mapped twice either.
func mapRAM(n int) (m mapping, unmap func(), err error) {
	if !sparseOnce {
		sparseOnce = true
		sparseFree = amd64.RAM().Sub(occupied()...).Sub(lent)
	}
	start := sparseNext
	sparseNext += uint64(n)
	sparseLive++
	b := unsafe.Slice(*(**byte)(unsafe.Pointer(&start)), n)
	return mapping{view: b, edit: b}, func() { unback(start, uint64(n)) }, nil
}

// Touched returns the pages of which a window was opened: all others are zero.
func (s *Sparse) Touched() phys.Ranges {
	var rs []phys.Range
	for i, r := range s.ram {
		va := uint64(uintptr(unsafe.Pointer(unsafe.SliceData(s.maps[i].view))))
		for a := r.Start; a < r.End; a += phys.PageSize {
			if boardtest.Mapped(va + uint64(a-r.Start)) {
				rs = append(rs, phys.Block{Addr: a}.Range())
			}
		}
	}
	return phys.NewRanges(rs...)
}

// back makes sure that n bytes from off on are there.
func back(b []byte, off, n uint64) error {
	if n == 0 {
		return nil
	}
	first := uint64(uintptr(unsafe.Pointer(unsafe.SliceData(b)))) + off
	for va := first &^ (phys.PageSize - 1); va < first+n; va += phys.PageSize {
		if boardtest.Mapped(va) {
			continue
		}
		page, ok := sparsePage()
		if !ok || !boardtest.Map(va, uint64(page)) {
			return errors.New("no RAM left to back it")
		}
		at := va
		clear(unsafe.Slice(*(**byte)(unsafe.Pointer(&at)), phys.PageSize))
	}
	return nil
}

func sparsePage() (phys.Addr, bool) {
	if n := len(sparseUsed); n > 0 {
		page := sparseUsed[n-1]
		sparseUsed = sparseUsed[:n-1]
		return page, true
	}
	for len(sparseFree) > 0 {
		r := &sparseFree[0]
		if page, ok := phys.AlignUp(r.Start, phys.PageSize); ok && page+phys.PageSize <= r.End {
			r.Start = page + phys.PageSize
			return page, true
		}
		sparseFree = sparseFree[1:]
	}
	return 0, false
}

// unback takes the pages away again.
func unback(start, n uint64) {
	const reach = 2 << 20 // of a page table: where there is none, nothing is mapped
	for va := start; va < start+n; {
		if !boardtest.Table(va) {
			va = va&^(reach-1) + reach
			continue
		}
		if page := boardtest.Unmap(va); page != 0 {
			sparseUsed = append(sparseUsed, phys.Addr(page))
		}
		va += phys.PageSize
	}
	if sparseLive--; sparseLive == 0 {
		sparseNext = sparseBase
	}
}

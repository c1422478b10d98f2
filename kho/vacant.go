package kho

import (
	"encoding/binary"

	"ferry/phys"
)

// Bitmaps of memory that is not there. Linux clears the bit of a block that it gives up
// and keeps the bitmap and the nodes above it (__kho_unpreserve, kho_radix_del_key). If
// the memory was plugged in after boot, above all RAM of the firmware's table, they are
// all that is left to see of it. Without a bit they preserve nothing, and readers find
// nothing in them: they are proved to be empty, kept apart like all other pages of the
// map, and go on with it as long as its form does.

// maxVacant bounds how many pages of the map describe memory that is not there: enough
// for a terabyte of plugged memory in pages, and for a few dozen in huge pages.
const maxVacant = 1 << 13

// vacate proves that the node at a of the given level of a tree has no bits below it,
// and enters it and what is below it into m.vacant. It reports whether that is so.
func (m *Map) vacate(level int, a phys.Addr) bool {
	page, err := m.rules.View(m.mem, "page", a)
	if err != nil || len(m.vacant) == maxVacant {
		return false
	}
	m.vacant = append(m.vacant, a.PFN())
	if level == 0 {
		return zeroLeaf(page)
	}
	for ; len(page) > 0; page = page[8:] {
		if child := phys.Addr(binary.LittleEndian.Uint64(page)); child != 0 && !m.vacate(level-1, child) {
			return false
		}
	}
	return true
}

// zeroLeaf reports whether the leaf in page has no bits.
func zeroLeaf(page []byte) bool {
	for ; len(page) > 0; page = page[partBytes:] {
		if *(*[partBytes]byte)(page) != zeroPart {
			return false
		}
	}
	return true
}

package blockset

import (
	"hash/maphash"
	"math/bits"

	"ferry/phys"
)

// PageSet is a set of pages, for finding a page that is referred to twice. It
// takes one bit a page in lines of 2 MiB of address space: at most 100 bytes a
// line that holds any page, so it is bounded both by the number of pages added
// and, where they are dense, by the size of RAM. The zero value is empty.
type PageSet struct {
	slots []slot // open addressing, a power of two, at most 3/4 full
	lines [][lineWords]uint64
	mul   uint64 // odd and random, so that no handover can aim for collisions
	shift int
	last  slot // line used last: neighbours mostly follow each other
}

// slot names the line of one 2 MiB stretch.
type slot struct {
	key  uint64 // number of the stretch plus 1; 0 is a free slot
	line int
}

const (
	linePages = 512
	lineWords = linePages / 64
)

// Add enters the page at a and reports whether it was absent.
func (s *PageSet) Add(a phys.Addr) bool {
	pfn := uint64(a.PFN())
	if key := pfn/linePages + 1; s.last.key != key {
		s.last = slot{key, s.find(key)}
	}
	word := &s.lines[s.last.line][pfn%linePages/64]
	bit := uint64(1) << (pfn % 64)
	absent := *word&bit == 0
	*word |= bit
	return absent
}

// find returns the line of key, a new one where there is none.
func (s *PageSet) find(key uint64) int {
	if 4*len(s.lines) >= 3*len(s.slots) {
		s.grow()
	}
	p := s.probe(key)
	if p.key == 0 {
		*p = slot{key, len(s.lines)}
		s.lines = append(s.lines, [lineWords]uint64{})
	}
	return p.line
}

// probe returns the slot of key or the free slot where it belongs.
func (s *PageSet) probe(key uint64) *slot {
	mask := len(s.slots) - 1
	for i := int(key * s.mul >> s.shift); ; i++ {
		if p := &s.slots[i&mask]; p.key == key || p.key == 0 {
			return p
		}
	}
}

// grow doubles the number of slots.
func (s *PageSet) grow() {
	old := s.slots
	if s.mul == 0 {
		s.mul = maphash.Bytes(maphash.MakeSeed(), nil) | 1
	}
	s.slots = make([]slot, max(16, 2*len(old)))
	s.shift = 64 - bits.TrailingZeros(uint(len(s.slots)))
	for _, o := range old {
		if o.key != 0 {
			*s.probe(o.key) = o
		}
	}
}

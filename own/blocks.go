package own

import (
	"hash/maphash"
	"math/bits"

	"ferry/phys"
)

// Blocks is a set of blocks, for finding one that is referred to twice. Members
// that overlap but differ are different members; a [Ledger] never adds such,
// because preserved blocks do not overlap.
//
// It takes one bit a block, whatever the block's order, in lines of 1024 blocks
// of one order that follow each other: at most 171 bytes a line that holds any
// block. So its size is bounded by the number of blocks added and, if they are
// many, by the size of RAM: 1 TiB of blocks of order 9 takes 64 KiB of lines.
// Memory is taken a few lines at a time and no line is ever copied. The zero
// value is empty.
type Blocks struct {
	slots []slot  // open addressing, a power of two, at most 3/4 full
	lines int     // slots in use
	fresh []line  // lines not used yet
	spare []*line // lines that Clear freed
	mul   uint64  // odd and random, so that no handover can aim for collisions
	shift int
	last  slot // line used last: neighbours mostly follow each other
}

// slot names one line.
type slot struct {
	key  uint64 // number of the line plus 1; 0 is a free slot
	line *line
}

// line has one bit for each of the blocks whose keys agree in all but the last
// lineShift bits.
type line [1 << lineShift / 64]uint64

const (
	lineShift  = 10
	freshLines = 32 // taken from the heap at a time: 4 KiB
)

// orderBase is the position of the bit for order 0 in a key.
const orderBase = 64 - phys.PageShift

// key returns a number that no other block has: which one of its order the block
// is, below a bit for the order. The preserved-memory map of Linux
// numbers blocks the same way.
func key(b phys.Block) uint64 {
	return 1<<(orderBase-b.Order) | uint64(b.Addr)>>(phys.PageShift+b.Order)
}

// Add enters b, whose order must not exceed [phys.MaxOrder], and reports whether
// it was absent.
func (s *Blocks) Add(b phys.Block) bool {
	k := key(b)
	if n := k>>lineShift + 1; s.last.key != n {
		s.last = slot{n, s.find(n)}
	}
	word := &s.last.line[k%(1<<lineShift)/64]
	bit := uint64(1) << (k % 64)
	absent := *word&bit == 0
	*word |= bit
	return absent
}

// Has reports whether b, whose order must not exceed [phys.MaxOrder], is in the set.
func (s *Blocks) Has(b phys.Block) bool {
	k := key(b)
	return s.word(k)>>(k%64)&1 != 0
}

// Clear empties the set. Its memory is used again.
func (s *Blocks) Clear() {
	if s.lines == 0 {
		return
	}
	for _, p := range s.slots {
		if p.key != 0 {
			*p.line = line{}
			s.spare = append(s.spare, p.line)
		}
	}
	clear(s.slots)
	s.lines, s.last = 0, slot{}
}

// Word returns which of 64 blocks of order o are in the set: bit i is for
// block number first+i of that order, counted from address 0; first is a multiple
// of 64.
func (s *Blocks) Word(o phys.Order, first uint64) uint64 {
	return s.word(uint64(1)<<(orderBase-o) | first)
}

// word returns the 64 bits of which that of key k is one.
func (s *Blocks) word(k uint64) uint64 {
	if len(s.slots) == 0 {
		return 0
	}
	if n := k>>lineShift + 1; s.last.key != n {
		p := s.probe(n)
		if p.key == 0 {
			return 0
		}
		s.last = *p
	}
	return s.last.line[k%(1<<lineShift)/64]
}

// find returns the line of key, a new one if there is none.
func (s *Blocks) find(key uint64) *line {
	if 4*s.lines >= 3*len(s.slots) {
		s.grow()
	}
	p := s.probe(key)
	if p.key == 0 {
		*p = slot{key, s.take()}
		s.lines++
	}
	return p.line
}

// take returns an empty line.
func (s *Blocks) take() (l *line) {
	if n := len(s.spare) - 1; n >= 0 {
		l, s.spare = s.spare[n], s.spare[:n]
		return l
	}
	if len(s.fresh) == 0 {
		s.fresh = make([]line, freshLines)
	}
	l, s.fresh = &s.fresh[0], s.fresh[1:]
	return l
}

// probe returns the slot of key or the free slot where it belongs.
func (s *Blocks) probe(key uint64) *slot {
	mask := len(s.slots) - 1
	for i := int(key * s.mul >> s.shift); ; i++ {
		if p := &s.slots[i&mask]; p.key == key || p.key == 0 {
			return p
		}
	}
}

// grow doubles the number of slots.
func (s *Blocks) grow() {
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

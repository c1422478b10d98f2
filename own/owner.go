package own

import (
	"fmt"
	"math"
	"slices"

	"ferry/phys"
)

// owner is an object that owns blocks. The zero value is nobody that is known.
type owner struct {
	kind uint16    // in the names of the space
	at   phys.Addr // 0: where its only block is
}

// names are the kinds of owners and their parts, by number. Number 0 is none.
type names struct{ list []string }

const maxNames = 1024

// index returns the number of a name, 0 if there are too many.
func (n *names) index(name string) uint16 {
	i := slices.Index(n.list, name)
	if i < 0 {
		if len(n.list) == maxNames {
			return 0
		}
		i, n.list = len(n.list), append(n.list, name)
	}
	return uint16(i + 1)
}

func (n *names) name(i uint16) string {
	if i == 0 {
		return "another object"
	}
	return n.list[i-1]
}

// of names an owner of b.
func (n *names) of(o owner, b phys.Block) string {
	if o.at == 0 {
		o.at = b.Addr
	}
	return fmt.Sprintf("%s %v", n.name(o.kind), o.at)
}

// whole names an owner of b and the part of it that b is.
func (n *names) whole(o owner, part uint16, b phys.Block) string {
	if part == o.kind || part == 0 {
		return n.of(o, b)
	}
	return n.of(o, b) + " (" + n.name(part) + ")"
}

// claims remember who claimed which blocks, only for the words of an error. An
// object claims its blocks one after another, so it takes one span for each of its
// parts, whatever their number. If the spans of two objects overlap, as those of
// files with interleaved memory do, neither is named.
//
// Beyond [maxSpans] spans, 192 KiB, nothing is remembered, and beyond maxNamed errors
// nothing is looked up: owners are then not named, and all else stays as it is.
type claims struct {
	chunks []*[spansAtOnce]span
	n      int
	part   string // that of the last claim, and its number
	number uint16
	named  int
}

// span is memory in which all blocks of one order are one part of one owner's, as far
// as they have an owner.
type span struct {
	lo   uint64 // key of the first block
	at   phys.Addr
	more uint32 // blocks behind the first
	kind uint16 // with at, the owner
	part uint16
}

func (s *span) by() owner { return owner{s.kind, s.at} }

// add makes the span reach to the block of key k, if it can.
func (s *span) add(k uint64) bool {
	lo, hi := min(s.lo, k), max(s.lo+uint64(s.more), k)
	if hi-lo > math.MaxUint32 {
		return false
	}
	s.lo, s.more = lo, uint32(hi-lo)
	return true
}

const (
	spansAtOnce = 128 // taken from the heap at a time: 3 KiB
	lookBack    = 4   // spans that a claim may add to: objects claim blocks of several orders in turn
	maxSpans    = 1 << 13
	maxNamed    = 64
)

// note remembers that by owns b as a part of it.
func (l *Ledger) note(by owner, part string, b phys.Block) {
	c, k := &l.claims, key(b)
	if c.part != part {
		c.part, c.number = part, l.space.names.index(part)
	}
	for i := c.n - 1; i >= max(0, c.n-lookBack); i-- {
		s := c.at(i)
		if s.by() == by && s.part == c.number && s.lo>>(orderBase-b.Order) == 1 && s.add(k) {
			return
		}
	}
	if c.n == maxSpans {
		return
	}
	if c.n == len(c.chunks)*spansAtOnce {
		c.chunks = append(c.chunks, new([spansAtOnce]span))
	}
	c.n++
	*c.at(c.n - 1) = span{lo: k, at: by.at, kind: by.kind, part: c.number}
}

func (c *claims) at(i int) *span { return &c.chunks[i/spansAtOnce][i%spansAtOnce] }

func (c *claims) clear() { c.n = 0 }

// owner returns who owns b and as which part, nobody if that is not known.
func (l *Ledger) owner(b phys.Block) (by owner, part uint16) {
	c, k := &l.claims, key(b)
	if c.named++; c.named > maxNamed || c.n == maxSpans {
		return owner{}, 0
	}
	for i := range c.n {
		s := c.at(i)
		if k < s.lo || k-s.lo > uint64(s.more) {
			continue
		}
		if by != (owner{}) && by != s.by() {
			return owner{}, 0
		}
		by, part = s.by(), s.part
	}
	return by, part
}

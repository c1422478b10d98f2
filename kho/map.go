package kho

import (
	"math/bits"
	"slices"

	"ferry/own"
	"ferry/phys"
)

// Map is the preserved-memory map: a set of naturally aligned blocks. A block is
// a member with its exact order; the next kernel takes its size only from here.
//
// A Map of a handover never changes. Queries cost a search among the leaves of
// each order in use; they neither allocate nor fail, because the structure was
// proved when it was read.
type Map struct {
	mem   phys.Memory
	rules *own.Rules
	root  phys.Addr

	levels  [topLevel + 1][]node // of a radix tree, nodes of levels 5 to 1, ascending by prefix
	chunks  []phys.Addr          // of a list, in its order
	orders  [maxOrder + 1][]leaf // leaves of each order, ascending by window
	present uint64               // bit o: order o has a leaf
	nodes   []phys.PFN           // every page of the structure, ascending
	vacant  []phys.PFN           // those of them that describe memory that is not there, of a radix tree
}

// read fills the map, written as f at m.root, and proves it.
func (m *Map) read(f *Format) error {
	if err := f.index.read(m); err != nil {
		return err
	}
	return m.checkBlocks()
}

// at returns the leaf of the given order and window, or nil.
func (m *Map) at(o phys.Order, window uint64) *leaf {
	ls := m.orders[o]
	if i := search(ls, window); i < len(ls) && ls[i].window == window {
		return &ls[i]
	}
	return nil
}

// inUse yields the orders that have leaves, ascending, as long as next is not 0:
//
//	for rest := m.present; rest != 0; { o := nextOrder(&rest) ... }
func nextOrder(rest *uint64) phys.Order {
	o := bits.TrailingZeros64(*rest)
	*rest &= *rest - 1
	return phys.Order(o)
}

// number returns which block of order o, counted from address 0, contains a.
func number(a phys.Addr, o phys.Order) uint64 { return uint64(a) >> (phys.PageShift + o) }

// block returns block number n of order o.
func block(n uint64, o phys.Order) phys.Block {
	return phys.Block{Addr: phys.Addr(n << (phys.PageShift + o)), Order: o}
}

// holds reports whether block number n of order o is a member.
func (m *Map) holds(o phys.Order, n uint64) bool {
	l := m.at(o, n>>leafShift)
	return l != nil && l.has(n&(leafBits-1))
}

// Preserved reports whether b is a member: this address with exactly this order.
func (m *Map) Preserved(b phys.Block) bool {
	return b.Order <= maxOrder && b.Addr.Aligned(b.Order.Bytes()) && m.holds(b.Order, number(b.Addr, b.Order))
}

// Head returns the member that starts at a.
func (m *Map) Head(a phys.Addr) (b phys.Block, ok bool) {
	for rest := m.present; rest != 0; {
		o := nextOrder(&rest)
		if !a.Aligned(o.Bytes()) {
			break
		}
		if m.holds(o, number(a, o)) {
			return phys.Block{Addr: a, Order: o}, true
		}
	}
	return phys.Block{}, false
}

// Find returns the member that covers the byte at a.
func (m *Map) Find(a phys.Addr) (b phys.Block, ok bool) {
	for rest := m.present; rest != 0; {
		o := nextOrder(&rest)
		if n := number(a, o); m.holds(o, n) {
			return block(n, o), true
		}
	}
	return phys.Block{}, false
}

// Covers reports whether every byte of r is preserved, by one member or by
// several. An empty r is covered if its start is.
func (m *Map) Covers(r phys.Range) bool {
	for a := r.Start; ; {
		end, ok := m.run(a)
		if !ok {
			return false
		}
		if a = end; a >= r.End {
			return true
		}
	}
}

// run returns the end of the members of one order that cover memory from a on
// without a gap, as far as one leaf goes: it looks at words, not at members.
func (m *Map) run(a phys.Addr) (end phys.Addr, ok bool) {
	for rest := m.present; rest != 0; {
		o := nextOrder(&rest)
		n := number(a, o)
		if l := m.at(o, n>>leafShift); l != nil && l.has(n&(leafBits-1)) {
			return block(n&^(leafBits-1)+l.gap(n&(leafBits-1)), o).Addr, true
		}
	}
	return 0, false
}

// Overlaps reports whether any byte of r is preserved, and a member that covers
// one.
func (m *Map) Overlaps(r phys.Range) (phys.Block, bool) {
	for rest := m.present; rest != 0 && !r.Empty(); {
		o := nextOrder(&rest)
		if n, ok := m.next(o, number(r.Start, o), number(r.End-1, o)+1); ok {
			return block(n, o), true
		}
	}
	return phys.Block{}, false
}

// next returns the first member of order o whose number is in [from, to).
func (m *Map) next(o phys.Order, from, to uint64) (uint64, bool) {
	ls := m.orders[o]
	for i := search(ls, from>>leafShift); i < len(ls) && ls[i].window<<leafShift < to; i++ {
		base := ls[i].window << leafShift
		lo := max(from, base) - base
		hi := min(to-base, leafBits)
		if b, ok := ls[i].next(lo, hi); ok {
			return base + b, true
		}
	}
	return 0, false
}

// Walk calls visit for every member, larger orders first, ascending addresses
// inside an order, until visit returns an error, which Walk returns.
func (m *Map) Walk(visit func(phys.Block) error) error {
	for o := int(maxOrder); o >= 0; o-- {
		for i := range m.orders[o] {
			if err := m.orders[o][i].walk(phys.Order(o), visit); err != nil {
				return err
			}
		}
	}
	return nil
}

// Words calls visit for each run of 64 blocks of one order, aligned to 64, of
// which any is a member: bit i of set is for block number first+i, counted
// from address 0.
func (m *Map) Words(visit func(o phys.Order, first, set uint64)) {
	for rest := m.present; rest != 0; {
		o := nextOrder(&rest)
		for i := range m.orders[o] {
			l := &m.orders[o][i]
			for j := range leafWords {
				if w := l.word(j); w != 0 {
					visit(o, l.window<<leafShift|uint64(j)<<6, w)
				}
			}
		}
	}
}

// Count returns the number of members. It reads every leaf.
func (m *Map) Count() (n uint64) {
	for o := range m.orders {
		for i := range m.orders[o] {
			for j := range leafWords {
				n += uint64(bits.OnesCount64(m.orders[o][i].word(j)))
			}
		}
	}
	return n
}

// Root returns the address of the page that a handover's device tree points to.
func (m *Map) Root() phys.Addr { return m.root }

// Nodes returns the frames of all pages of the map's own structure, ascending.
// They are not members of the map. The caller must not change the slice.
func (m *Map) Nodes() []phys.PFN { return m.nodes }

// firstNode returns the position in nodes of the first one at or after a.
func (m *Map) firstNode(a phys.Addr) int {
	i, _ := slices.BinarySearch(m.nodes, (a + phys.PageSize - 1).PFN())
	return i
}

// hasNode reports whether a page of the map's own structure starts in r.
func (m *Map) hasNode(r phys.Range) bool {
	i := m.firstNode(r.Start)
	return i < len(m.nodes) && m.nodes[i].Addr() < r.End
}

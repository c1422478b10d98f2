package kho

import (
	"fmt"
	"math/bits"

	"ferry/own"
	"ferry/phys"
)

// checkBlocks proves the members of a map against the memory that may be
// preserved, against its own nodes, and against each other. Work is done by
// words of leaves, not by members: a block of one order is compared with the
// word of a smaller order that covers the same memory.
func (m *Map) checkBlocks() error {
	places := m.rules.Places()
	for rest := m.present; rest != 0; {
		o := nextOrder(&rest)
		if err := m.checkPlaces(o, places); err != nil {
			return err
		}
		for larger := rest; larger != 0; {
			if err := m.checkOrders(o, nextOrder(&larger)); err != nil {
				return err
			}
		}
	}
	for _, n := range m.nodes {
		if b, hit := m.Find(n.Addr()); hit {
			return &phys.Error{Object: fmt.Sprintf("bitmap %s: block", m.bitmap(number(b.Addr, b.Order), b.Order)), Addr: b.Addr, Found: fmt.Sprintf("order %d holds %s, a node of the map", b.Order, n.Addr()),
				Want: "nodes that are not preserved", Err: ErrOverlap}
		}
	}
	return nil
}

// checkPlaces proves that no member of order o reaches outside places.
func (m *Map) checkPlaces(o phys.Order, places phys.Ranges) error {
	end := phys.Addr(0) // of the range before the hole
	for i := 0; i <= len(places); i++ {
		hole := phys.Range{Start: end, End: ^phys.Addr(0)}
		if i < len(places) {
			hole.End, end = places[i].Start, places[i].End
		}
		if hole.Empty() {
			continue
		}
		if n, hit := m.next(o, number(hole.Start, o), number(hole.End-1, o)+1); hit {
			b := block(n, o)
			return &phys.Error{Object: fmt.Sprintf("bitmap %s: block", m.bitmap(n, o)), Addr: b.Addr, Found: fmt.Sprintf("order %d reaches into %v", o, hole),
				Want: "RAM outside scratch, above the first MiB", Err: own.ErrPlace}
		}
	}
	return nil
}

// bitmap returns where the bitmap lies that has block n of order o.
func (m *Map) bitmap(n uint64, o phys.Order) phys.Addr {
	l := &m.orders[o][search(m.orders[o], n>>leafShift)]
	if l.pieces != nil {
		return l.pieces[n%leafBits/(8*partBytes)]
	}
	return l.addr
}

// checkOrders proves that no member of order small lies inside one of order
// large.
func (m *Map) checkOrders(small, large phys.Order) error {
	d := large - small
	for i := range m.orders[small] {
		lo := &m.orders[small][i]
		hi := m.at(large, lo.window>>d)
		if hi == nil {
			continue
		}
		if b, hit := lo.inside(hi, d); hit {
			in := block(lo.window<<leafShift|b, small)
			out := block(number(in.Addr, large), large)
			return &phys.Error{Object: fmt.Sprintf("bitmap %s: block", m.bitmap(number(in.Addr, small), small)), Addr: in.Addr,
				Found: fmt.Sprintf("order %d inside the block of order %d at %s, of bitmap %s", small, large, out.Addr, m.bitmap(number(out.Addr, large), large)),
				Want:  "blocks apart from each other", Err: ErrOverlap}
		}
	}
	return nil
}

// inside returns the first bit of l that lies under a set bit of hi, the leaf d
// orders larger that covers l.
func (l *leaf) inside(hi *leaf, d phys.Order) (uint64, bool) {
	first := (l.window << leafShift >> d) & (leafBits - 1) // bit of hi that covers bit 0 of l
	n := max(uint64(leafBits)>>d, 1)
	for b := first; b < first+n; b += 64 {
		// A word may go on beyond what covers l: its last bits cover nothing of it.
		w := hi.word(int(b/64)) >> (b % 64)
		if at, hit := l.under(w, (b-first)<<d, d); hit {
			return at, true
		}
	}
	return 0, false
}

// under returns the first bit of l that lies under a set bit of w; bit 0 of w
// covers the bits of l from start on, 2^d of them.
func (l *leaf) under(w, start uint64, d phys.Order) (uint64, bool) {
	for ; w != 0; w &= w - 1 {
		at := start + uint64(bits.TrailingZeros64(w))<<d
		if d < 6 && at < leafBits && l.word(int(at/64))>>(at%64)&(1<<(1<<d)-1) == 0 {
			continue // the usual case, in one word
		}
		if b, hit := l.next(at, min(at+1<<d, leafBits)); hit {
			return b, true
		}
	}
	return 0, false
}

package kho

import (
	"slices"

	"ferry/own"
	"ferry/phys"
)

// How a draft changes its map: leaf by leaf, each one copied before its first
// change, so that the leaves of the incoming handover stay unchanged.

// insert adds b, which was proved free.
func (d *Draft) insert(b phys.Block) error {
	if err := d.mark(b, true); err != nil {
		return err
	}
	d.stats.Preserved++
	return nil
}

// parts calls visit for the blocks that make up b in the draft's format.
func (d *Draft) parts(b phys.Block, visit func(phys.Block) error) error {
	o := min(b.Order, d.format.maxBlock)
	for n := range uint64(1) << (b.Order - o) {
		if err := visit(phys.Block{Addr: b.Addr + phys.Addr(n*o.Bytes()), Order: o}); err != nil {
			return err
		}
	}
	return nil
}

// member reports whether the draft preserves b, in parts if need be.
func (d *Draft) member(b phys.Block) bool {
	if b.Order > maxOrder || !b.Addr.Aligned(b.Order.Bytes()) {
		return false
	}
	return d.parts(b, func(p phys.Block) error {
		if !d.now.Preserved(p) {
			return own.ErrPreserved
		}
		return nil
	}) == nil
}

// mark adds b to the map or takes it out.
func (d *Draft) mark(b phys.Block, in bool) error {
	return d.parts(b, func(p phys.Block) error {
		n := number(p.Addr, p.Order)
		l, err := d.leaf(p.Order, n>>leafShift)
		if err != nil {
			return err
		}
		if at, bit := l.byte(n&(leafBits-1)), byte(1)<<(n&7); in {
			*at |= bit
		} else {
			*at &^= bit
		}
		return nil
	})
}

// split replaces every member that is too large for the format by its parts.
func (d *Draft) split() error {
	for rest := d.now.present &^ (2<<d.format.maxBlock - 1); rest != 0; {
		o := nextOrder(&rest)
		for _, l := range d.now.orders[o] {
			err := l.walk(o, func(b phys.Block) error {
				// The bit in the copy; l stays what it was.
				own, err := d.leaf(o, l.window)
				if err != nil {
					return err
				}
				n := number(b.Addr, o)
				*own.byte(n & (leafBits - 1)) &^= 1 << (n & 7)
				d.stats.Split++
				return d.mark(b, true)
			})
			if err != nil {
				return err
			}
		}
	}
	return nil
}

// leaf returns the draft's own copy of a leaf, making it the first time.
func (d *Draft) leaf(o phys.Order, window uint64) (*leaf, error) {
	i := search(d.now.orders[o], window)
	exists := i < len(d.now.orders[o]) && d.now.orders[o][i].window == window
	if exists && d.now.orders[o][i].own {
		return &d.now.orders[o][i], nil
	}
	from := &leaf{window: window}
	if exists {
		from = &d.now.orders[o][i]
	}
	l, err := d.copyLeaf(from)
	if err != nil {
		return nil, err
	}
	// Taking the page may not have changed the leaves: nodes are not members.
	d.ownOrder(o)
	if !exists {
		d.now.orders[o] = append(d.now.orders[o], leaf{})
		copy(d.now.orders[o][i+1:], d.now.orders[o][i:])
		d.now.present |= 1 << o
	}
	d.now.orders[o][i] = l
	return &d.now.orders[o][i], nil
}

// copyLeaf copies a leaf into a page of the draft's own; one without parts is
// empty.
func (d *Draft) copyLeaf(from *leaf) (leaf, error) {
	a, b, err := d.newNode()
	if err != nil {
		return leaf{}, err
	}
	l := leaf{window: from.window, addr: a, own: true}
	l.setPage(b)
	for j, p := range from.parts {
		if p != nil {
			*l.parts[j] = *p
		}
	}
	return l, nil
}

// ownOrder makes the list of the leaves of order o the draft's own.
func (d *Draft) ownOrder(o phys.Order) {
	if d.ownLeaves>>o&1 == 0 {
		d.now.orders[o] = append([]leaf(nil), d.now.orders[o]...)
		d.ownLeaves |= 1 << o
	}
}

// newNode takes a zeroed page for the map's own structure.
func (d *Draft) newNode() (phys.Addr, []byte, error) {
	a, b, err := d.take(0)
	if err == nil {
		d.newNodes = append(d.newNodes, a)
		d.stats.Nodes++
	}
	return a, b, err
}

// ownNode reports whether a node that the draft wrote lies in r.
func (d *Draft) ownNode(r phys.Range) bool {
	for _, n := range d.newNodes {
		if n >= r.Start && n < r.End {
			return true
		}
	}
	return false
}

// listNodes lists the pages of the map anew.
func (d *Draft) listNodes() {
	m := d.now
	m.nodes = slices.Clone(m.vacant)
	for _, level := range m.levels {
		for _, n := range level {
			m.nodes = append(m.nodes, n.addr.PFN())
		}
	}
	for _, a := range m.chunks {
		m.nodes = append(m.nodes, a.PFN())
	}
	for o := range m.orders {
		for i := range m.orders[o] {
			m.orders[o][i].pages(func(a phys.Addr) { m.nodes = append(m.nodes, a.PFN()) })
		}
	}
	slices.Sort(m.nodes)
	m.nodes = slices.Compact(m.nodes)
	own := slices.Clone(d.newNodes)
	slices.Sort(own)
	d.stats.NodesKept = 0
	for _, n := range m.nodes {
		if _, ok := slices.BinarySearch(own, n.Addr()); !ok {
			d.stats.NodesKept++
		}
	}
}

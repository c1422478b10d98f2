package kho

import (
	"encoding/binary"

	"ferry/phys"
)

// write makes chunks for the bitmaps that there are, orders and addresses
// ascending as Linux does it; a draft always has some, so the list is never
// empty. Bitmaps stay where they are, except that leaves in pieces are put
// together if the format wants pages. Leaves without bits are left out, and parts
// without bits if the format wants parts.
func (f list) write(d *Draft) error {
	if f.bitmap == phys.PageSize {
		if err := d.joinLeaves(); err != nil {
			return err
		}
	}
	d.now.chunks, d.now.levels, d.now.vacant = nil, [topLevel + 1][]node{}, nil
	var page []byte // of the last chunk
	add := func(o phys.Order, start, bitmap phys.Addr) error {
		n := uint32(listElements)
		if page != nil {
			n = binary.LittleEndian.Uint32(page[listCount:])
		}
		if n == listElements || phys.Order(binary.LittleEndian.Uint32(page[listOrder:])) != o {
			a, next, err := d.newNode()
			if err != nil {
				return err
			}
			if page != nil {
				binary.LittleEndian.PutUint64(page, uint64(a))
			}
			binary.LittleEndian.PutUint32(next[listOrder:], uint32(o))
			d.now.chunks, page, n = append(d.now.chunks, a), next, 0
		}
		binary.LittleEndian.PutUint64(page[listHeader+n*listElement:], uint64(start))
		binary.LittleEndian.PutUint64(page[listHeader+n*listElement+8:], uint64(bitmap))
		binary.LittleEndian.PutUint32(page[listCount:], n+1)
		return nil
	}
	for rest := d.now.present; rest != 0; {
		o := nextOrder(&rest)
		d.dropEmpty(o)
		for i := range d.now.orders[o] {
			if err := f.name(&d.now.orders[o][i], o, add); err != nil {
				return err
			}
		}
	}
	d.now.root = d.now.chunks[0]
	d.listNodes()
	return nil
}

// name adds the elements of one leaf.
func (f list) name(l *leaf, o phys.Order, add func(phys.Order, phys.Addr, phys.Addr) error) error {
	start := block(l.window<<leafShift, o).Addr
	if f.bitmap == phys.PageSize {
		return add(o, start, l.addr)
	}
	for j := range l.parts {
		if l.empty(j) {
			continue
		}
		at := l.addr + phys.Addr(j*partBytes)
		if l.pieces != nil {
			at = l.pieces[j]
		}
		if err := add(o, start+phys.Addr(uint64(j)*f.reach(o)), at); err != nil {
			return err
		}
	}
	return nil
}

// dropEmpty takes leaves of order o without bits out of the draft's map.
func (d *Draft) dropEmpty(o phys.Order) {
	d.ownOrder(o)
	kept := d.now.orders[o][:0]
	for _, l := range d.now.orders[o] {
		for j := range l.parts {
			if !l.empty(j) {
				kept = append(kept, l)
				break
			}
		}
	}
	if d.now.orders[o] = kept; len(kept) == 0 {
		d.now.present &^= 1 << o
	}
}

// joinLeaves gives every leaf that lies in pieces a page.
func (d *Draft) joinLeaves() error {
	for rest := d.now.present; rest != 0; {
		o := nextOrder(&rest)
		for i := range d.now.orders[o] {
			if d.now.orders[o][i].pieces == nil {
				continue
			}
			l, err := d.copyLeaf(&d.now.orders[o][i])
			if err != nil {
				return err
			}
			d.ownOrder(o)
			d.now.orders[o][i] = l
		}
	}
	return nil
}

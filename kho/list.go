package kho

import (
	"cmp"
	"encoding/binary"
	"fmt"
	"slices"

	"ferry/own"
	"ferry/phys"
)

// Geometry of a chunk (struct khoser_mem_chunk, the same in every kho-v1): a
// page of a header - the next chunk's address, the order of all blocks, the
// number of elements - and elements of two addresses: that of the block of
// bit 0, and that of the bitmap.
const (
	listOrder    = 8
	listCount    = 12
	listHeader   = 16
	listElement  = 16
	listElements = (phys.PageSize - listHeader) / listElement
)

// list is the index of the kho-v1 formats: a chain of chunks that name bitmaps.
// A bitmap has the bits of a leaf, or of a part of one.
type list struct{ bitmap uint64 } // bytes of a bitmap: of a leaf or of a part

// element is one bitmap of a list.
type element struct {
	start  phys.Addr // of the block of bit 0
	bitmap phys.Addr
	at     phys.Addr // of the element itself
	seq    uint32    // its place in the list
	order  phys.Order
	vacant bool // describes memory that is not there, and has no bits
}

// object names the element.
func (e *element) object() string {
	return fmt.Sprintf("chunk %s element %d", e.at.Page(), (e.at-e.at.Page()-listHeader)/listElement)
}

// reach returns the bytes that a bitmap of order o describes, 0 for 2^64.
func (f list) reach(o phys.Order) uint64 { return f.bitmap * 8 << (phys.PageShift + o) }

// limit returns how many bitmaps a list can have whose blocks end below top:
// one for each stretch of memory and order that RAM has room for.
func (f list) limit(top phys.Addr) (n int) {
	for o := phys.Order(0); o <= maxOrder && phys.Addr(o.Bytes()) <= top; o++ {
		n++
		if r := f.reach(o); r != 0 {
			n += int((uint64(top) - 1) / r)
		}
	}
	return n
}

// scan walks the chunks from root on and proves them, and what their elements
// point to. The walk is bounded by RAM even if the list loops: no chunk is
// visited twice, and there are no more elements than RAM has windows.
func (f list) scan(mem phys.Memory, root phys.Addr, rules *own.Rules) (chunks []phys.Addr, all []element, err error) {
	var top phys.Addr
	if ram := mem.RAM(); len(ram) > 0 {
		top = ram[len(ram)-1].End
	}
	limit, live, vacant := f.limit(top), 0, 0
	seen := make(map[phys.Addr]bool)
	for at, next := root, root; next != 0; {
		what := "chunk"
		if at != root || len(chunks) > 0 {
			what = fmt.Sprintf("chunk %s link", at)
		}
		bad := func(found, want string) error {
			return &phys.Error{Object: what, Addr: at, Found: found, Want: want, Err: ErrMap}
		}
		if seen[next] {
			return nil, nil, bad(fmt.Sprintf("a second reference to chunk %s", next), "each chunk referenced once: no cycle")
		}
		if len(chunks) > limit+maxVacant/listElements+int(maxOrder) {
			return nil, nil, bad(fmt.Sprintf("more than %d chunks", len(chunks)), "no more than RAM has room for")
		}
		page, err := rules.View(mem, "page", next)
		if err != nil {
			return nil, nil, phys.In(what, next, err)
		}
		seen[next], chunks, at = true, append(chunks, next), next
		if all, err = f.elements(mem, at, page, top, rules, all); err != nil {
			return nil, nil, phys.In(fmt.Sprintf("chunk %s", at), at, err)
		}
		for _, e := range all[live+vacant:] {
			if e.vacant {
				vacant++
			} else {
				live++
			}
		}
		if live > limit || vacant > maxVacant {
			return nil, nil, &phys.Error{Object: fmt.Sprintf("chunk %s", at), Addr: at, Found: fmt.Sprintf("%d bitmaps up to here", len(all)),
				Want: fmt.Sprintf("at most %d, one for each window of RAM, and %d empty ones", limit, maxVacant), Err: ErrMap}
		}
		next = phys.Addr(binary.LittleEndian.Uint64(page))
	}
	for _, e := range all {
		if seen[e.bitmap.Page()] {
			return nil, nil, &phys.Error{Object: "element", Addr: e.at, Found: fmt.Sprintf("bitmap %s in a chunk", e.bitmap),
				Want: "memory of its own", Err: ErrMap}
		}
	}
	return chunks, all, nil
}

// elements appends the elements of the chunk at a to all.
func (f list) elements(mem phys.Memory, a phys.Addr, page []byte, top phys.Addr, rules *own.Rules, all []element) ([]element, error) {
	o, n := binary.LittleEndian.Uint32(page[listOrder:]), binary.LittleEndian.Uint32(page[listCount:])
	if o > uint32(maxOrder) {
		return nil, &phys.Error{Object: "header", Addr: a + listOrder, Found: fmt.Sprintf("order %d", o), Want: fmt.Sprintf("at most %d", maxOrder), Err: ErrMap}
	}
	if n > listElements {
		return nil, &phys.Error{Object: "header", Addr: a + listCount, Found: fmt.Sprintf("%d elements", n), Want: fmt.Sprintf("at most %d", listElements), Err: ErrMap}
	}
	for i := range int(n) {
		at := listHeader + i*listElement
		e := element{order: phys.Order(o), at: a + phys.Addr(at), seq: uint32(len(all)),
			start:  phys.Addr(binary.LittleEndian.Uint64(page[at:])),
			bitmap: phys.Addr(binary.LittleEndian.Uint64(page[at+8:]))}
		bad := func(rule error, found, want string) error {
			return &phys.Error{Object: fmt.Sprintf("element %d", i), Addr: e.at, Found: found, Want: want, Err: rule}
		}
		switch reach := f.reach(e.order); {
		case !e.start.Aligned(reach):
			return nil, bad(ErrMap, fmt.Sprintf("order %d from %s on", o, e.start), fmt.Sprintf("a multiple of %#x", reach))
		case !e.bitmap.Aligned(f.bitmap):
			return nil, bad(own.ErrPlace, fmt.Sprintf("bitmap %s", e.bitmap), fmt.Sprintf("a multiple of %d", f.bitmap))
		}
		bitmap, err := rules.View(mem, "page", e.bitmap.Page())
		if err != nil {
			return nil, phys.In(fmt.Sprintf("element %d", i), e.at, err)
		}
		if e.start >= top || uint64(top-e.start) < e.order.Bytes() {
			// Kernels with small bitmaps give up no block.
			if e.vacant = f.bitmap == phys.PageSize && zeroLeaf(bitmap); !e.vacant {
				return nil, bad(ErrMap, fmt.Sprintf("order %d from %s on", o, e.start), fmt.Sprintf("blocks in RAM, which ends at %s", top))
			}
		}
		all = append(all, e)
	}
	return all, nil
}

// read collects the bitmaps of the list. Its cost follows their number.
func (f list) read(m *Map) error {
	if m.root == 0 {
		return nil // nothing is preserved
	}
	chunks, all, err := f.scan(m.mem, m.root, m.rules)
	if err != nil {
		return err
	}
	second := func(a, b element, what string) error {
		if a.seq > b.seq {
			a, b = b, a
		}
		return &phys.Error{Object: b.object(), Addr: b.at,
			Found: fmt.Sprintf("a second %s, after the one at %s", what, a.at), Want: "one", Err: ErrMap}
	}
	slices.SortFunc(all, func(a, b element) int { return cmp.Compare(a.bitmap, b.bitmap) })
	for i, e := range all {
		if i > 0 && e.bitmap == all[i-1].bitmap {
			return second(all[i-1], e, fmt.Sprintf("reference to bitmap %s", e.bitmap))
		}
		m.nodes = append(m.nodes, e.bitmap.PFN())
	}
	slices.SortFunc(all, func(a, b element) int { return cmp.Or(cmp.Compare(a.order, b.order), cmp.Compare(a.start, b.start)) })
	for i, e := range all {
		if i > 0 && e.order == all[i-1].order && e.start == all[i-1].start {
			return second(all[i-1], e, fmt.Sprintf("bitmap of order %d from %s on", e.order, e.start))
		}
	}
	for _, a := range chunks {
		m.nodes = append(m.nodes, a.PFN())
	}
	slices.Sort(m.nodes)
	m.nodes, m.chunks = slices.Compact(m.nodes), chunks
	return f.leaves(m, slices.DeleteFunc(all, func(e element) bool { return e.vacant }))
}

// leaves makes leaves of the elements, which are in the order of the leaves.
func (f list) leaves(m *Map, all []element) error {
	for i := 0; i < len(all); {
		o := all[i].order
		l := leaf{window: number(all[i].start, o) >> leafShift}
		n := i + 1
		for n < len(all) && all[n].order == o && number(all[n].start, o)>>leafShift == l.window {
			n++
		}
		var err error
		if f.bitmap == phys.PageSize {
			l.addr = all[i].bitmap
			var page []byte
			if page, err = m.mem.View(l.addr, phys.PageSize); err == nil {
				l.setPage(page)
			}
		} else {
			err = l.collect(m.mem, all[i:n])
		}
		if err != nil {
			return err
		}
		i = n
		if l.addr == 0 && l.pieces == nil {
			continue // no bits
		}
		m.orders[o] = append(m.orders[o], l)
		m.present |= 1 << o
	}
	return nil
}

// collect makes a leaf of the parts that are separate bitmaps. If they are
// a page already, each part in its place and zeros between them, the leaf is
// that page; without bits it has no place.
func (l *leaf) collect(mem phys.Memory, parts []element) error {
	for j := range l.parts {
		l.parts[j] = &zeroPart
	}
	pieces := new([leafParts]phys.Addr)
	var page phys.Addr
	whole, bits := true, false
	for _, e := range parts {
		b, err := mem.View(e.bitmap, partBytes)
		if err != nil {
			return err
		}
		j := number(e.start, e.order) >> (leafShift - 3) % leafParts
		l.parts[j] = (*[partBytes]byte)(b)
		if l.empty(int(j)) {
			continue
		}
		home := e.bitmap - phys.Addr(j*partBytes)
		whole = whole && home.Aligned(phys.PageSize) && (page == 0 || page == home)
		pieces[j], page, bits = e.bitmap, home, true
	}
	if !bits {
		return nil
	}
	l.pieces = pieces
	if !whole {
		return nil
	}
	b, err := mem.View(page, phys.PageSize)
	if err != nil {
		return err
	}
	for j := range l.parts {
		if !l.empty(j) || *(*[partBytes]byte)(b[j*partBytes:]) == zeroPart {
			continue
		}
		return nil // something else lies between them
	}
	l.addr, l.pieces = page, nil
	l.setPage(b)
	return nil
}

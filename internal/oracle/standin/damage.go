package standin

import (
	"bytes"
	"fmt"
	"slices"

	"ferry/phys"
)

// Damage is a way to break a handover that [Produce] made. It takes a shape of
// one region and, where there are sessions, at least two blocks of sessions, with
// two files or more in a block.
type Damage struct {
	Name string
	// when reports whether the generation's handovers can be broken so.
	when func(g *Generation) bool
	// do breaks the handover and returns what an error about it has to name.
	do func(d *damager) string
}

// DamagesOf lists the ways to break a handover of the generation: each is one
// that a kernel follows into memory that is not what it says.
func DamagesOf(g *Generation) (all []Damage) {
	for _, list := range [][]Damage{mapDamages, listDamages, radixDamages, sessionDamages, fileDamages, arrayDamages, blockDamages} {
		for _, d := range list {
			if d.when(g) {
				all = append(all, d)
			}
		}
	}
	return all
}

// Alone reports whether the damage costs a file or two, and nothing else: a kernel
// comes to it when it looks at those. See [ReceiveDamaged].
func (w Damage) Alone() bool {
	return slices.ContainsFunc(fileDamages, func(d Damage) bool { return d.Name == w.Name })
}

// DamageOf returns the generation's damage of the name.
func DamageOf(g *Generation, name string) (Damage, error) {
	var names []string
	for _, d := range DamagesOf(g) {
		if d.Name == name {
			return d, nil
		}
		names = append(names, d.Name)
	}
	return Damage{}, fmt.Errorf("no damage to a handover of %s is called %q: %v", g.Name, name, names)
}

// Do breaks the handover and returns what an error about it has to name. scratch
// is an address inside a scratch area.
func (w Damage) Do(h Handover, scratch phys.Addr) (named string, err error) {
	d := &damager{producer: h.p, scratch: scratch}
	named = w.do(d)
	return named, d.err
}

type damager struct {
	*producer
	scratch phys.Addr
	err     error
}

// at returns where the first thing of the name lies, and its page.
func (d *damager) at(mark string) (phys.Addr, []byte) {
	at := d.marks[mark]
	if at == 0 {
		d.err = fmt.Errorf("the handover has no %s to break", mark)
	}
	return at, d.page(at)
}

// page returns the page at a, or an empty one after an error.
func (d *damager) page(a phys.Addr) []byte {
	b, err := d.mem.Edit(a, phys.PageSize)
	if err != nil && d.err == nil {
		d.err = err
	}
	if err != nil {
		return make([]byte, phys.PageSize)
	}
	return b
}

// value returns the value of a property of the device tree in the page: of the
// root or of a node that the path names.
func (d *damager) value(page []byte, name string, path ...string) []byte {
	n, err := parseTree(page)
	if err != nil && d.err == nil {
		d.err = err
	}
next:
	for _, p := range path {
		for _, kid := range n.kids {
			if kid.name == p {
				n = kid
				continue next
			}
		}
		d.err = fmt.Errorf("no node %q to break", p)
	}
	v, ok := n.prop(name)
	if !ok {
		d.err = fmt.Errorf("no property %q to break", name)
		return make([]byte, phys.PageSize)
	}
	return v
}

// find returns the bytes of the page from the first text on.
func (d *damager) find(page []byte, text string) []byte {
	at := bytes.Index(page, []byte(text))
	if at < 0 {
		d.err = fmt.Errorf("no %q to break", text)
		at = 0
	}
	return page[at:]
}

// unused is a page of free memory that nobody preserved.
func (d *damager) unused() phys.Addr { return d.free[len(d.free)-1].End - phys.PageSize }

const beyondRAM = phys.Addr(0x7000000000)

// insert enters a block into the map that is there already.
func (d *damager) insert(b phys.Block) string {
	if !d.from.list() {
		if err := d.enter(b, true); err != nil {
			d.err = err
		}
		return b.Addr.String()
	}
	known := len(d.list.bitmaps)
	bitmap, bit, _, err := d.list.bit(&d.arena, b)
	if err != nil {
		d.err = err
		return ""
	}
	bitmap[bit/8] |= 1 << (bit % 8)
	if len(d.list.bitmaps) == known {
		return b.Addr.String()
	}
	// A bitmap that the list does not know yet: a chunk of its own, after the first.
	at, chunk, err := d.take(0)
	if err != nil {
		d.err = err
		return ""
	}
	w := window{b.Order, uint64(b.Addr) / d.list.span(b.Order)}
	_, first := d.at("map")
	copy(chunk, first[:8])
	le.PutUint64(first, uint64(at))
	le.PutUint32(chunk[8:], uint32(b.Order))
	le.PutUint32(chunk[12:], 1)
	le.PutUint64(chunk[16:], w.index*d.list.span(b.Order))
	le.PutUint64(chunk[24:], uint64(d.list.bitmaps[w]))
	return b.Addr.String()
}

// adopt gives the handover one more sub-tree, a device tree in a block of its own of
// the order.
func (d *damager) adopt(name string, tree node, order phys.Order) {
	at, _, err := d.take(order)
	if err != nil {
		d.err = err
		return
	}
	data, err := d.mem.Edit(at, order.Bytes())
	if err == nil {
		err = tree.marshal(data)
	}
	if err != nil {
		d.err = err
		return
	}
	d.insert(phys.Block{Addr: at, Order: order})
	_, page := d.at("fdt")
	root, err := parseTree(bytes.Clone(page))
	root.kids = append(root.kids, d.treeNode(name, at, data))
	if err == nil {
		err = root.marshal(page)
	}
	if err != nil {
		d.err = err
	}
}

func always(*Generation) bool { return true }

// mapDamages break what all handovers have.
var mapDamages = []Damage{
	{"truncated-tree", always, func(d *damager) string {
		at, b := d.at("fdt")
		be.PutUint32(b[4:], 0x40)
		return at.String()[:len(at.String())-3]
	}},
	{"unknown-version", always, func(d *damager) string {
		_, b := d.at("fdt")
		d.find(b, d.from.kho)[5] = '9'
		return "kho-v9"
	}},
	{"no-map", always, func(d *damager) string {
		_, b := d.at("fdt")
		clear(d.value(b, "preserved-memory-map"))
		if d.from.list() {
			return "without a map of what is preserved"
		}
		return "preserved-memory map"
	}},
	{"map-outside-ram", always, func(d *damager) string {
		_, b := d.at("fdt")
		copy(d.value(b, "preserved-memory-map"), le64(uint64(beyondRAM)))
		return beyondRAM.String()
	}},
	{"map-in-scratch", always, func(d *damager) string {
		_, b := d.at("map")
		copy(d.page(d.scratch), b)
		_, b = d.at("fdt")
		copy(d.value(b, "preserved-memory-map"), le64(uint64(d.scratch)))
		return d.scratch.String()
	}},
	{"map-preserved", always, func(d *damager) string {
		at, _ := d.at("map")
		return d.insert(phys.Block{Addr: at})
	}},
	{"preserved-in-scratch", always, func(d *damager) string { return d.insert(phys.Block{Addr: d.scratch}) }},
	{"preserved-outside-ram", always, func(d *damager) string { return d.insert(phys.Block{Addr: beyondRAM}) }},
	{"preserved-twice", always, func(d *damager) string {
		at, _ := d.at("fdt")
		d.insert(phys.Block{Addr: phys.AlignDown(at, 2*phys.PageSize), Order: 1})
		return phys.AlignDown(at, 2*phys.PageSize).String()
	}},
	{"region-not-preserved", always, func(d *damager) string {
		_, b := d.at("memblock")
		at := d.unused()
		copy(d.value(b, "start", "region0"), le64(uint64(at)))
		return at.String()
	}},
	{"bulky-text", always, func(d *damager) string {
		const order = 10 // the largest that Linux allocates
		text := make([]byte, phys.Order(order).Bytes()-phys.PageSize)
		text[len(text)-1] = 1
		d.adopt(testTree, node{props: []prop{{"compatible", text}}}, order)
		return fmt.Sprintf("... (%d bytes), want a zero at the end", len(text))
	}},
	{"sub-tree-not-preserved", always, func(d *damager) string {
		_, b := d.at("fdt")
		at := d.unused()
		copy(d.value(b, d.from.pointer, "memblock"), le64(uint64(at)))
		return at.String()
	}},
}

// listDamages break the list of bitmaps.
var listDamages = []Damage{
	{"chunk-cycle", (*Generation).list, func(d *damager) string {
		at, b := d.at("map")
		le.PutUint64(b, uint64(at))
		return at.String()
	}},
	{"chunk-misaligned", (*Generation).list, func(d *damager) string {
		at, b := d.at("map")
		le.PutUint64(b, uint64(at)+8)
		return (at + 8).String()
	}},
	{"chunk-outside-ram", (*Generation).list, func(d *damager) string {
		_, b := d.at("map")
		le.PutUint64(b, uint64(beyondRAM))
		return beyondRAM.String()
	}},
	{"too-many-elements", (*Generation).list, func(d *damager) string {
		at, b := d.at("map")
		le.PutUint32(b[12:], 256)
		return at.String()
	}},
	{"order-19", (*Generation).list, func(d *damager) string {
		at, b := d.at("map")
		le.PutUint32(b[8:], 19)
		return at.String()
	}},
	{"order-64", (*Generation).list, func(d *damager) string {
		at, b := d.at("map")
		le.PutUint32(b[8:], 64)
		return at.String()
	}},
	{"start-misaligned", (*Generation).list, func(d *damager) string {
		_, b := d.at("map")
		start := le.Uint64(b[16:]) + phys.PageSize
		le.PutUint64(b[16:], start)
		return phys.Addr(start).String()
	}},
	{"window-twice", (*Generation).list, func(d *damager) string {
		at, b := d.at("map")
		n := le.Uint32(b[12:])
		copy(b[16+16*n:], b[16:32])
		le.PutUint32(b[12:], n+1)
		return at.String()
	}},
	{"bitmap-outside-ram", (*Generation).list, func(d *damager) string {
		_, b := d.at("map")
		le.PutUint64(b[24:], uint64(beyondRAM))
		return beyondRAM.String()
	}},
	{"bitmap-misaligned", (*Generation).list, func(d *damager) string {
		_, b := d.at("map")
		at := le.Uint64(b[24:]) + 8
		le.PutUint64(b[24:], at)
		return phys.Addr(at).String()
	}},
	{"no-bitmap", (*Generation).list, func(d *damager) string {
		at, b := d.at("map")
		le.PutUint64(b[24:], 0)
		return at.String()
	}},
}

func radix(g *Generation) bool { return !g.list() }

// radixDamages break the tree.
var radixDamages = []Damage{
	{"node-cycle", radix, func(d *damager) string {
		at, b := d.at("map")
		le.PutUint64(b[8*2:], uint64(at)) // the keys of order 0
		return at.String()
	}},
	{"node-outside-ram", radix, func(d *damager) string {
		_, b := d.at("map")
		le.PutUint64(b[8*2:], uint64(beyondRAM))
		return beyondRAM.String()
	}},
	{"node-misaligned", radix, func(d *damager) string {
		_, b := d.at("map")
		at := le.Uint64(b[8*2:]) + 8
		le.PutUint64(b[8*2:], at)
		return phys.Addr(at).String()
	}},
	{"node-of-two", radix, func(d *damager) string {
		_, b := d.at("map")
		copy(b[8*1:], b[8*2:8*3])
		return phys.Addr(le.Uint64(b[8*1:])).String()
	}},
	{"key-too-wide", radix, func(d *damager) string {
		at, b := d.at("map")
		copy(b[8*4:], b[8*2:8*3])
		clear(b[8*2 : 8*3])
		return at.String()[:len(at.String())-3]
	}},
}

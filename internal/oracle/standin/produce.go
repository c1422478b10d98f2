package standin

import (
	"fmt"
	"math/bits"

	"ferry/phys"
)

// arena hands out physical memory from the bottom of its ranges and never takes
// any back.
type arena struct {
	mem  phys.Memory
	free phys.Ranges
}

// take returns a naturally aligned block of the order and, for a single page,
// its bytes, zeroed. Larger blocks are not touched.
func (a *arena) take(order phys.Order) (phys.Addr, []byte, error) {
	for i := range a.free {
		r := &a.free[i]
		start, ok := phys.AlignUp(r.Start, order.Bytes())
		block := phys.Block{Addr: start, Order: order}.Range()
		if !ok || !r.Contains(block) {
			continue
		}
		r.Start = block.End
		if order > 0 {
			return start, nil, nil
		}
		page, err := a.mem.Edit(start, phys.PageSize)
		clear(page)
		return start, page, err
	}
	return 0, nil, fmt.Errorf("no free block of order %d for the handover: give the machine more memory", order)
}

// producer is Linux A in the moment of liveupdate_reboot.
type producer struct {
	arena
	origin
	shape  Shape
	root   phys.Addr // of the tree of preserved memory, where it is one
	list   list      // or the list
	census Census
	marks  map[string]phys.Addr
}

// mark remembers where the first thing of its name lies, for damages.
func (p *producer) mark(name string, at phys.Addr) {
	if p.marks[name] == 0 {
		p.marks[name] = at
	}
}

// enter puts a block into the map, or takes it out.
func (p *producer) enter(b phys.Block, present bool) (err error) {
	var bitmap []byte
	var bit, added uint64
	if p.from.list() {
		bitmap, bit, added, err = p.list.bit(&p.arena, b)
	} else {
		bitmap, bit, added, err = p.leaf(p.root, b)
	}
	p.census.Nodes += added
	if err != nil {
		return err
	}
	if present {
		p.census.Preserved++
		bitmap[bit/8] |= 1 << (bit % 8)
	} else {
		p.census.Preserved--
		bitmap[bit/8] &^= 1 << (bit % 8)
	}
	return nil
}

// preserve takes a block and enters it in the map: kho_alloc_preserve, but for
// the bytes of what is larger than a page.
func (p *producer) preserve(order phys.Order) (phys.Addr, []byte, error) {
	at, page, err := p.take(order)
	if err != nil {
		return 0, nil, err
	}
	return at, page, p.enter(phys.Block{Addr: at, Order: order}, true)
}

// array preserves a block of the order and returns its bytes, zeroed.
func (p *producer) array(order phys.Order) (phys.Addr, []byte, error) {
	at, _, err := p.preserve(order)
	if err != nil {
		return 0, nil, err
	}
	b, err := p.mem.Edit(at, order.Bytes())
	clear(b)
	return at, b, err
}

// Handover is what [Produce] laid into memory.
type Handover struct {
	FDT    phys.Addr // root device tree
	Census Census
	Used   phys.Ranges // memory that holds it, all of it but the scratch table

	p *producer // for damages
}

// Produce lays a handover of the given shape into the free memory, from the
// bottom, as Linux of the generation does. The free ranges must be RAM outside
// scratch and above 1 MiB.
func Produce(mem phys.Memory, free phys.Ranges, g *Generation, shape Shape) (h Handover, err error) {
	if (shape.Sessions > 0 || shape.Files > 0) && !g.Sessions() {
		return h, fmt.Errorf("kernel %s has no live update sessions to preserve", g.release)
	}
	p := &producer{arena: arena{mem, free.Add()}, shape: shape, marks: make(map[string]phys.Addr)}
	p.origin = origin{from: g, plain: shape.Plain, odd: shape.Odd}
	p.list = list{bytes: g.bitmap, aligned: shape.Odd&Aligned != 0, bitmaps: make(map[window]phys.Addr)}
	if !g.list() {
		if p.root, _, err = p.take(0); err != nil {
			return h, err
		}
		p.census.Nodes = 1
	}
	kids, err := p.subtrees()
	if err != nil {
		return h, err
	}
	// What was preserved and is not any more leaves an empty bitmap.
	const gone = 5
	at, _, err := p.preserve(gone)
	if err == nil {
		err = p.enter(phys.Block{Addr: at, Order: gone}, false)
	}
	if err != nil {
		return h, err
	}
	probe, probePage, err := p.preserve(0)
	if err != nil {
		return h, err
	}
	fdt, page, err := p.preserve(0)
	if err != nil {
		return h, err
	}
	p.mark("fdt", fdt)
	if g.list() {
		var added uint64
		if p.root, added, err = p.list.finalize(&p.arena, shape.Odd&Reversed != 0); err != nil {
			return h, err
		}
		p.census.Nodes += added
	}
	p.mark("map", p.root)
	tree := p.origin.tree(p.census)
	if err := tree.marshal(probePage); err != nil {
		return h, err
	}
	version := g.kho + "\x00"
	if shape.Odd&Listed != 0 {
		version = "kho-v9\x00" + version
	}
	root := node{props: []prop{
		{"compatible", []byte(version)},
		{"preserved-memory-map", le64(uint64(p.root))},
	}, kids: append(kids, p.treeNode(probeTree, probe, probePage))}
	return Handover{fdt, p.census, free.Sub(p.free...), p}, root.marshal(page)
}

// Sum returns a checksum of the memory, whole pages of RAM.
func Sum(mem phys.Memory, rs phys.Ranges) (h uint64, err error) {
	for _, r := range rs {
		for a := r.Start; a < r.End; a += phys.PageSize {
			page, err := mem.View(a, phys.PageSize)
			if err != nil {
				return 0, err
			}
			h = sum(h, page)
		}
	}
	return h, nil
}

// Scratch writes a scratch table of the areas at a and returns its length in
// bytes: struct kho_scratch, 16 bytes an entry.
func Scratch(mem phys.Memory, a phys.Addr, areas []phys.Range) (uint64, error) {
	n := uint64(16 * len(areas))
	b, err := mem.Edit(a, n)
	if err != nil {
		return 0, err
	}
	for i, r := range areas {
		le.PutUint64(b[16*i:], uint64(r.Start))
		le.PutUint64(b[16*i+8:], r.Size())
	}
	return n, nil
}

// treeNode returns the node of the root device tree that names another one.
func (p *producer) treeNode(name string, at phys.Addr, tree []byte) node {
	return p.dataNode(name, at, uint64(be.Uint32(tree[4:])))
}

// dataNode returns the node that names data of the size in bytes.
func (p *producer) dataNode(name string, at phys.Addr, size uint64) node {
	p.mark(name, at)
	n := node{name: name, props: []prop{{p.from.pointer, le64(uint64(at))}}}
	if p.from.size != "" {
		n.props = append(n.props, prop{p.from.size, le64(size)})
	}
	return n
}

// subtrees writes what Linux hands over by name.
func (p *producer) subtrees() (all []node, err error) {
	add := func(wanted bool, write func() (node, error)) {
		if wanted && err == nil {
			var n node
			n, err = write()
			all = append(all, n)
		}
	}
	add(p.shape.Regions > 0, p.reserveMem) // largest blocks first
	add(p.from.Sessions(), p.luo)
	add(p.from.metadata, p.metadata)
	add(p.shape.Tests > 0, p.tests)
	add(p.shape.Odd&Raw != 0, p.raw)
	return all, err
}

// metadata writes struct kho_kexec_metadata.
func (p *producer) metadata() (node, error) {
	at, page, err := p.preserve(0)
	if err != nil {
		return node{}, err
	}
	le.PutUint32(page, 1)
	copy(page[4:69], p.from.release)
	le.PutUint32(page[69:], 1) // kexecs so far
	return p.dataNode("kexec-metadata", at, metadataSize), nil
}

// raw writes a sub-tree that nobody knows and that is no device tree.
func (p *producer) raw() (node, error) {
	at, page, err := p.preserve(0)
	if err != nil {
		return node{}, err
	}
	copy(page, rawData)
	return p.dataNode("raw", at, uint64(len(rawData))), nil
}

const rawData = "this is no device tree\x00"

// reserveMem preserves the regions: mm/memblock.c prepare_kho_fdt.
func (p *producer) reserveMem() (node, error) {
	var kids []node
	for i := range p.shape.Regions {
		at, _, err := p.take(p.shape.RegionOrder)
		if err != nil {
			return node{}, err
		}
		size := p.shape.RegionOrder.Bytes()
		if i == p.shape.Regions-1 {
			size += p.extend(at+phys.Addr(size), 3)
		}
		for _, b := range greedy(at, size, p.from.wide) {
			if err := p.enter(b, true); err != nil {
				return node{}, err
			}
		}
		page, err := p.mem.Edit(at, phys.PageSize)
		if err != nil {
			return node{}, err
		}
		fill(page, regionStream, i, 0)
		p.census.Regions++
		kids = append(kids, node{name: fmt.Sprintf("region%d", i), props: []prop{
			{"compatible", []byte("reserve-mem-v1\x00")},
			{"start", le64(uint64(at))}, {"size", le64(size)},
		}})
	}
	at, page, err := p.preserve(0)
	if err != nil {
		return node{}, err
	}
	tree := node{props: []prop{{"compatible", []byte("memblock-v1\x00")}}, kids: kids}
	if err := tree.marshal(page); err != nil {
		return node{}, err
	}
	return p.treeNode("memblock", at, page), nil
}

// extend takes n pages at the address as well and returns their bytes: 0 where
// they are not free.
func (a *arena) extend(at phys.Addr, n uint64) uint64 {
	size := n * phys.PageSize
	for i := range a.free {
		if r := &a.free[i]; r.Start == at && r.Size() >= size {
			r.Start += phys.Addr(size)
			return size
		}
	}
	return 0
}

// greedy splits pages into blocks: kho_preserve_pages. Kernels that cannot hand
// over large ones right are given none.
func greedy(at phys.Addr, size uint64, wide bool) (blocks []phys.Block) {
	for size > 0 {
		order := min(bits.TrailingZeros64(uint64(at.PFN())), bits.Len64(size>>phys.PageShift)-1)
		if !wide {
			order = min(order, maxInt)
		}
		b := phys.Block{Addr: at, Order: phys.Order(order)}
		blocks = append(blocks, b)
		at, size = b.Range().End, size-b.Order.Bytes()
	}
	return blocks
}

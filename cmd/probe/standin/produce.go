package standin

import (
	"fmt"

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
	root   phys.Addr // of the preserved-memory tree
	shape  Shape
	census Census
}

// preserve takes a block and enters it in the map: kho_alloc_preserve.
func (p *producer) preserve(order phys.Order) (phys.Addr, []byte, error) {
	at, page, err := p.take(order)
	if err != nil {
		return 0, nil, err
	}
	added, err := p.plant(p.root, phys.Block{Addr: at, Order: order})
	p.census.Preserved++
	p.census.Nodes += added
	return at, page, err
}

// Handover is what [Produce] laid into memory.
type Handover struct {
	FDT    phys.Addr // root device tree
	Census Census
	Used   phys.Ranges // memory that holds it, all of it but the scratch table
}

// Produce lays a handover of the given shape into the free memory, from the
// bottom. The free ranges must be RAM outside scratch and above 1 MiB.
func Produce(mem phys.Memory, free phys.Ranges, shape Shape) (h Handover, err error) {
	p := &producer{arena: arena{mem, free.Add()}, shape: shape}
	if p.root, _, err = p.take(0); err != nil {
		return h, err
	}
	p.census.Nodes = 1
	kids, err := p.subtrees()
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
	p.census.marshal(probePage)
	kids = append(kids, subtree(probeTree, probe, 8*censusWords))
	tree := node{props: []prop{
		{"compatible", []byte(khoCompatible + "\x00")},
		{"preserved-memory-map", le64(uint64(p.root))},
	}, kids: kids}
	return Handover{fdt, p.census, free.Sub(p.free...)}, tree.marshal(page)
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

func subtree(name string, at phys.Addr, size uint64) node {
	return node{name: name, props: []prop{{"preserved-data", le64(uint64(at))}, {"blob-size", le64(size)}}}
}

// subtrees writes what Linux 7.3 hands over by name.
func (p *producer) subtrees() ([]node, error) {
	reserved, err := p.reserveMem() // largest blocks first
	if err != nil {
		return nil, err
	}
	luo, err := p.luo()
	if err != nil {
		return nil, err
	}
	meta, page, err := p.preserve(0)
	if err != nil {
		return nil, err
	}
	const metaSize = 73
	le.PutUint32(page, 1)
	copy(page[4:], "7.3.4-standin")
	le.PutUint32(page[69:], 1)
	return append([]node{luo, subtree("kexec-metadata", meta, metaSize)}, reserved...), nil
}

// reserveMem preserves the regions: mm/memblock.c prepare_kho_fdt.
func (p *producer) reserveMem() ([]node, error) {
	if p.shape.Regions == 0 {
		return nil, nil
	}
	var kids []node
	for i := range p.shape.Regions {
		at, _, err := p.preserve(p.shape.RegionOrder)
		if err != nil {
			return nil, err
		}
		kids = append(kids, node{name: fmt.Sprintf("region%d", i), props: []prop{
			{"compatible", []byte("reserve-mem-v1\x00")},
			{"start", le64(uint64(at))}, {"size", le64(p.shape.RegionOrder.Bytes())},
		}})
	}
	at, page, err := p.preserve(0)
	if err != nil {
		return nil, err
	}
	tree := node{props: []prop{{"compatible", []byte("memblock-v1\x00")}}, kids: kids}
	if err := tree.marshal(page); err != nil {
		return nil, err
	}
	return []node{subtree("memblock", at, uint64(be.Uint32(page[4:])))}, nil
}

// luo writes the root object and everything below it.
func (p *producer) luo() (node, error) {
	at, page, err := p.preserve(0)
	if err != nil {
		return node{}, err
	}
	flb, flbPage, err := p.preserve(0)
	if err != nil {
		return node{}, err
	}
	le.PutUint64(flbPage, 1) // pgcnt; no records
	sessions := chain{p: p, size: sessionSize}
	for s := range p.shape.Sessions {
		rec, err := sessions.next()
		if err != nil {
			return node{}, err
		}
		head, err := p.files(s)
		if err != nil {
			return node{}, err
		}
		copy(rec[:63], sessionName(s))
		le.PutUint64(rec[64:], uint64(head))
		le.PutUint64(rec[72:], uint64(p.shape.Files))
		p.census.Sessions++
	}
	copy(page, luoCompatible)
	le.PutUint64(page[8:], 1) // liveupdate number
	le.PutUint64(page[16:], uint64(sessions.head))
	le.PutUint64(page[24:], uint64(flb))
	return subtree("LUO", at, luoSize), nil
}

// files writes session s's chain of files and returns its first block.
func (p *producer) files(s int) (phys.Addr, error) {
	files := chain{p: p, size: fileSize}
	for f := range p.shape.Files {
		rec, err := files.next()
		if err != nil {
			return 0, err
		}
		want := fileOf(s, f)
		at, err := p.memfd(s, f, want)
		if err != nil {
			return 0, err
		}
		copy(rec[:47], memfdHandler)
		le.PutUint64(rec[48:], uint64(at))
		le.PutUint64(rec[56:], want.token)
		p.census.Files++
	}
	return files.head, nil
}

// memfd writes one file's struct, its array of folios and their content.
func (p *producer) memfd(s, f int, want file) (phys.Addr, error) {
	at, page, err := p.preserve(0)
	if err != nil {
		return 0, err
	}
	le.PutUint64(page, want.pos)
	le.PutUint64(page[8:], want.size)
	le.PutUint32(page[16:], want.seals)
	le.PutUint64(page[24:], uint64(len(want.orders)))
	if len(want.orders) == 0 {
		return at, nil
	}
	array, folios, err := p.preserve(0)
	if err != nil {
		return 0, err
	}
	chunk, slots, err := p.preserve(0)
	if err != nil {
		return 0, err
	}
	le.PutUint64(slots[8:], uint64(array))
	le.PutUint64(page[32:], uint64(chunk))
	le.PutUint32(page[40:], 1) // pages of the array
	le.PutUint16(page[44:], 1) // VM_ALLOC
	index := 0
	for i, order := range want.orders {
		folio, _, err := p.preserve(order)
		if err != nil {
			return 0, err
		}
		le.PutUint64(folios[16*i:], uint64(folio.PFN())|3<<52) // dirty, uptodate
		le.PutUint64(folios[16*i+8:], uint64(index))
		for n := range int(order.Pages()) {
			data, err := p.mem.Edit(folio+phys.Addr(n)<<phys.PageShift, phys.PageSize)
			if err != nil {
				return 0, err
			}
			fill(data, s, f, index)
			p.census.Sum = sum(p.census.Sum, data)
			index++
		}
		p.census.Folios++
		p.census.Pages += order.Pages()
	}
	return at, nil
}

// chain is a linked-block chain being written: kho_block_set.
type chain struct {
	p    *producer
	size int
	head phys.Addr
	last []byte
}

// next returns the bytes of one more entry.
func (c *chain) next() ([]byte, error) {
	room := (phys.PageSize - blockHeader) / c.size
	if c.p.shape.Fill > 0 {
		room = min(room, c.p.shape.Fill)
	}
	if c.last == nil || le.Uint64(c.last[8:]) == uint64(room) {
		at, page, err := c.p.preserve(0)
		if err != nil {
			return nil, err
		}
		if c.last == nil {
			c.head = at
		} else {
			le.PutUint64(c.last, uint64(at))
		}
		c.last = page
		c.p.census.Blocks++
	}
	n := le.Uint64(c.last[8:])
	le.PutUint64(c.last[8:], n+1)
	at := blockHeader + int(n)*c.size
	return c.last[at : at+c.size], nil
}

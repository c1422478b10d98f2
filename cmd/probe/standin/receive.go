package standin

import (
	"bytes"
	"errors"
	"fmt"

	"ferry/phys"
)

// consumer is Linux B from kho_populate to the last session's finish.
type consumer struct {
	mem     phys.Memory
	scratch []phys.Range
	magic   map[phys.Addr]phys.Order // heads of preserved blocks not yet restored
	nodes   map[phys.Addr]bool       // pages of the map itself
	census  Census
}

// Receive consumes the handover whose root FDT lies at fdt, as Linux 7.3 would,
// and returns what it found and what A says that it left. Every file has to be
// there with every byte; every preserved block has to be somebody's.
func Receive(mem phys.Memory, fdt, scratch phys.Addr, scratchSize uint64) (got, left Census, err error) {
	defer func() {
		if r := recover(); r != nil {
			err = fmt.Errorf("the handover makes the stand-in for Linux fault: %v", r)
		}
	}()
	c := &consumer{mem: mem, magic: make(map[phys.Addr]phys.Order), nodes: make(map[phys.Addr]bool)}
	left, err = c.receive(fdt, scratch, scratchSize)
	return c.census, left, err
}

func (c *consumer) receive(fdt, scratch phys.Addr, scratchSize uint64) (left Census, err error) {
	table, err := c.mem.View(scratch, scratchSize)
	if err != nil {
		return left, fmt.Errorf("scratch table: %w", err)
	}
	for ; len(table) >= 16; table = table[16:] {
		area, _ := phys.Span(phys.Addr(le.Uint64(table)), le.Uint64(table[8:]))
		c.scratch = append(c.scratch, area)
	}
	page, err := c.mem.View(fdt, phys.PageSize)
	if err != nil {
		return left, fmt.Errorf("root FDT: %w", err)
	}
	root, err := parseTree(page)
	if err != nil {
		return left, fmt.Errorf("root FDT %v: %w", fdt, err)
	}
	if v, _ := root.prop("compatible"); string(v) != khoCompatible+"\x00" {
		return left, fmt.Errorf("root FDT %v: incompatible with %q: %q", fdt, khoCompatible, v)
	}
	tree, err := root.u64("preserved-memory-map")
	if err != nil {
		return left, err
	}
	if err := c.reserve(phys.Addr(tree)); err != nil {
		return left, err
	}
	if err := c.restore("root FDT", fdt, 0); err != nil {
		return left, err
	}
	return c.subtrees(root)
}

// reserve walks the map and checks what the kernel trusts: no block and no node
// in scratch, below 1 MiB or in another block.
func (c *consumer) reserve(tree phys.Addr) error {
	var bad []error
	outside := func(what string, r phys.Range) {
		if r.Start < 1<<20 {
			bad = append(bad, fmt.Errorf("%s %v lies below 1 MiB", what, r))
		}
		for _, s := range c.scratch {
			if r.Overlaps(s) {
				bad = append(bad, fmt.Errorf("%s %v lies in scratch %v", what, r, s))
			}
		}
	}
	var blocks []phys.Range
	err := harvest(c.mem, tree, levels-1, 0, func(a phys.Addr) {
		if c.nodes[a] {
			bad = append(bad, fmt.Errorf("map node %v is used twice", a))
		}
		c.nodes[a] = true
		outside("map node", phys.Block{Addr: a}.Range())
	}, func(b phys.Block) {
		outside("preserved block", b.Range())
		blocks = append(blocks, b.Range())
		c.magic[b.Addr] = b.Order
		c.census.Preserved++
	})
	c.census.Nodes = uint64(len(c.nodes))
	set := phys.NewRanges(blocks...)
	var total uint64
	for _, r := range blocks {
		total += r.Size()
	}
	if total != set.Size() {
		bad = append(bad, errors.New("preserved blocks overlap"))
	}
	for a := range c.nodes {
		if r, ok := set.Overlaps(phys.Block{Addr: a}.Range()); ok {
			bad = append(bad, fmt.Errorf("map node %v is itself preserved in %v", a, r))
		}
	}
	return errors.Join(append(bad, err)...)
}

// restore takes the block at a out of the map: kho_restore_page and its magic.
func (c *consumer) restore(what string, a phys.Addr, order phys.Order) error {
	got, ok := c.magic[a]
	if !ok {
		return fmt.Errorf("%s %v: not preserved, or restored before", what, a)
	}
	if got != order {
		return fmt.Errorf("%s %v: preserved with order %d, want %d", what, a, got, order)
	}
	delete(c.magic, a)
	return nil
}

// page restores an order-0 block and returns its bytes.
func (c *consumer) page(what string, a phys.Addr) ([]byte, error) {
	if err := c.restore(what, a, 0); err != nil {
		return nil, err
	}
	return c.mem.View(a, phys.PageSize)
}

func (c *consumer) subtrees(root node) (left Census, err error) {
	seen := false
	for _, n := range root.kids {
		data, err := n.u64("preserved-data")
		if err != nil {
			return left, err
		}
		size, err := n.u64("blob-size")
		if err != nil {
			return left, err
		}
		blob, err := c.page("sub-tree "+n.name, phys.Addr(data))
		if err != nil {
			return left, err
		}
		if size > phys.PageSize {
			return left, fmt.Errorf("sub-tree %s: blob-size %d", n.name, size)
		}
		switch blob = blob[:size]; n.name {
		case "LUO":
			err = c.luo(blob)
		case "memblock":
			err = c.reserveMem(blob)
		case "kexec-metadata":
			if size != 73 || le.Uint32(blob) != 1 || string(blob[4:11]) != "7.3.4-s" {
				err = fmt.Errorf("kexec-metadata: %x", blob)
			}
		case probeTree:
			left.unmarshal(blob)
			seen = true
		}
		if err != nil {
			return left, err
		}
	}
	if !seen {
		return left, errors.New("the sub-tree with A's own count is missing")
	}
	for a, order := range c.magic {
		return left, fmt.Errorf("%d preserved blocks belong to nobody, one at %v of order %d", len(c.magic), a, order)
	}
	return left, nil
}

func (c *consumer) reserveMem(blob []byte) error {
	tree, err := parseTree(blob)
	if err != nil {
		return fmt.Errorf("memblock: %w", err)
	}
	for _, n := range tree.kids {
		start, err := n.u64("start")
		if err != nil {
			return err
		}
		size, err := n.u64("size")
		if err != nil {
			return err
		}
		order, ok := c.magic[phys.Addr(start)]
		if !ok || order.Bytes() != size {
			return fmt.Errorf("memblock: region %s at %#x of %#x bytes is not preserved as one block", n.name, start, size)
		}
		delete(c.magic, phys.Addr(start))
	}
	return nil
}

func (c *consumer) luo(ser []byte) error {
	if len(ser) != luoSize || string(ser[:8]) != luoCompatible+"\x00\x00" {
		return fmt.Errorf("LUO: %d bytes, compatible %q", len(ser), ser[:8])
	}
	if n := le.Uint64(ser[8:]); n != 1 {
		return fmt.Errorf("LUO: liveupdate number %d, want 1", n)
	}
	flb, err := c.page("FLB", phys.Addr(le.Uint64(ser[24:])))
	if err != nil {
		return err
	}
	if le.Uint64(flb) != 1 || le.Uint64(flb[8:]) != 0 {
		return fmt.Errorf("FLB: %x", flb[:16])
	}
	return c.entries("session", phys.Addr(le.Uint64(ser[16:])), sessionSize, c.session)
}

// entries restores a chain block by block: kho_block_set_restore.
func (c *consumer) entries(what string, head phys.Addr, size int, each func(i int, rec []byte) error) error {
	for i := 0; head != 0; {
		page, err := c.page(what+" block", head)
		if err != nil {
			return err
		}
		n := le.Uint64(page[8:])
		if n == 0 || n > uint64(phys.PageSize-blockHeader)/uint64(size) {
			return fmt.Errorf("%s block %v: count %d", what, head, n)
		}
		c.census.Blocks++
		for k := range int(n) {
			at := blockHeader + k*size
			if err := each(i, page[at:at+size]); err != nil {
				return fmt.Errorf("%s %d: %w", what, i, err)
			}
			i++
		}
		head = phys.Addr(le.Uint64(page))
	}
	return nil
}

func (c *consumer) session(s int, rec []byte) error {
	name, _, _ := bytes.Cut(rec[:64], []byte{0})
	if string(name) != sessionName(s) {
		return fmt.Errorf("name %q, want %q", name, sessionName(s))
	}
	c.census.Sessions++
	var n uint64
	err := c.entries("file", phys.Addr(le.Uint64(rec[64:])), fileSize, func(f int, rec []byte) error {
		n++
		return c.file(s, f, rec)
	})
	if err == nil && n != le.Uint64(rec[72:]) {
		err = fmt.Errorf("%d files, the session's count is %d", n, le.Uint64(rec[72:]))
	}
	return err
}

func (c *consumer) file(s, f int, rec []byte) error {
	want := fileOf(s, f)
	if string(rec[:9]) != memfdHandler+"\x00" || le.Uint64(rec[56:]) != want.token {
		return fmt.Errorf("handler %q token %#x, want %q token %#x", rec[:9], le.Uint64(rec[56:]), memfdHandler, want.token)
	}
	at := phys.Addr(le.Uint64(rec[48:]))
	ser, err := c.page("memfd", at)
	if err != nil {
		return err
	}
	got := file{token: want.token, pos: le.Uint64(ser), size: le.Uint64(ser[8:]), seals: le.Uint32(ser[16:])}
	if got.pos != want.pos || got.size != want.size || got.seals != want.seals || le.Uint64(ser[24:]) != uint64(len(want.orders)) {
		return fmt.Errorf("memfd %v: %x", at, ser[:memfdSize])
	}
	c.census.Files++
	if len(want.orders) == 0 {
		return nil
	}
	chunk, err := c.page("memfd array chunk", phys.Addr(le.Uint64(ser[32:])))
	if err != nil {
		return err
	}
	array, err := c.page("memfd array", phys.Addr(le.Uint64(chunk[8:])))
	if err != nil {
		return err
	}
	index := 0
	for i, order := range want.orders {
		word := le.Uint64(array[16*i:])
		folio := phys.PFN(word & (1<<52 - 1)).Addr()
		if word>>52 != 3 || le.Uint64(array[16*i+8:]) != uint64(index) {
			return fmt.Errorf("folio %d: %x", i, array[16*i:16*i+16])
		}
		if err := c.restore("folio", folio, order); err != nil {
			return err
		}
		if err := c.content(s, f, index, folio, order); err != nil {
			return err
		}
		index += int(order.Pages())
	}
	return nil
}

// content compares every byte of a folio with what A put there.
func (c *consumer) content(s, f, index int, folio phys.Addr, order phys.Order) error {
	var want [phys.PageSize]byte
	for n := range int(order.Pages()) {
		at := folio + phys.Addr(n)<<phys.PageShift
		data, err := c.mem.View(at, phys.PageSize)
		if err != nil {
			return err
		}
		fill(want[:], s, f, index+n)
		if !bytes.Equal(data, want[:]) {
			return fmt.Errorf("page %d at %v: content differs from what A preserved", index+n, at)
		}
		c.census.Sum = sum(c.census.Sum, data)
	}
	c.census.Folios++
	c.census.Pages += order.Pages()
	return nil
}

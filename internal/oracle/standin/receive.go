package standin

import (
	"bytes"
	"errors"
	"fmt"
	"strings"

	"ferry/phys"
)

// consumer is Linux B from kho_populate to the last session's finish.
type consumer struct {
	*Generation
	origin  // what A said of itself
	left    Census
	mem     phys.Memory
	scratch []phys.Range
	magic   map[phys.Addr]phys.Order // heads of preserved blocks not yet restored
	census  Census
	damaged bool // some files cannot be retrieved
	failed  []Failed
}

// Failed is a file that cannot be retrieved.
type Failed struct {
	Session int
	Token   uint64
	Why     error
}

// Receive consumes the handover whose root FDT lies at fdt, as Linux of the
// generation would, and returns what it found and what A says that it left. Every
// file has to be there with every byte; every preserved block has to be
// somebody's.
func Receive(mem phys.Memory, g *Generation, fdt, scratch phys.Addr, scratchSize uint64) (got, left Census, err error) {
	c := &consumer{Generation: g, mem: mem, magic: make(map[phys.Addr]phys.Order)}
	err = c.all(fdt, scratch, scratchSize)
	return c.census, c.left, err
}

// ReceiveDamaged is Receive of a handover in which some files cannot be retrieved. It
// returns those, as Linux would find out. Their memory may be nobody's; all else has
// to be there.
func ReceiveDamaged(mem phys.Memory, g *Generation, fdt, scratch phys.Addr, scratchSize uint64) (got, left Census, failed []Failed, err error) {
	c := &consumer{Generation: g, mem: mem, magic: make(map[phys.Addr]phys.Order), damaged: true}
	err = c.all(fdt, scratch, scratchSize)
	return c.census, c.left, c.failed, err
}

func (c *consumer) all(fdt, scratch phys.Addr, scratchSize uint64) (err error) {
	defer func() {
		if r := recover(); r != nil {
			err = fmt.Errorf("the handover makes the stand-in for Linux fault: %v", r)
		}
	}()
	return c.receive(fdt, scratch, scratchSize)
}

func (c *consumer) receive(fdt, scratch phys.Addr, scratchSize uint64) error {
	table, err := c.mem.View(scratch, scratchSize)
	if err != nil {
		return fmt.Errorf("scratch table: %w", err)
	}
	for ; len(table) >= 16; table = table[16:] {
		area, _ := phys.Span(phys.Addr(le.Uint64(table)), le.Uint64(table[8:]))
		c.scratch = append(c.scratch, area)
	}
	page, err := c.mem.View(fdt, phys.PageSize)
	if err != nil {
		return fmt.Errorf("root FDT: %w", err)
	}
	root, err := parseTree(page)
	if err != nil {
		return fmt.Errorf("root FDT %v: %w", fdt, err)
	}
	if v, _ := root.prop("compatible"); !strings.Contains("\x00"+string(v), "\x00"+c.kho+"\x00") {
		return fmt.Errorf("root FDT %v: incompatible with %q: %q", fdt, c.kho, v)
	}
	head, err := root.u64("preserved-memory-map")
	if err != nil {
		return err
	}
	// Those without sessions take no map for an empty one, and would lose what is
	// there; others refuse it.
	if head == 0 {
		return errors.New("there is no map of preserved memory")
	}
	if err := c.reserve(phys.Addr(head)); err != nil {
		return err
	}
	if err := c.restore("root FDT", fdt, 0); err != nil {
		return err
	}
	if err := c.subtrees(root); err != nil {
		return err
	}
	for a, order := range c.magic {
		if len(c.failed) > 0 {
			break
		}
		return fmt.Errorf("%d preserved blocks belong to nobody, one at %v of order %d", len(c.magic), a, order)
	}
	return nil
}

// reserve walks the map and checks what the kernel trusts: no block and no node
// in scratch, below 1 MiB or in another block.
func (c *consumer) reserve(head phys.Addr) error {
	var bad []error
	outside := func(what string, r phys.Range) {
		if r.Start < 1<<20 || !c.mem.RAM().Contains(r) {
			bad = append(bad, fmt.Errorf("%s %v lies below 1 MiB, or not in RAM", what, r))
		}
		for _, s := range c.scratch {
			if r.Overlaps(s) {
				bad = append(bad, fmt.Errorf("%s %v lies in scratch %v", what, r, s))
			}
		}
	}
	// Memory of the map by pages: what small bitmaps share a page with is nobody's
	// business.
	pages := make(map[phys.Addr]bool)
	seen := make(map[phys.Addr]bool)
	node := func(r phys.Range) {
		if seen[r.Start] {
			bad = append(bad, fmt.Errorf("map node %v is used twice", r.Start))
		}
		seen[r.Start], pages[r.Start.Page()] = true, true
		outside("map node", r)
	}
	var blocks []phys.Range
	block := func(b phys.Block) {
		outside("preserved block", b.Range())
		if b.Order > maxInt && !c.wide {
			bad = append(bad, fmt.Errorf("preserved block %v: its size overflows an int", b))
		}
		blocks = append(blocks, b.Range())
		c.magic[b.Addr] = b.Order
		c.census.Preserved++
	}
	var err error
	if c.list() {
		err = walkList(c.mem, head, c.bitmap, node, block)
	} else {
		err = walkRadix(c.mem, head, levels-1, 0, node, block)
	}
	c.census.Nodes = uint64(len(pages))
	set := phys.NewRanges(blocks...)
	var total uint64
	for _, r := range blocks {
		total += r.Size()
	}
	if total != set.Size() {
		bad = append(bad, errors.New("preserved blocks overlap"))
	}
	for a := range pages {
		if r, ok := set.Overlaps(phys.Block{Addr: a}.Range()); ok {
			bad = append(bad, fmt.Errorf("map node %v is itself preserved in %v", a, r))
		}
	}
	return errors.Join(append(bad, err)...)
}

// maxRestored is the largest order that kernels with a list restore.
const maxRestored = 10

// restore takes the block at a out of the map: kho_restore_page and its magic.
func (c *consumer) restore(what string, a phys.Addr, order phys.Order) error {
	got, ok := c.magic[a]
	if !ok {
		return fmt.Errorf("%s %v: not preserved, or restored before", what, a)
	}
	if got != order {
		return fmt.Errorf("%s %v: preserved with order %d, want %d", what, a, got, order)
	}
	if c.capped && order > maxRestored {
		return fmt.Errorf("%s %v: order %d, restored is at most %d", what, a, order, maxRestored)
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

// subtrees consumes what the root names, A's own count first: the others are
// compared with what it says.
func (c *consumer) subtrees(root node) error {
	blobs := make(map[string][]byte)
	for _, n := range root.kids {
		if _, twice := blobs[n.name]; twice {
			return fmt.Errorf("sub-tree %s is there twice", n.name)
		}
		blob, err := c.subtree(n)
		if err != nil {
			return fmt.Errorf("sub-tree %s: %w", n.name, err)
		}
		blobs[n.name] = blob
	}
	for _, part := range []struct {
		name    string
		consume func(blob []byte) error
		missing func() bool // reports whether that it is not there is an error
	}{
		{probeTree, c.readOrigin, func() bool { return true }},
		{"LUO", c.luo, func() bool { return c.Sessions() && c.from.Sessions() }},
		{"memblock", c.tree(c.reserveMem), func() bool { return c.left.Regions > 0 }},
		{testTree, c.tree(c.tests), func() bool { return c.left.Tests > 0 }},
		{"kexec-metadata", c.readMetadata, func() bool { return c.metadata && c.from.metadata }},
		{"raw", c.raw, func() bool { return c.odd&Raw != 0 }},
		{"ferry", c.tree(readReport), func() bool { return false }},
	} {
		blob, ok := blobs[part.name]
		delete(blobs, part.name)
		if !ok {
			if part.missing() {
				return fmt.Errorf("the sub-tree %s is missing", part.name)
			}
			continue
		}
		if err := part.consume(blob); err != nil {
			return fmt.Errorf("sub-tree %s: %w", part.name, err)
		}
	}
	for name := range blobs {
		return fmt.Errorf("the sub-tree %s came from nowhere", name)
	}
	return nil
}

// subtree returns the data that the node names: kho_retrieve_subtree. Where there
// are no sizes, debugfs takes every one for a device tree.
func (c *consumer) subtree(n node) ([]byte, error) {
	data, err := n.u64(c.pointer)
	if err != nil {
		return nil, err
	}
	blob, err := c.page("data", phys.Addr(data))
	if err != nil {
		return nil, err
	}
	props := 1
	if c.size != "" {
		props = 2
		size, err := n.u64(c.size)
		if err != nil {
			return nil, err
		}
		if size == 0 || size > phys.PageSize {
			return nil, fmt.Errorf("%s %d", c.size, size)
		}
		blob = blob[:size]
	} else if _, err := parseTree(blob); err != nil {
		return nil, err
	}
	if len(n.props) != props {
		return nil, fmt.Errorf("%d properties, want %d", len(n.props), props)
	}
	return blob, nil
}

// tree makes a consumer of bytes out of one of device trees.
func (c *consumer) tree(consume func(node) error) func([]byte) error {
	return func(blob []byte) error {
		tree, err := parseTree(blob)
		if err != nil {
			return err
		}
		return consume(tree)
	}
}

// readReport reads what a crossing says of itself.
func readReport(n node) error {
	if what, _ := n.prop("compatible"); string(what) != "ferry-report-v1\x00" {
		return fmt.Errorf("compatible %q", what)
	}
	return nil
}

func (c *consumer) readOrigin(blob []byte) error {
	tree, err := parseTree(blob)
	if err != nil {
		return err
	}
	c.origin, c.left, err = parseOrigin(tree)
	return err
}

func (c *consumer) readMetadata(blob []byte) error {
	if !c.metadata {
		return fmt.Errorf("kernel %s knows none", c.release)
	}
	if len(blob) != metadataSize || le.Uint32(blob) != 1 {
		return fmt.Errorf("%x", blob)
	}
	release, _, _ := bytes.Cut(blob[4:69], []byte{0})
	if c.from.metadata && (string(release) != c.from.release || le.Uint32(blob[69:]) != 1) {
		return fmt.Errorf("%q, kexec %d; want %q, 1", release, le.Uint32(blob[69:]), c.from.release)
	}
	return nil
}

func (c *consumer) raw(blob []byte) error {
	if string(blob) != rawData {
		return fmt.Errorf("%q", blob)
	}
	return nil
}

// reserveMem finds the regions: reserve_mem_kho_revive. How the memory of one is
// split into blocks is nobody's business.
func (c *consumer) reserveMem(tree node) error {
	if v, _ := tree.prop("compatible"); string(v) != "memblock-v1\x00" {
		return fmt.Errorf("compatible %q", v)
	}
	for i, n := range tree.kids {
		start, err := n.u64("start")
		if err != nil {
			return err
		}
		size, err := n.u64("size")
		if err != nil {
			return err
		}
		if v, _ := n.prop("compatible"); string(v) != "reserve-mem-v1\x00" || n.name != fmt.Sprintf("region%d", i) {
			return fmt.Errorf("region %q: compatible %q", n.name, v)
		}
		for at, end := phys.Addr(start), phys.Addr(start+size); at < end; {
			order, ok := c.magic[at]
			if !ok || at+phys.Addr(order.Bytes()) > end {
				return fmt.Errorf("region %s at %#x of %#x bytes: %v is not preserved with it", n.name, start, size, at)
			}
			delete(c.magic, at)
			at += phys.Addr(order.Bytes())
		}
		page, err := c.mem.View(phys.Addr(start), phys.PageSize)
		if err != nil {
			return err
		}
		if err := same(page, regionStream, i); err != nil {
			return fmt.Errorf("region %s at %#x: %w", n.name, start, err)
		}
		c.census.Regions++
	}
	return nil
}

// same compares pages with what A put into file f of session s.
func same(data []byte, s, f int) error {
	var want [phys.PageSize]byte
	for p := 0; p*phys.PageSize < len(data); p++ {
		fill(want[:], s, f, p)
		if !bytes.Equal(data[p*phys.PageSize:][:phys.PageSize], want[:]) {
			return fmt.Errorf("page %d: content differs from what A preserved", p)
		}
	}
	return nil
}

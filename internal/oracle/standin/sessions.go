package standin

import (
	"fmt"
	"math/bits"

	"ferry/phys"
)

// luo writes the root object and everything below it.
func (p *producer) luo() (node, error) {
	at, page, err := p.preserve(0)
	if err != nil {
		return node{}, err
	}
	var sessions phys.Addr
	if p.from.blocks() {
		sessions, err = p.sessionChain()
	} else {
		sessions, err = p.sessionArray()
	}
	if err != nil {
		return node{}, err
	}
	flb, err := p.flbs()
	if err != nil {
		return node{}, err
	}
	if p.from.blocks() {
		copy(page, p.from.luo)
		copy(page, p.from.head(luoFeatures))
		fields := page[p.from.luoString:]
		le.PutUint64(fields, 1) // liveupdate number
		le.PutUint64(fields[8:], uint64(sessions))
		le.PutUint64(fields[16:], uint64(flb))
		return p.dataNode("LUO", at, uint64(p.from.luoString)+24), nil
	}
	header := func(name, version string, at phys.Addr) node {
		return node{name: name, props: []prop{{"compatible", []byte(version + "\x00")}, {name + "-header", le64(uint64(at))}}}
	}
	tree := node{
		props: []prop{{"compatible", []byte(p.from.luo + "\x00")}, {"liveupdate-number", le64(1)}},
		kids:  []node{header("luo-session", "luo-session-v2", sessions)},
	}
	if p.from.flb {
		tree.kids = append(tree.kids, header("luo-flb", "luo-flb-v1", flb))
	}
	if err := tree.marshal(page); err != nil {
		return node{}, err
	}
	return p.treeNode("LUO", at, page), nil
}

// The FLBs of a kernel with CONFIG_LIVEUPDATE_TEST: lib/tests/liveupdate.c.
const (
	testFLBs   = 3
	testFLB    = "liveupdate-test-flb-v"
	testHandle = 0xfeedf00dcafebee0
)

// flbs writes the page of FLBs, where the generation has one.
func (p *producer) flbs() (phys.Addr, error) {
	if !p.from.flb || p.from.blocks() && p.odd&NoFLB != 0 {
		return 0, nil
	}
	at, page, err := p.preserve(0)
	if err != nil {
		return 0, err
	}
	p.mark("flb", at)
	le.PutUint64(page, 1) // pages
	if p.census.Files == 0 || p.odd&NoFLB != 0 {
		return at, nil
	}
	le.PutUint64(page[8:], testFLBs)
	for i := range testFLBs {
		rec := page[blockHeader+i*flbSize:]
		copy(rec, fmt.Sprint(testFLB, i))
		le.PutUint64(rec[48:], testHandle+uint64(i))
		le.PutUint64(rec[56:], p.census.Files)
	}
	return at, nil
}

// sessionArray writes the header and the records of all sessions in one block.
func (p *producer) sessionArray() (phys.Addr, error) {
	need := 8 + sessionSize*p.shape.Sessions
	at, b, err := p.array(p.arrayOrder(4, need))
	if err != nil {
		return 0, err
	}
	p.mark("sessions", at)
	p.census.Blocks++
	le.PutUint64(b, uint64(p.shape.Sessions))
	for s := range p.shape.Sessions {
		if err := p.session(s, b[8+sessionSize*s:]); err != nil {
			return 0, err
		}
	}
	return at, nil
}

// arrayOrder returns the order of an array: what the kernel takes, or larger for
// what it would refuse.
func (p *producer) arrayOrder(usual phys.Order, need int) phys.Order {
	least := phys.Order(bits.Len(uint(need-1) >> phys.PageShift))
	if p.odd&Small != 0 {
		return least
	}
	return max(usual, least)
}

// sessionChain writes the records of all sessions into blocks.
func (p *producer) sessionChain() (phys.Addr, error) {
	sessions := chain{p: p, size: sessionSize, mark: "sessions"}
	for s := range p.shape.Sessions {
		rec, err := sessions.next()
		if err != nil {
			return 0, err
		}
		if err := p.session(s, rec); err != nil {
			return 0, err
		}
	}
	return sessions.head, nil
}

// session writes one record and the files that it names.
func (p *producer) session(s int, rec []byte) error {
	copy(rec[:63], sessionName(s))
	n := filesOf(s, p.shape.Files, p.odd)
	le.PutUint64(rec[72:], uint64(n))
	p.census.Sessions++
	if n == 0 {
		return nil
	}
	files := chain{p: p, size: fileSize, mark: "files"}
	var array []byte
	if !p.from.blocks() {
		at, b, err := p.array(p.arrayOrder(1, fileSize*n))
		if err != nil {
			return err
		}
		p.mark("files", at)
		p.census.Blocks++
		files.head, array = at, b
	}
	for f := range n {
		var rec []byte
		var err error
		if array != nil {
			rec = array[fileSize*f : fileSize*(f+1)]
		} else if rec, err = files.next(); err != nil {
			return err
		}
		if err := p.file(s, f, f == n-1 && p.odd&Foreign != 0, rec); err != nil {
			return err
		}
	}
	le.PutUint64(rec[64:], uint64(files.head))
	return nil
}

// file writes one record and what it names.
func (p *producer) file(s, f int, foreign bool, rec []byte) error {
	want := p.fileOf(s, f)
	p.census.Files++
	le.PutUint64(rec[56:], want.token)
	if foreign {
		at, page, err := p.preserve(0)
		copy(rec[:47], foreignHandler)
		le.PutUint64(rec[48:], uint64(at))
		fill(page, foreignStream, s, f)
		return err
	}
	at, err := p.memfd(s, f, want)
	copy(rec[:47], p.from.memfd)
	le.PutUint64(rec[48:], uint64(at))
	return err
}

// memfd writes one file's struct, its array of folios and their content.
func (p *producer) memfd(s, f int, want file) (phys.Addr, error) {
	at, page, err := p.preserve(0)
	if err != nil {
		return 0, err
	}
	p.mark("memfd", at)
	layout := p.from.layout()
	page = page[copy(page, p.from.head(memfdFeatures)):]
	le.PutUint64(page, want.pos)
	le.PutUint64(page[8:], want.size)
	if p.from.sealed {
		le.PutUint32(page[16:], want.seals)
	}
	le.PutUint64(page[layout.folios:], uint64(len(want.orders)))
	if len(want.orders) == 0 {
		return at, nil
	}
	desc, array, err := p.vmalloc(16 * len(want.orders))
	if err != nil {
		return 0, err
	}
	copy(page[layout.array:], desc)
	index := 0
	for i, order := range want.orders {
		folio, data, err := p.array(order)
		if err != nil {
			return 0, err
		}
		flags := p.flagsOf(i)
		rec := array[16*i/phys.PageSize][16*i%phys.PageSize:]
		le.PutUint64(rec, uint64(folio.PFN())|flags<<52)
		le.PutUint64(rec[8:], uint64(index))
		for n := range int(order.Pages()) {
			page := data[n*phys.PageSize:][:phys.PageSize]
			fill(page, s, f, index)
			if flags&uptodate == 0 {
				page = make([]byte, phys.PageSize) // what is there was never written by anybody
			}
			p.census.Sum = sum(p.census.Sum, page)
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
	mark string
	head phys.Addr
	last []byte
}

// next returns the bytes of one more entry.
func (c *chain) next() ([]byte, error) {
	room := c.p.from.room(c.size)
	if c.p.shape.Fill > 0 {
		room = min(room, c.p.shape.Fill)
	}
	if c.last == nil || le.Uint64(c.last[8:]) == uint64(room) {
		at, page, err := c.p.preserve(0)
		if err != nil {
			return nil, err
		}
		c.p.mark(c.mark, at)
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

package standin

import (
	"fmt"

	"ferry/phys"
)

// vmalloc preserves an area of n bytes page by page: kho_preserve_vmalloc. It
// returns the descriptor, 16 bytes, and the pages, zeroed.
func (p *producer) vmalloc(n int) (desc []byte, pages [][]byte, err error) {
	desc = make([]byte, 16)
	count := (n + phys.PageSize - 1) / phys.PageSize
	le.PutUint32(desc[8:], uint32(count))
	le.PutUint16(desc[12:], 1) // VM_ALLOC
	var slots []byte
	used := vmallocSlots
	next := func() error { // one more chunk
		at, chunk, err := p.preserve(0)
		if slots == nil {
			le.PutUint64(desc, uint64(at))
		} else {
			le.PutUint64(slots, uint64(at))
		}
		slots, used = chunk, 0
		return err
	}
	for range count {
		at, page, err := p.preserve(0)
		if err != nil {
			return nil, nil, err
		}
		if used == vmallocSlots {
			if err := next(); err != nil {
				return nil, nil, err
			}
		}
		le.PutUint64(slots[8+8*used:], uint64(at))
		used++
		pages = append(pages, page)
	}
	// The kernel takes a chunk as soon as the last is full.
	if used == vmallocSlots {
		err = next()
	}
	return desc, pages, err
}

// vmalloc restores an area of n bytes: kho_restore_vmalloc.
func (c *consumer) vmalloc(what string, desc []byte, n int) (pages [][]byte, err error) {
	count := (n + phys.PageSize - 1) / phys.PageSize
	if le.Uint32(desc[8:]) != uint32(count) || le.Uint16(desc[12:]) != 1 || le.Uint16(desc[14:]) != 0 {
		return nil, fmt.Errorf("%s: area %x, want %d pages, VM_ALLOC, order 0", what, desc[8:16], count)
	}
	for at := phys.Addr(le.Uint64(desc)); at != 0; {
		chunk, err := c.page(what+" chunk", at)
		if err != nil {
			return nil, err
		}
		ended := false
		for i := range vmallocSlots {
			at := phys.Addr(le.Uint64(chunk[8+8*i:]))
			if ended && at != 0 {
				return nil, fmt.Errorf("%s chunk: slot %d is %v after the end", what, i, at)
			}
			if ended = at == 0; ended {
				continue
			}
			page, err := c.page(what+" page", at)
			if err != nil {
				return nil, err
			}
			pages = append(pages, page)
		}
		at = phys.Addr(le.Uint64(chunk))
	}
	if len(pages) != count {
		return nil, fmt.Errorf("%s: %d pages, want %d", what, len(pages), count)
	}
	return pages, nil
}

// Names and numbers of lib/test_kho.c.
const (
	testTree  = "kho_test"
	testMagic = 0x4b484f21
)

func le32s(v uint32) []byte { return le.AppendUint32(nil, v) }

// tests preserves folios as test_kho does, and its tree.
func (p *producer) tests() (node, error) {
	words := make([]byte, 8*p.shape.Tests)
	var sum checksum
	for i := range p.shape.Tests {
		order := testOrder(i)
		at, data, err := p.array(order)
		if err != nil {
			return node{}, err
		}
		for n := range int(order.Pages()) {
			fill(data[n*phys.PageSize:][:phys.PageSize], testStream, i, n)
		}
		sum.add(data)
		le.PutUint64(words[8*i:], uint64(at)|uint64(order))
		p.census.Tests++
	}
	info := words
	if !p.from.inline {
		desc, pages, err := p.vmalloc(len(words))
		if err != nil {
			return node{}, err
		}
		for i, page := range pages {
			copy(page, words[i*phys.PageSize:])
		}
		info = desc
	}
	at, page, err := p.preserve(0)
	if err != nil {
		return node{}, err
	}
	tree := node{props: []prop{{"compatible", []byte("kho-test-v1\x00")}, {"magic", le32s(testMagic)}}, kids: []node{{
		name: "data", props: []prop{
			{"nr_folios", le32s(uint32(p.shape.Tests))}, {"folios_info", info}, {"csum", le32s(sum.value())},
		}}}}
	if err := tree.marshal(page); err != nil {
		return node{}, err
	}
	return p.treeNode(testTree, at, page), nil
}

// tests consumes what tests wrote: kho_test_restore. The list of folios has the
// form of the kernel that wrote it: a module of 6.17 and one of 6.18 and later
// do not understand each other, whoever carries the tree.
func (c *consumer) tests(tree node) error {
	magic, _ := tree.prop("magic")
	if v, _ := tree.prop("compatible"); string(v) != "kho-test-v1\x00" || len(magic) != 4 || le.Uint32(magic) != testMagic || len(tree.kids) != 1 {
		return fmt.Errorf("%s: compatible %q, magic %x", testTree, v, magic)
	}
	count, _ := tree.kids[0].prop("nr_folios")
	csum, _ := tree.kids[0].prop("csum")
	words, _ := tree.kids[0].prop("folios_info")
	n := int(le.Uint32(count))
	if !c.from.inline {
		if len(words) != 16 {
			return fmt.Errorf("%s: folios_info of %d bytes, want 16", testTree, len(words))
		}
		pages, err := c.vmalloc(testTree, words, 8*n)
		if err != nil {
			return err
		}
		words = nil
		for _, page := range pages {
			words = append(words, page...)
		}
	}
	var sum checksum
	for i := range n {
		word := le.Uint64(words[8*i:])
		at, order := phys.Addr(word).Page(), phys.Order(word%phys.PageSize)
		if order != testOrder(i) {
			return fmt.Errorf("%s: folio %d: order %d, want %d", testTree, i, order, testOrder(i))
		}
		if err := c.restore(testTree+" folio", at, order); err != nil {
			return err
		}
		data, err := c.mem.View(at, order.Bytes())
		if err != nil {
			return err
		}
		if err := same(data, testStream, i); err != nil {
			return fmt.Errorf("%s: folio %d at %v: %w", testTree, i, at, err)
		}
		sum.add(data)
		c.census.Tests++
	}
	if sum.value() != le.Uint32(csum) {
		return fmt.Errorf("%s: checksum %#x, want %x", testTree, sum.value(), csum)
	}
	return nil
}

// checksum is csum_partial: the sum of 32-bit words in ones' complement.
type checksum uint64

func (s *checksum) add(b []byte) {
	for ; len(b) >= 4; b = b[4:] {
		*s += checksum(le.Uint32(b))
		*s = *s&0xffffffff + *s>>32
	}
}

func (s checksum) value() uint32 { return uint32(s) }

//go:build linux || metal

package khotest

import (
	"bytes"
	"encoding/binary"
	"slices"
	"testing"

	"ferry/phys"
)

// releases are those whose handovers represent a generation, or are turned into
// one if no kernel of it was at hand.
var releases = map[string]string{"A": "6.19.14", "B": "6.19.14", "C": "6.19.14", "D": "7.0.13", "E": "7.1.13", "E'": "7.3.4", "F": "7.3.4"}

// Generation returns a handover of the generation: A (6.16, 6.17), B (6.18), C
// (6.19), D (7.0), E (7.1), E' (the June 2026 series), or F (7.2, 7.3). Those of
// C, D, E and F are real ones. The others are real ones with what differs
// between the generations changed byte by byte, by code that shares nothing with
// the packages under test:
//
//   - B is C without the sub-tree of live update. What that named stays preserved.
//   - A is B with each bitmap cut into pieces of 512 bytes, which lie in pages
//     that they share with each other and with other data.
//   - E' is F with the older version strings, and the root of live update in 48
//     bytes instead of 32.
func Generation(t testing.TB, letter string) *Vector {
	t.Helper()
	release, ok := releases[letter]
	if !ok {
		t.Fatalf("generation %q is none", letter)
	}
	c := &converter{TB: t, Vector: Linux(t, release)}
	switch letter {
	case "A":
		c.dropNode("LUO")
		c.cutBitmaps()
	case "B":
		c.dropNode("LUO")
	case "E'":
		c.olderRoot()
	}
	return c.Vector
}

var le, be = binary.LittleEndian, binary.BigEndian

type converter struct {
	testing.TB
	*Vector

	free    phys.Addr // where to look for a free page
	slab    phys.Addr // page of the last bitmap of 512 bytes
	objects int       // such bitmaps
}

func (c *converter) edit(a phys.Addr, n uint64) []byte {
	c.Helper()
	b, err := c.Memory.Edit(a, n)
	if err != nil {
		c.Fatal(err)
	}
	return b
}

// value returns the bytes of a property of the root (node "") or of a node below
// it, in the root device tree; and, for from and to, the extent of that node.
func (c *converter) value(node, name string) (value []byte, from, to uint32) {
	c.Helper()
	page := c.edit(c.Data.FDT, phys.PageSize)
	strings := page[be.Uint32(page[12:]):]
	var path []string
	for p := be.Uint32(page[8:]); ; {
		at := p
		p += 4
		switch be.Uint32(page[at:]) {
		case 1: // begin
			end := p + uint32(bytes.IndexByte(page[p:], 0))
			path = append(path, string(page[p:end]))
			if path[len(path)-1] == node {
				from = at
			}
			p = (end + 4) &^ 3
		case 2: // end
			if path[len(path)-1] == node {
				if value == nil {
					c.Fatalf("no property %q of node %q", name, node)
				}
				return value, from, p
			}
			path = path[:len(path)-1]
		case 3: // property
			size, off := be.Uint32(page[p:]), be.Uint32(page[p+4:])
			p += 8
			if path[len(path)-1] == node && string(strings[off:off+uint32(bytes.IndexByte(strings[off:], 0))]) == name {
				value = page[p : p+size]
			}
			p = (p + size + 3) &^ 3
		case 9: // end of the tree
			c.Fatalf("no node %q", node)
		}
	}
}

// dropNode overwrites a node of the root device tree by nothing.
func (c *converter) dropNode(name string) {
	_, from, to := c.value(name, "fdt")
	for page := c.edit(c.Data.FDT, phys.PageSize); from < to; from += 4 {
		be.PutUint32(page[from:], 4)
	}
}

// cutBitmaps turns the list of bitmaps of 4096 bytes into one of 512 bytes. Three
// bitmaps lie in each page, 1024 bytes apart and not at its start, with other
// data between them. A piece without bits is left out, except for one in seven.
func (c *converter) cutBitmaps() {
	pointer, _, _ := c.value("", "preserved-memory-map")
	at := phys.Addr(le.Uint64(pointer))
	link := pointer // where the address of the next chunk goes
	pieces := 0
	for at != 0 {
		old := c.edit(at, phys.PageSize)
		c.forget(at)
		at = phys.Addr(le.Uint64(old))
		order := le.Uint32(old[8:])
		var chunk []byte
		for i := range le.Uint32(old[12:]) {
			start, bitmap := le.Uint64(old[16+16*i:]), phys.Addr(le.Uint64(old[24+16*i:]))
			c.forget(bitmap)
			for j := range uint64(8) {
				piece := c.edit(bitmap+phys.Addr(512*j), 512)
				empty := bytes.Count(piece, []byte{0}) == 512
				if pieces++; empty && (pieces%3 != 0 || start+j<<(24+order) >= 1<<29) {
					continue
				}
				if chunk == nil || le.Uint32(chunk[12:]) == 255 {
					a, page := c.take()
					le.PutUint64(link, uint64(a))
					le.PutUint32(page[8:], order)
					chunk, link = page, page[:8]
				}
				n := le.Uint32(chunk[12:])
				le.PutUint64(chunk[16+16*n:], start+j<<(24+order))
				le.PutUint64(chunk[24+16*n:], uint64(c.object(piece)))
				le.PutUint32(chunk[12:], n+1)
			}
		}
	}
	slices.Sort(c.Pages)
}

// object lays a bitmap of 512 bytes where no other one is.
func (c *converter) object(bits []byte) phys.Addr {
	off := 512 + 1024*(c.objects%3)
	if c.objects++; off == 512 {
		var page []byte
		c.slab, page = c.take()
		for i := range page {
			page[i] = 0xa5
		}
	}
	copy(c.edit(c.slab+phys.Addr(off), 512), bits)
	return c.slab + phys.Addr(off)
}

// take returns a page that nothing uses.
func (c *converter) take() (phys.Addr, []byte) {
	used := func(a phys.Addr) bool {
		return slices.Contains(c.Pages, a) ||
			slices.ContainsFunc(c.Blocks, func(b Block) bool { return b.Range().Overlaps(phys.Block{Addr: a}.Range()) })
	}
	for c.free = max(c.free, 0x1800_0000); used(c.free); {
		c.free += phys.PageSize
	}
	c.Pages = append(c.Pages, c.free)
	page := c.edit(c.free, phys.PageSize)
	clear(page)
	return c.free, page
}

// forget takes a page out of those of the handover.
func (c *converter) forget(a phys.Addr) {
	c.Pages = slices.DeleteFunc(c.Pages, func(p phys.Addr) bool { return p == a })
}

// olderRoot turns the root of live update of 7.2 and 7.3 into that of the series
// of patches before it: a string of 24 bytes instead of 8.
func (c *converter) olderRoot() {
	copy(c.text("compatible", "kho-v4"), "kho-v3")
	data, _, _ := c.value("LUO", "preserved-data")
	size, _, _ := c.value("LUO", "blob-size")
	root := c.edit(phys.Addr(le.Uint64(data)), 48)
	copy(root[24:], bytes.Clone(root[8:32]))
	copy(root, "luo-v4-kho-block-v1\x00\x00\x00\x00\x00")
	le.PutUint64(size, 48)
}

// text returns a property of the root that must be text.
func (c *converter) text(name, text string) []byte {
	c.Helper()
	value, _, _ := c.value("", name)
	if string(value) != text+"\x00" {
		c.Fatalf("%s is %q, want %q", name, value, text)
	}
	return value
}

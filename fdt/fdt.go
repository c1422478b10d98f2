// Package fdt reads and writes flattened device trees, the container that Linux
// uses for the root of a Kexec HandOver and for some of the objects in it.
//
// The trees are written by the previous kernel and come out of physical memory
// that anything may have overwritten since. [Parse] therefore checks the whole
// tree once - header, bounds, nesting, every name - and only then hands out
// nodes; nothing is allocated on the blob's word, and nothing is recursive.
// What a parsed tree returns aliases the blob.
//
// Only what handovers need is here: version 17, written with last compatible
// version 16 and an empty memory reservation map. Structure words are big
// endian; property values are raw bytes, and Linux stores numbers in them in
// its own byte order (little endian), which [Node.Uint64] and
// [Writer.Uint64] follow.
//
// Source: Devicetree Specification v0.4, chapter 5.
package fdt

import (
	"bytes"
	"encoding/binary"
	"errors"
	"fmt"

	"ferry/phys"
)

// Rules that a tree can break.
var (
	ErrHeader    = errors.New("bad device tree header")
	ErrStructure = errors.New("bad device tree structure")
	ErrDuplicate = errors.New("duplicate name in device tree")
	ErrProperty  = errors.New("bad device tree property")
)

// MaxDepth bounds the nesting of a tree that [Parse] accepts; the root is at
// depth 1. Trees of handovers reach 2.
const MaxDepth = 16

// Header fields, each a big-endian 32-bit word at four times its number.
const (
	fieldMagic = iota
	fieldTotalSize
	fieldStructOffset
	fieldStringsOffset
	fieldReserveOffset
	fieldVersion
	fieldLastCompatible
	fieldBootCPU
	fieldStringsSize
	fieldStructSize
	fieldCount
)

const (
	magic          = 0xd00dfeed
	version        = 17
	lastCompatible = 16
	headerSize     = 4 * fieldCount
	reserveSize    = 16 // one entry of the memory reservation map
)

// Tokens of the structure block.
const (
	tokenBegin    = 1
	tokenEnd      = 2
	tokenProperty = 3
	tokenNop      = 4
	tokenFinish   = 9
)

// Tree is a flattened device tree that [Parse] found sound.
type Tree struct {
	addr      phys.Addr // of the header
	size      uint32    // of the whole tree, as its header says
	structure []byte
	strings   []byte
	at        uint32 // offset of the structure block in the blob
}

// Parse checks the tree at the start of b, which lies at physical address a, and
// returns it. The tree may be shorter than b, never longer. Errors are
// [*phys.Error] with the address of the offending word.
func Parse(a phys.Addr, b []byte) (*Tree, error) {
	t := &Tree{addr: a}
	if err := t.header(b); err != nil {
		return nil, err
	}
	if err := t.check(); err != nil {
		return nil, err
	}
	return t, nil
}

// TotalSize returns what the header at the start of b says of the size of a whole
// tree, so that as much can be looked at; ok is false if there is no header.
// Nothing else is checked.
func TotalSize(b []byte) (size uint32, ok bool) {
	if len(b) < headerSize || word(b, 4*fieldMagic) != magic {
		return 0, false
	}
	return word(b, 4*fieldTotalSize), true
}

// Size returns the size of the whole tree in bytes.
func (t *Tree) Size() int { return int(t.size) }

// Root returns the root node.
func (t *Tree) Root() Node {
	pos := uint32(0)
	for word(t.structure, pos) == tokenNop {
		pos += 4
	}
	return Node{t, pos + 4}
}

func word(b []byte, off uint32) uint32 { return binary.BigEndian.Uint32(b[off:]) }

func (t *Tree) header(b []byte) error {
	bad := func(field uint32, want, found string, args ...any) error {
		return &phys.Error{Object: "device tree header", Addr: t.addr + phys.Addr(4*field),
			Found: fmt.Sprintf(found, args...), Want: want, Err: ErrHeader}
	}
	if !t.addr.Aligned(8) {
		return bad(0, "a multiple of 8", "address %s", t.addr)
	}
	if len(b) < headerSize {
		return bad(0, fmt.Sprintf("at least %d", headerSize), "room for %d bytes", len(b))
	}
	f := func(field uint32) uint32 { return word(b, 4*field) }
	if m := f(fieldMagic); m != magic {
		return bad(fieldMagic, fmt.Sprintf("%#x", magic), "magic %#x", m)
	}
	t.size = f(fieldTotalSize)
	if t.size < headerSize || uint64(t.size) > uint64(len(b)) {
		return bad(fieldTotalSize, fmt.Sprintf("%d to %d", headerSize, len(b)), "total size %d", t.size)
	}
	if v := f(fieldVersion); v < version {
		return bad(fieldVersion, "17 or later", "version %d", v)
	}
	if v := f(fieldLastCompatible); v > version {
		return bad(fieldLastCompatible, "17 or earlier", "last compatible version %d", v)
	}
	inside := func(offset, size uint32) bool {
		return offset >= headerSize && uint64(offset)+uint64(size) <= uint64(t.size)
	}
	r := f(fieldReserveOffset)
	if r%8 != 0 {
		return bad(fieldReserveOffset, "a multiple of 8", "reservation map offset %d", r)
	}
	for ; ; r += reserveSize {
		if !inside(r, reserveSize) {
			return bad(fieldReserveOffset, "an entry of zeros at its end", "reservation map that leaves the tree")
		}
		if binary.BigEndian.Uint64(b[r:]) == 0 && binary.BigEndian.Uint64(b[r+8:]) == 0 {
			break
		}
	}
	off, n := f(fieldStructOffset), f(fieldStructSize)
	if off%4 != 0 || n%4 != 0 || !inside(off, n) {
		return bad(fieldStructOffset, "multiples of 4 inside the tree", "structure block of %d bytes at offset %d", n, off)
	}
	t.structure, t.at = b[off:off+n:off+n], off
	off, n = f(fieldStringsOffset), f(fieldStringsSize)
	if !inside(off, n) {
		return bad(fieldStringsOffset, "inside the tree", "strings block of %d bytes at offset %d", n, off)
	}
	t.strings = b[off : off+n : off+n]
	return nil
}

func (t *Tree) bad(pos uint32, want, found string, args ...any) error {
	return &phys.Error{Object: "device tree", Addr: t.addr + phys.Addr(t.at+pos),
		Found: fmt.Sprintf(found, args...), Want: want, Err: ErrStructure}
}

// check walks the structure block once, from the root's begin token to the
// finish token, so that later walks need no checks.
func (t *Tree) check() error {
	s := t.structure
	n := uint32(len(s))
	depth, roots := 0, 0
	lastEnd := int64(bytes.LastIndexByte(t.strings, 0)) // names that start before it end
	closed := false                                     // a child of the current node has ended: no property may follow
	for pos := uint32(0); ; {
		if n-pos < 4 {
			return t.bad(pos, "a finish token", "end of the structure block")
		}
		at := pos
		token := word(s, pos)
		pos += 4
		switch token {
		case tokenNop:
		case tokenBegin:
			if depth == 0 && roots > 0 {
				return t.bad(at, "one root", "a second root node")
			}
			if depth++; depth > MaxDepth {
				return t.bad(at, fmt.Sprintf("at most %d levels", MaxDepth), "node at depth %d", depth)
			}
			roots, closed = 1, false
			i := bytes.IndexByte(s[pos:], 0)
			if i < 0 {
				return t.bad(at, "a name that ends inside the structure block", "node name without end")
			}
			if (i == 0) != (depth == 1) {
				return t.bad(at, "an empty name for the root, a name elsewhere", "node name %s", phys.Quote(s[pos:pos+uint32(i)]))
			}
			pos += uint32(align4(uint32(i) + 1)) // inside: the block is whole words
		case tokenProperty:
			if depth == 0 || closed {
				return t.bad(at, "properties before the children of their node", "a property out of place")
			}
			if n-pos < 8 {
				return t.bad(at, "length and name", "property cut short")
			}
			size, name := word(s, pos), word(s, pos+4)
			if pos += 8; uint64(pos)+align4(size) > uint64(n) {
				return t.bad(at, "a value that ends inside the structure block", "property of %d bytes", size)
			}
			if int64(name) >= lastEnd || t.strings[name] == 0 {
				return t.bad(at+8, "a name inside the strings block", "name offset %d", name)
			}
			pos += uint32(align4(size))
		case tokenEnd:
			if depth == 0 {
				return t.bad(at, "an open node", "end of a node that never began")
			}
			depth, closed = depth-1, true
		case tokenFinish:
			if depth != 0 || roots != 1 {
				return t.bad(at, "one closed root node", "end of the tree with %d open nodes", depth)
			}
			return nil
		default:
			return t.bad(at, "a known token", "token %#x", token)
		}
	}
}

func align4(n uint32) uint64 { return (uint64(n) + 3) &^ 3 }

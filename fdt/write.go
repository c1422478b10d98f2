package fdt

import (
	"bytes"
	"encoding/binary"
	"errors"
	"fmt"
	"strings"

	"ferry/phys"
)

// ErrFull says that a tree does not fit into the memory given for it.
var ErrFull = errors.New("device tree does not fit")

// Writer writes one tree into memory that it is given, usually a page. The
// first error sticks and is returned by [Writer.Finish]; calls after it do
// nothing.
//
// Nodes nest by [Writer.Begin] and [Writer.End], the root's name being empty;
// properties come before the nodes below them. Layout: header, empty
// reservation map, structure block, strings block.
type Writer struct {
	b       []byte
	pos     int
	strings []byte
	open    []bool // one a node that has begun: it already has a child
	root    bool
	err     error
}

// NewWriter returns a writer on b, whose bytes it zeroes. names puts property
// names into the strings block in that order; others follow as they are used.
func NewWriter(b []byte, names ...string) *Writer {
	clear(b)
	w := &Writer{b: b, pos: headerSize + reserveSize}
	for _, n := range names {
		w.name(n)
	}
	return w
}

// name returns the offset of s in the strings block.
func (w *Writer) name(s string) uint32 {
	for off := 0; off < len(w.strings); {
		end := off + bytes.IndexByte(w.strings[off:], 0)
		if string(w.strings[off:end]) == s {
			return uint32(off)
		}
		off = end + 1
	}
	off := len(w.strings)
	w.strings = append(append(w.strings, s...), 0)
	return uint32(off)
}

// room returns the next n bytes, padded to a word, or nil if the tree is full
// or broken already.
func (w *Writer) room(n int) []byte {
	padded := (n + 3) &^ 3
	if w.err == nil && w.pos+padded > len(w.b) {
		w.err = fmt.Errorf("%w: more than %d bytes", ErrFull, len(w.b))
	}
	if w.err != nil {
		return nil
	}
	p := w.b[w.pos : w.pos+padded]
	w.pos += padded
	return p
}

func (w *Writer) word(v uint32) {
	if p := w.room(4); p != nil {
		binary.BigEndian.PutUint32(p, v)
	}
}

func (w *Writer) misuse(what string) {
	if w.err == nil {
		w.err = fmt.Errorf("%w: %s", ErrStructure, what)
	}
}

// Begin opens a node. The first one is the root and has an empty name.
func (w *Writer) Begin(name string) {
	switch {
	case len(w.open) == 0 && (w.root || name != ""):
		w.misuse("a tree has one root without name")
	case len(w.open) > 0 && (name == "" || strings.IndexByte(name, 0) >= 0):
		w.misuse("node name " + phys.Quote(name))
	}
	if len(w.open) > 0 {
		w.open[len(w.open)-1] = true
	}
	w.open, w.root = append(w.open, false), true
	w.word(tokenBegin)
	if p := w.room(len(name) + 1); p != nil {
		copy(p, name)
	}
}

// Property adds a property of raw bytes to the open node.
func (w *Writer) Property(name string, value []byte) {
	if len(w.open) == 0 || w.open[len(w.open)-1] || name == "" {
		w.misuse(fmt.Sprintf("property %s out of place", phys.Quote(name)))
		return
	}
	w.word(tokenProperty)
	w.word(uint32(len(value)))
	w.word(w.name(name))
	if p := w.room(len(value)); p != nil {
		copy(p, value)
	}
}

// Uint64 adds a property of one little-endian 64-bit number.
func (w *Writer) Uint64(name string, v uint64) {
	w.Property(name, binary.LittleEndian.AppendUint64(nil, v))
}

// Address adds a property of one physical address, stored as [Writer.Uint64]
// stores a number.
func (w *Writer) Address(name string, a phys.Addr) { w.Uint64(name, uint64(a)) }

// String adds a property of one zero-terminated string.
func (w *Writer) String(name, s string) { w.Property(name, append([]byte(s), 0)) }

// End closes the node opened last.
func (w *Writer) End() {
	if len(w.open) == 0 {
		w.misuse("end of a node that never began")
		return
	}
	w.open = w.open[:len(w.open)-1]
	w.word(tokenEnd)
}

// Finish completes the tree and returns its total size in bytes. The error
// wraps [ErrFull] if it does not fit, [ErrStructure] if the calls did not
// make a tree.
func (w *Writer) Finish() (int, error) {
	if len(w.open) > 0 || !w.root {
		w.misuse("a node is still open, or there is none")
	}
	w.word(tokenFinish)
	end := w.pos
	if w.err == nil && end+len(w.strings) > len(w.b) {
		w.err = fmt.Errorf("%w: %d bytes, room for %d", ErrFull, end+len(w.strings), len(w.b))
	}
	if w.err != nil {
		return 0, w.err
	}
	copy(w.b[end:], w.strings)
	total := end + len(w.strings)
	for field, v := range [fieldCount]int{
		fieldMagic:          magic,
		fieldTotalSize:      total,
		fieldStructOffset:   headerSize + reserveSize,
		fieldStringsOffset:  end,
		fieldReserveOffset:  headerSize,
		fieldVersion:        version,
		fieldLastCompatible: lastCompatible,
		fieldStringsSize:    len(w.strings),
		fieldStructSize:     end - headerSize - reserveSize,
	} {
		binary.BigEndian.PutUint32(w.b[4*field:], uint32(v))
	}
	return total, nil
}

package oracle

import (
	"bytes"
	"math/bits"
	"slices"
)

// dtNode is a node of a device tree, read without trust that it is one.
type dtNode struct {
	m    *Model
	name string
	at   map[string][]byte
	kids []*dtNode

	lo, hi int // where it lies
}

func trailing(w uint64) int { return bits.TrailingZeros64(w) }

// tree reads a device tree. Duplicates are not looked for: the first one counts.
func (m *Model) tree(b []byte) *dtNode {
	none := &dtNode{m: m}
	if len(b) < 40 || be.Uint32(b) != 0xd00dfeed {
		m.fail("no device tree: % x", b[:min(len(b), 4)])
		return none
	}
	pos, text := int(be.Uint32(b[8:])), int(be.Uint32(b[12:]))
	stack := []*dtNode{none}
	word := func() uint32 {
		if pos < 0 || pos+4 > len(b) {
			m.fail("a device tree cut short")
			return 9
		}
		pos += 4
		return be.Uint32(b[pos-4:])
	}
	for m.bad == nil {
		switch word() {
		case 1:
			name, _, _ := bytes.Cut(b[pos:], []byte{0})
			begin := pos - 4
			pos = (pos + len(name) + 4) &^ 3
			n := &dtNode{m: m, name: string(name), at: make(map[string][]byte), lo: begin}
			top := stack[len(stack)-1]
			top.kids = append(top.kids, n)
			stack = append(stack, n)
		case 2:
			stack[len(stack)-1].hi = pos
			if stack = stack[:len(stack)-1]; len(stack) == 0 {
				m.fail("a device tree that ends too often")
			}
		case 3:
			size, off := int(word()), text+int(word())
			if pos+size > len(b) || off < 0 || off >= len(b) || size < 0 {
				m.fail("a property outside the device tree")
				return none
			}
			name, _, _ := bytes.Cut(b[off:], []byte{0})
			if top := stack[len(stack)-1]; top.at != nil && top.at[string(name)] == nil {
				top.at[string(name)] = b[pos : pos+size : pos+size]
			}
			pos = (pos + size + 3) &^ 3
		case 4:
		case 9:
			if len(none.kids) != 1 {
				m.fail("a device tree with %d roots", len(none.kids))
				return none
			}
			return none.kids[0]
		default:
			m.fail("a device tree with an unknown token")
		}
	}
	return none
}

// number returns a little-endian property of size bytes, with zeros up to 8; 0 is
// that of a node without it, which fails the model.
func (n *dtNode) number(name string, size int) uint64 {
	v := n.at[name]
	if len(v) != size {
		n.m.fail("node %q: no property %q of %d bytes", n.name, name, size)
		return 0
	}
	return le.Uint64(append(slices.Clone(v), make([]byte, 8-size)...))
}

func (n *dtNode) u64(name string) uint64 { return n.number(name, 8) }
func (n *dtNode) u32(name string) uint32 { return uint32(n.number(name, 4)) }

func (n *dtNode) kid(name string) *dtNode {
	for _, k := range n.kids {
		if k.name == name {
			return k
		}
	}
	n.m.fail("node %q: no node %q", n.name, name)
	return &dtNode{m: n.m}
}

// compatible reports whether one of the strings of the property is want.
func (n *dtNode) compatible(want string) bool {
	return slices.ContainsFunc(bytes.Split(n.at["compatible"], []byte{0}), func(b []byte) bool { return string(b) == want })
}

package fdt

import (
	"bytes"
	"encoding/binary"
	"fmt"
	"iter"
	"slices"

	"ferry/phys"
)

// Node is one node of a parsed tree. The zero value is no node.
type Node struct {
	t   *Tree
	pos uint32 // of the node's name in the structure block
}

// Property is one property of a node. Both slices alias the blob.
type Property struct {
	Name  []byte    // without the terminating zero
	Value []byte    // raw bytes, aligned to 4
	Addr  phys.Addr // of the value
}

// Name returns the node's name, empty for the root. It aliases the blob.
func (n Node) Name() []byte { return text(n.t.structure[n.pos:]) }

// Addr returns the physical address of the node's name, for messages.
func (n Node) Addr() phys.Addr { return n.t.addr + phys.Addr(n.t.at+n.pos) }

// text returns b up to its first zero, which [Parse] has seen.
func text(b []byte) []byte { return b[:bytes.IndexByte(b, 0)] }

// body returns the offset of the first token inside the node.
func (n Node) body() uint32 { return n.pos + uint32(align4(uint32(len(n.Name()))+1)) }

// Properties yields the node's properties in the order of the blob.
func (n Node) Properties() iter.Seq[Property] {
	return func(yield func(Property) bool) {
		for pos := n.body(); ; {
			switch word(n.t.structure, pos) {
			case tokenNop:
				pos += 4
			case tokenProperty:
				p, next := n.t.property(pos)
				if !yield(p) {
					return
				}
				pos = next
			default:
				return
			}
		}
	}
}

// property returns the property whose token is at pos, and where the next token
// is.
func (t *Tree) property(pos uint32) (Property, uint32) {
	size, name := word(t.structure, pos+4), word(t.structure, pos+8)
	pos += 12
	return Property{
		Name:  text(t.strings[name:]),
		Value: t.structure[pos : pos+size : pos+size],
		Addr:  t.addr + phys.Addr(t.at+pos),
	}, pos + uint32(align4(size))
}

// Children yields the nodes directly below n in the order of the blob.
func (n Node) Children() iter.Seq[Node] {
	return func(yield func(Node) bool) {
		depth := 0
		for pos := n.body(); ; {
			switch word(n.t.structure, pos) {
			case tokenProperty:
				_, pos = n.t.property(pos)
			case tokenBegin:
				child := Node{n.t, pos + 4}
				if depth == 0 && !yield(child) {
					return
				}
				depth++
				pos = child.body()
			case tokenEnd:
				if depth == 0 {
					return
				}
				depth--
				pos += 4
			default:
				pos += 4
			}
		}
	}
}

// Child returns the first node of exactly this name directly below n.
func (n Node) Child(name string) (Node, bool) {
	for c := range n.Children() {
		if string(c.Name()) == name {
			return c, true
		}
	}
	return Node{}, false
}

// Property returns the first property of this name.
func (n Node) Property(name string) (Property, bool) {
	for p := range n.Properties() {
		if string(p.Name) == name {
			return p, true
		}
	}
	return Property{}, false
}

// Uint64 returns the value of a property that holds one little-endian 64-bit
// number. A missing property and one of another length are errors wrapping
// [ErrProperty].
func (n Node) Uint64(name string) (uint64, error) {
	p, ok := n.Property(name)
	if !ok {
		return 0, n.bad(name, n.Addr(), "no such property", "8 bytes")
	}
	if len(p.Value) != 8 {
		return 0, n.bad(name, p.Addr, fmt.Sprintf("%d bytes", len(p.Value)), "8 bytes")
	}
	return binary.LittleEndian.Uint64(p.Value), nil
}

// Strings returns the elements of a property that is a list of zero-terminated
// strings. A missing property and one that does not end in a zero are errors
// wrapping [ErrProperty].
func (n Node) Strings(name string) ([][]byte, error) {
	p, ok := n.Property(name)
	if !ok {
		return nil, n.bad(name, n.Addr(), "no such property", "a string")
	}
	v, ok := bytes.CutSuffix(p.Value, []byte{0})
	if !ok {
		return nil, n.bad(name, p.Addr, fmt.Sprintf("%q", p.Value), "a zero at the end")
	}
	return bytes.Split(v, []byte{0}), nil
}

func (n Node) bad(name string, at phys.Addr, found, want string) error {
	return &phys.Error{Object: fmt.Sprintf("node /%s property %q", n.Name(), name), Addr: at,
		Found: found, Want: want, Err: ErrProperty}
}

// Unique reports, as an error wrapping [ErrDuplicate], a name that two
// properties of n or two nodes directly below it share. Readers that take the
// first of a name and writers that append would disagree about such a tree.
func (n Node) Unique() error {
	type named struct {
		name []byte
		addr phys.Addr
	}
	first := func(kind string, all []named) error {
		slices.SortStableFunc(all, func(a, b named) int { return bytes.Compare(a.name, b.name) })
		for i := 1; i < len(all); i++ {
			if bytes.Equal(all[i-1].name, all[i].name) {
				return &phys.Error{Object: fmt.Sprintf("node /%s", n.Name()), Addr: all[i].addr,
					Found: fmt.Sprintf("a second %s %q", kind, all[i].name), Want: "one", Err: ErrDuplicate}
			}
		}
		return nil
	}
	var all []named
	for p := range n.Properties() {
		all = append(all, named{p.Name, p.Addr})
	}
	if err := first("property", all); err != nil {
		return err
	}
	all = all[:0]
	for c := range n.Children() {
		all = append(all, named{c.Name(), c.Addr()})
	}
	return first("node", all)
}

package fdt

import (
	"bytes"
	"encoding/binary"
	"fmt"
	"iter"

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

// String names the node for messages.
func (n Node) String() string {
	if len(n.Name()) == 0 {
		return "root node"
	}
	return "node " + phys.Quote(n.Name())
}

// Addr returns the physical address of the node's name, for messages.
func (n Node) Addr() phys.Addr { return n.t.addr + phys.Addr(n.t.at+n.pos) }

// text returns b up to its first zero, which [Parse] has seen.
func text(b []byte) []byte { return b[:bytes.IndexByte(b, 0)] }

// body returns the offset of the first token inside the node.
func (n Node) body() uint32 { return n.pos + uint32(align4(uint32(len(n.Name()))+1)) }

// Properties yields the node's properties in the order of the blob.
func (n Node) Properties() iter.Seq[Property] {
	return func(yield func(Property) bool) {
		for name, p := range n.nameless() {
			if p.Name = text(n.t.strings[name:]); !yield(p) {
				return
			}
		}
	}
}

// nameless yields each property without its name, and the offset of that in the
// strings block. Looking for the end of a name is left to those who need it: all
// properties of a tree may share one that is as long as the tree.
func (n Node) nameless() iter.Seq2[uint32, Property] {
	return func(yield func(uint32, Property) bool) {
		for pos := n.body(); ; {
			switch word(n.t.structure, pos) {
			case tokenNop:
				pos += 4
			case tokenProperty:
				name, p, next := n.t.property(pos)
				if !yield(name, p) {
					return
				}
				pos = next
			default:
				return
			}
		}
	}
}

// property returns the property whose token is at pos without its name, the offset of
// that in the strings block, and the position of the next token.
func (t *Tree) property(pos uint32) (name uint32, p Property, next uint32) {
	size, name := word(t.structure, pos+4), word(t.structure, pos+8)
	pos += 12
	return name, Property{
		Value: t.structure[pos : pos+size : pos+size],
		Addr:  t.addr + phys.Addr(t.at+pos),
	}, pos + uint32(align4(size))
}

// Children yields the nodes directly below n in the order of the blob.
func (n Node) Children() iter.Seq[Node] {
	return func(yield func(Node) bool) {
		depth := 0
		for pos := n.body(); ; pos = n.t.next(pos) {
			switch word(n.t.structure, pos) {
			case tokenBegin:
				if depth == 0 && !yield(Node{n.t, pos + 4}) {
					return
				}
				depth++
			case tokenEnd:
				if depth == 0 {
					return
				}
				depth--
			}
		}
	}
}

// next returns the position of the token behind the one at pos.
func (t *Tree) next(pos uint32) uint32 {
	switch word(t.structure, pos) {
	case tokenProperty:
		_, _, pos = t.property(pos)
		return pos
	case tokenBegin:
		return Node{t, pos + 4}.body()
	}
	return pos + 4
}

// Blank takes n out of b, a copy of the bytes that its tree was parsed from: it writes
// FDT_NOP over the node with all that is in it (Devicetree Specification 0.4, section
// 5.4.1). What is left is a sound tree. n must not be the root.
func (n Node) Blank(b []byte) {
	end, depth := n.body(), 1
	for ; depth > 0; end = n.t.next(end) {
		switch word(n.t.structure, end) {
		case tokenBegin:
			depth++
		case tokenEnd:
			depth--
		}
	}
	for pos := n.pos - 4; pos < end; pos += 4 {
		binary.BigEndian.PutUint32(b[n.t.at+pos:], tokenNop)
	}
}

// Child returns the first node of exactly this name directly below n.
func (n Node) Child(name string) (Node, bool) { return child(n, name) }

func child[T ~string | ~[]byte](n Node, name T) (Node, bool) {
	for c := range n.Children() {
		if string(c.Name()) == string(name) {
			return c, true
		}
	}
	return Node{}, false
}

// Property returns the first property of this name.
func (n Node) Property(name string) (Property, bool) { return property(n, name) }

func property[T ~string | ~[]byte](n Node, name T) (Property, bool) {
	for at, p := range n.nameless() {
		s, end := n.t.strings[at:], len(name)
		if len(s) > end && s[end] == 0 && string(s[:end]) == string(name) {
			p.Name = s[:end]
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
// strings, one after another: there may be as many as the tree has bytes. A
// missing property and one that does not end in a zero are errors wrapping
// [ErrProperty].
func (n Node) Strings(name string) (iter.Seq[[]byte], error) {
	p, ok := n.Property(name)
	if !ok {
		return nil, n.bad(name, n.Addr(), "no such property", "a string")
	}
	if !bytes.HasSuffix(p.Value, []byte{0}) {
		return nil, n.bad(name, p.Addr, phys.Quote(p.Value), "a zero at the end")
	}
	return func(yield func([]byte) bool) {
		for rest := p.Value; len(rest) > 0; {
			s := text(rest)
			if !yield(s) {
				return
			}
			rest = rest[len(s)+1:]
		}
	}, nil
}

// HasString reports whether the property of this name, a list as [Node.Strings]
// reads it, has the element want.
func (n Node) HasString(name, want string) (bool, error) {
	list, err := n.Strings(name)
	if err != nil {
		return false, err
	}
	for s := range list {
		if string(s) == want {
			return true, nil
		}
	}
	return false, nil
}

func (n Node) bad(name string, at phys.Addr, found, want string) error {
	return &phys.Error{Object: fmt.Sprintf("%v property %s", n, phys.Quote(name)), Addr: at,
		Found: found, Want: want, Err: ErrProperty}
}

// maxNames bounds the properties and the nodes in one node that [Node.Unique]
// compares with each other. A page has room for a third of it.
const maxNames = 1024

// Unique reports, as an error wrapping [ErrDuplicate], a name that two
// properties of n or two nodes directly below it share. Readers that take the
// first of a name and writers that append would disagree about such a tree. More
// than 1024 of either are an error wrapping [ErrStructure].
func (n Node) Unique() error {
	bad := func(at phys.Addr, found, want string, rule error) error {
		return &phys.Error{Object: n.String(), Addr: at, Found: found, Want: want, Err: rule}
	}
	many := func(kind string) error {
		return bad(n.Addr(), fmt.Sprintf("more than %d %s", maxNames, kind), fmt.Sprintf("%d at most", maxNames), ErrStructure)
	}
	i := 0
	for p := range n.Properties() {
		if i++; i > maxNames {
			return many("properties")
		}
		if first, _ := property(n, p.Name); first.Addr != p.Addr {
			return bad(p.Addr, "a second property "+phys.Quote(p.Name), "one", ErrDuplicate)
		}
	}
	i = 0
	for c := range n.Children() {
		if i++; i > maxNames {
			return many("nodes")
		}
		if first, _ := child(n, c.Name()); first != c {
			return bad(c.Addr(), "a second node "+phys.Quote(c.Name()), "one", ErrDuplicate)
		}
	}
	return nil
}

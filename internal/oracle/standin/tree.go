package standin

import (
	"encoding/binary"
	"errors"
	"fmt"
)

// Flattened device tree tags (devicetree specification 0.4, section 5.4).
const (
	fdtMagic   = 0xd00dfeed
	tagBegin   = 1
	tagEnd     = 2
	tagProp    = 3
	tagNop     = 4
	tagFinish  = 9
	fdtHeader  = 40
	fdtVersion = 17
)

var be = binary.BigEndian

type prop struct {
	name  string
	value []byte
}

type node struct {
	name  string
	props []prop
	kids  []node
}

func le64(v uint64) []byte { return le.AppendUint64(nil, v) }

// prop returns the value of the named property.
func (n node) prop(name string) ([]byte, bool) {
	for _, p := range n.props {
		if p.name == name {
			return p.value, true
		}
	}
	return nil, false
}

// u64 returns the named property of exactly 8 little-endian bytes.
func (n node) u64(name string) (uint64, error) {
	v, ok := n.prop(name)
	if !ok || len(v) != 8 {
		return 0, fmt.Errorf("node %q: property %q has %d bytes, want 8", n.name, name, len(v))
	}
	return le.Uint64(v), nil
}

// marshal writes the tree below n into page.
func (n node) marshal(page []byte) error {
	var tags, strs []byte
	pad := func() {
		for len(tags)%4 != 0 {
			tags = append(tags, 0)
		}
	}
	var emit func(n node)
	emit = func(n node) {
		tags = be.AppendUint32(tags, tagBegin)
		tags = append(append(tags, n.name...), 0)
		pad()
		for _, p := range n.props {
			tags = be.AppendUint32(tags, tagProp)
			tags = be.AppendUint32(tags, uint32(len(p.value)))
			tags = be.AppendUint32(tags, uint32(len(strs)))
			tags = append(tags, p.value...)
			pad()
			strs = append(append(strs, p.name...), 0)
		}
		for _, k := range n.kids {
			emit(k)
		}
		tags = be.AppendUint32(tags, tagEnd)
	}
	emit(n)
	tags = be.AppendUint32(tags, tagFinish)
	const rsvmap, start = fdtHeader, fdtHeader + 16
	total := start + len(tags) + len(strs)
	if total > len(page) {
		return fmt.Errorf("tree of %d bytes does not fit %d", total, len(page))
	}
	for i, v := range []int{fdtMagic, total, start, start + len(tags), rsvmap, fdtVersion, 16, 0, len(strs), len(tags)} {
		be.PutUint32(page[4*i:], uint32(v))
	}
	copy(page[start:], tags)
	copy(page[start+len(tags):], strs)
	return nil
}

// parseTree reads a tree the way libfdt's users in the kernel do. A slice
// expression out of bounds panics; the caller of the package recovers.
func parseTree(b []byte) (root node, err error) {
	if len(b) < fdtHeader || be.Uint32(b) != fdtMagic {
		return root, errors.New("no device tree magic")
	}
	total := be.Uint32(b[4:])
	if int(total) > len(b) {
		return root, fmt.Errorf("tree claims %d bytes of %d", total, len(b))
	}
	b = b[:total]
	tags, strs := b[be.Uint32(b[8:]):], b[be.Uint32(b[12:]):]
	text := func(b []byte) string {
		for i, c := range b {
			if c == 0 {
				return string(b[:i])
			}
		}
		return string(b)
	}
	var stack []*node
	for at := 0; ; {
		tag := be.Uint32(tags[at:])
		at += 4
		switch tag {
		case tagBegin:
			n := node{name: text(tags[at:])}
			at = (at + len(n.name) + 1 + 3) &^ 3
			if len(stack) == 0 {
				root = n
				stack = append(stack, &root)
				break
			}
			top := stack[len(stack)-1]
			top.kids = append(top.kids, n)
			stack = append(stack, &top.kids[len(top.kids)-1])
		case tagProp:
			n, off := int(be.Uint32(tags[at:])), be.Uint32(tags[at+4:])
			top := stack[len(stack)-1]
			top.props = append(top.props, prop{text(strs[off:]), tags[at+8 : at+8+n]})
			at = (at + 8 + n + 3) &^ 3
		case tagEnd:
			stack = stack[:len(stack)-1]
		case tagNop:
		case tagFinish:
			if len(stack) != 0 {
				return root, errors.New("tree ends inside a node")
			}
			return root, nil
		default:
			return root, fmt.Errorf("unknown tag %#x", tag)
		}
	}
}

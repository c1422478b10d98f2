package kho

import (
	"encoding/binary"
	"fmt"
	"math/bits"
	"slices"
	"strings"

	"ferry/phys"
)

// Geometry of the radix tree (enum kho_radix_consts): six levels of pages. At
// levels 5 to 1 a page is 512 little-endian addresses of pages one level below,
// 0 if there is none; at level 0 it is a bitmap of 32768 keys. The key of a
// block is its page number shifted right by its order, with one bit above it
// whose place gives the order.
const (
	topLevel   = 5
	tableShift = 9
	tableSlots = 1 << tableShift
	leafShift  = 15
	leafBits   = 1 << leafShift
	leafWords  = leafBits / 64
	orderBit   = 52 // of order 0; one lower for each order

	// maxOrder is the largest order that has leaves: blocks of 512 TiB.
	// Larger ones do not fit what page tables of five levels can reach.
	maxOrder phys.Order = orderBit - leafShift
)

// prefix returns the key bits above a leaf: the leaf of the given order whose
// first block is number window<<leafShift.
func prefix(o phys.Order, window uint64) uint64 { return 1<<(maxOrder-o) + window }

// node is a page of the tree above the leaves: the upper bits of all keys below
// it, and where it is.
type node struct {
	prefix uint64
	addr   phys.Addr
}

// radix is the index of kho-v3 and kho-v4.
type radix struct{}

// read collects the nodes of the tree level by level, so that a level's
// keys come in ascending order. The number of visits is bounded by RAM even in a
// tree that shares nodes or loops: a slot is followed only if a block below
// it would fit RAM, which allows two leaves for every 128 MiB and a few nodes
// for each order, and [maxVacant] if it would not.
func (radix) read(m *Map) error {
	var top phys.Addr
	if ram := m.mem.RAM(); len(ram) > 0 {
		top = ram[len(ram)-1].End
	}
	if err := m.rules.Check("page", phys.Block{Addr: m.root}); err != nil {
		return phys.In("root", m.root, err)
	}
	m.nodes = []phys.PFN{m.root.PFN()}
	level := []node{{0, m.root}}
	for l := topLevel; l > 0; l-- {
		m.levels[l] = level
		var below []node
		for _, n := range level {
			page, err := m.mem.View(n.addr, phys.PageSize)
			if err != nil {
				return err
			}
			for i := range tableSlots {
				child := phys.Addr(binary.LittleEndian.Uint64(page[8*i:]))
				if child == 0 {
					continue
				}
				p := n.prefix<<tableShift | uint64(i)
				found, want, above := badPrefix(p, leafShift+tableShift*(l-1), top)
				if above && m.vacate(l-1, child) {
					continue
				}
				if found != "" {
					return m.slotError(l, n, i, found, want)
				}
				if err := m.rules.Check("page", phys.Block{Addr: child}); err != nil {
					return phys.In(m.slotName(l, n, i), child, err)
				}
				below = append(below, node{p, child})
				m.nodes = append(m.nodes, child.PFN())
			}
		}
		if err := m.checkNodes(); err != nil {
			return err
		}
		level = below
	}
	m.nodes = append(m.nodes, m.vacant...)
	if err := m.checkNodes(); err != nil {
		return err
	}
	for _, n := range level {
		b, err := m.mem.View(n.addr, phys.PageSize)
		if err != nil {
			return err
		}
		o := maxOrder - phys.Order(bits.Len64(n.prefix)-1)
		leaf := leaf{window: n.prefix - prefix(o, 0), addr: n.addr}
		leaf.setPage(b)
		m.orders[o] = append(m.orders[o], leaf)
		m.present |= 1 << o
	}
	return nil
}

// badPrefix says what is wrong with keys that have p above their lowest shift
// bits, and what is wanted: a block below top. It returns empty strings if such
// keys can be. above says that they are keys, of memory that is not there.
func badPrefix(p uint64, shift int, top phys.Addr) (found, want string, above bool) {
	high := shift - 1 // place of the highest order bit that may follow, if p has none
	if p != 0 {
		high = bits.Len64(p) - 1 + shift
	}
	o := phys.Order(orderBit - high) // far above maxOrder if there are bits above orderBit
	if o > maxOrder {
		return fmt.Sprintf("a key of %d bits", high+1), fmt.Sprintf("%d to %d", leafShift+1, orderBit+1), false
	}
	var start phys.Addr
	if p != 0 {
		start = phys.Addr((p<<shift - 1<<high) << (phys.PageShift + o))
	}
	if start >= top || uint64(top-start) < o.Bytes() {
		return fmt.Sprintf("keys of order %d from %s on", o, start), fmt.Sprintf("blocks in RAM, which ends at %s", top), true
	}
	return "", "", false
}

// checkNodes proves that no page of the tree read so far is referenced twice:
// no cycle, no shared node.
func (m *Map) checkNodes() error {
	slices.Sort(m.nodes)
	for i := 1; i < len(m.nodes); i++ {
		if m.nodes[i] == m.nodes[i-1] {
			return m.shared(m.nodes[i].Addr())
		}
	}
	return nil
}

// slotName names a slot of a node of the level that is read, and every slot on the
// way to it from the root: any of them may be the one that is wrong.
func (m *Map) slotName(level int, n node, i int) string {
	var b strings.Builder
	for l := topLevel; l > level; l-- {
		prefix := n.prefix >> (tableShift * (l - level))
		for _, above := range m.levels[l] {
			if above.prefix == prefix {
				slot := n.prefix >> (tableShift * (l - level - 1)) % tableSlots
				fmt.Fprintf(&b, "level %d node %s slot %d: ", l, above.addr, slot)
			}
		}
	}
	fmt.Fprintf(&b, "level %d node %s slot %d", level, n.addr, i)
	return b.String()
}

func (m *Map) slotError(level int, n node, i int, found, want string) error {
	return &phys.Error{Object: m.slotName(level, n, i), Addr: n.addr + phys.Addr(8*i), Found: found, Want: want, Err: ErrMap}
}

// shared names the second reference to the node at a, the root being referenced
// by the device tree.
func (m *Map) shared(a phys.Addr) error {
	seen := a == m.root
	for l := topLevel; l > 0; l-- {
		for _, n := range m.levels[l] {
			page, err := m.mem.View(n.addr, phys.PageSize)
			if err != nil {
				return err
			}
			for i := range tableSlots {
				if phys.Addr(binary.LittleEndian.Uint64(page[8*i:])) != a {
					continue
				}
				if seen {
					return m.slotError(l, n, i, fmt.Sprintf("a second reference to node %s", a), "each node referenced once: no sharing, no cycle")
				}
				seen = true
			}
		}
	}
	return &phys.Error{Object: "node", Addr: a, Found: "referenced twice", Want: "once", Err: ErrMap}
}

package kho

import (
	"encoding/binary"
	"slices"

	"ferry/fdt"
	"ferry/phys"
)

// Commit writes what the draft still lacks - copies of the nodes on the way to
// every changed leaf, and the root device tree - into new pages, and returns the
// payload by which the next kernel finds the new handover. The old payload still
// names the old handover: whoever hands over chooses by choosing the payload.
//
// The old device tree's page leaves the map. After Commit the draft takes no
// more changes.
func (d *Draft) Commit() (Data, error) {
	if d.done {
		return Data{}, errDone(d.data.FDT)
	}
	defer func() { d.done = true }()
	if d.data.FDT != 0 {
		if err := d.Retire(phys.Block{Addr: d.data.FDT}); err != nil {
			return Data{}, phys.In("kho: root device tree", d.data.FDT, err)
		}
	}
	tree, page, err := d.Alloc()
	if err == nil {
		err = d.format.index.write(d)
	}
	if err == nil {
		err = d.checkSubtrees()
	}
	if err == nil {
		err = d.writeTree(page)
	}
	if err != nil {
		return Data{}, phys.In("kho", tree, err)
	}
	d.data.FDT, d.data.FDTSize = tree, phys.PageSize
	return d.data, nil
}

// write copies the nodes above the draft's own leaves, level by level, and
// sets the new root.
func (radix) write(d *Draft) error {
	var changed []node
	for o := int(maxOrder); o >= 0; o-- { // ascending prefixes
		for i := range d.now.orders[o] {
			if l := &d.now.orders[o][i]; l.own {
				changed = append(changed, node{prefix(phys.Order(o), l.window), l.addr})
			}
		}
	}
	for l := 1; l <= topLevel; l++ {
		var err error
		if changed, err = d.writeLevel(l, changed); err != nil {
			return err
		}
	}
	d.now.root = changed[0].addr
	d.now.listNodes()
	d.stats.NodesKept = len(d.now.nodes) - d.stats.Nodes
	return nil
}

// listNodes lists the pages of the tree anew.
func (m *Map) listNodes() {
	m.nodes = nil
	for _, level := range m.levels {
		for _, n := range level {
			m.nodes = append(m.nodes, n.addr.PFN())
		}
	}
	for o := range m.orders {
		for i := range m.orders[o] {
			m.nodes = append(m.nodes, m.orders[o][i].addr.PFN())
		}
	}
	slices.Sort(m.nodes)
}

// writeLevel writes the nodes of level l above the changed ones below, and
// returns them.
func (d *Draft) writeLevel(l int, below []node) ([]node, error) {
	var changed []node
	for i := 0; i < len(below); {
		p := below[i].prefix >> tableShift
		a, page, err := d.newNode()
		if err != nil {
			return nil, err
		}
		if j, ok := findNode(d.old.levels[l], p); ok {
			old, err := d.mem.View(d.old.levels[l][j].addr, phys.PageSize)
			if err != nil {
				return nil, err
			}
			copy(page, old)
		}
		for ; i < len(below) && below[i].prefix>>tableShift == p; i++ {
			slot := below[i].prefix & (tableSlots - 1)
			binary.LittleEndian.PutUint64(page[8*slot:], uint64(below[i].addr))
		}
		changed = append(changed, node{p, a})
	}
	level := slices.Clone(d.old.levels[l])
	for _, n := range changed {
		if j, ok := findNode(level, n.prefix); ok {
			level[j] = n
		} else {
			level = slices.Insert(level, j, n)
		}
	}
	d.now.levels[l] = level
	return changed, nil
}

// findNode returns the position of the node with this prefix, or where it would
// be.
func findNode(level []node, p uint64) (int, bool) {
	return slices.BinarySearchFunc(level, p, func(n node, p uint64) int {
		switch {
		case n.prefix < p:
			return -1
		case n.prefix > p:
			return 1
		}
		return 0
	})
}

// writeTree writes the root device tree. What came in is repeated byte for byte
// but for the address of the map and what the draft set.
func (d *Draft) writeTree(page []byte) error {
	w := fdt.NewWriter(page, d.format.mapProperty, compatibleProperty, d.format.pointerProperty, d.format.sizeProperty)
	w.Begin("")
	for _, p := range d.root {
		if p.name == d.format.mapProperty {
			w.Address(p.name, d.now.root)
		} else {
			w.Property(p.name, p.value)
		}
	}
	for _, s := range d.subtrees {
		w.Begin(s.Name)
		if s.node == (fdt.Node{}) {
			w.Address(d.format.pointerProperty, s.Data)
			w.Uint64(d.format.sizeProperty, s.Size)
		} else {
			d.repeat(w, s)
		}
		w.End()
	}
	w.End()
	var err error
	d.stats.TreeBytes, err = w.Finish()
	return err
}

// repeat writes the properties of a sub-tree that came in.
func (d *Draft) repeat(w *fdt.Writer, s Subtree) {
	for p := range s.node.Properties() {
		switch name := string(p.Name); name {
		case d.format.pointerProperty:
			w.Address(name, s.Data)
		case d.format.sizeProperty:
			w.Uint64(name, s.Size)
		default:
			w.Property(name, p.Value)
		}
	}
}

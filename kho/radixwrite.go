package kho

import (
	"encoding/binary"
	"slices"

	"ferry/phys"
)

// write copies the nodes above the leaves that the old tree does not have, level
// by level, and sets the new root. If there is no old tree, as when a list
// becomes one, these are all.
func (radix) write(d *Draft) error {
	if err := d.joinLeaves(); err != nil {
		return err
	}
	all := len(d.old.levels[topLevel]) == 0
	var changed []node
	for o := int(maxOrder); o >= 0; o-- { // ascending prefixes
		for i := range d.now.orders[o] {
			if l := &d.now.orders[o][i]; all || l.own {
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
	d.now.root, d.now.chunks = changed[0].addr, nil
	d.listNodes()
	return nil
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

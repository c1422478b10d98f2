package standin

import (
	"fmt"
	"math/bits"

	"ferry/phys"
)

// Geometry of the preserved-memory tree: one root at level 5, tables of 512
// addresses down to level 1, bitmaps of 32768 keys at level 0.
const (
	levels    = 6
	leafBits  = 15
	tableBits = 9
	orderBase = 52 // key = 1<<(52-order) + pa>>(12+order)
)

func keyOf(b phys.Block) uint64 {
	return 1<<(orderBase-b.Order) + uint64(b.Addr)>>(phys.PageShift+b.Order)
}

func blockOf(key uint64) phys.Block {
	order := phys.Order(orderBase - (bits.Len64(key) - 1))
	return phys.Block{Addr: phys.Addr(key-1<<(orderBase-order)) << (phys.PageShift + order), Order: order}
}

func slot(key uint64, level int) uint64 {
	return key >> (leafBits + tableBits*(level-1)) % (1 << tableBits)
}

// leaf returns the bitmap of b in the tree at root, the number of its bit, and
// how many pages had to be added to the tree.
func (a *arena) leaf(root phys.Addr, b phys.Block) (leaf []byte, bit, added uint64, err error) {
	key, at := keyOf(b), root
	for level := levels - 1; level > 0; level-- {
		page, err := a.mem.Edit(at, phys.PageSize)
		if err != nil {
			return nil, 0, added, err
		}
		i := 8 * slot(key, level)
		child := phys.Addr(le.Uint64(page[i:]))
		if child == 0 {
			if child, _, err = a.take(0); err != nil {
				return nil, 0, added, err
			}
			added++
			le.PutUint64(page[i:], uint64(child))
		}
		at = child
	}
	leaf, err = a.mem.Edit(at, phys.PageSize)
	return leaf, key % (1 << leafBits), added, err
}

// walkRadix calls block for every entry below the node at a and node for every
// page of the tree, as kho_radix_walk_tree does.
func walkRadix(mem phys.Memory, a phys.Addr, level int, prefix uint64, node func(phys.Range), block func(phys.Block)) error {
	page, err := mem.View(a, phys.PageSize)
	if err != nil {
		return fmt.Errorf("map node of level %d: %w", level, err)
	}
	node(phys.Block{Addr: a}.Range())
	for i := 0; i < phys.PageSize; i += 8 {
		word := le.Uint64(page[i:])
		if word == 0 {
			continue
		}
		if level > 0 {
			shift := leafBits + tableBits*(level-1)
			if err := walkRadix(mem, phys.Addr(word), level-1, prefix|uint64(i/8)<<shift, node, block); err != nil {
				return err
			}
			continue
		}
		for ; word != 0; word &= word - 1 {
			block(blockOf(prefix | uint64(8*i+bits.TrailingZeros64(word))))
		}
	}
	return nil
}

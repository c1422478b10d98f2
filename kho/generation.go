package kho

import (
	"fmt"

	"ferry/fdt"
	"ferry/phys"
)

// generation is how one family of kernel releases writes a handover.
type generation struct {
	compatible      string // version string of the root node
	mapProperty     string // of the root node: address of the preserved-memory map
	pointerProperty string // of a sub-tree's node: address of its data
	sizeProperty    string // of a sub-tree's node: size of its data; empty where there is none

	// readMap reads and proves the preserved-memory map at the given address.
	readMap func(mem phys.Memory, root phys.Addr, scratch phys.Ranges) (*Map, error)
}

// generations lists what [Open] reads.
var generations = [...]*generation{&v4}

// current is what a draft from nothing is written as.
var current = &v4

const compatibleProperty = "compatible"

// recognise returns the generation whose string is among those of the root.
func recognise(root fdt.Node) (*generation, error) {
	list, err := root.Strings(compatibleProperty)
	if err != nil {
		return nil, err
	}
	for _, g := range generations {
		for _, s := range list {
			if string(s) == g.compatible {
				return g, nil
			}
		}
	}
	return nil, &phys.Error{Object: "root node", Addr: root.Addr(), Found: fmt.Sprintf("compatible %q", list),
		Want: v4.compatible, Hint: "the kernel that wrote it is of another release than this image reads", Err: ErrVersion}
}

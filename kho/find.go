package kho

import (
	"bytes"
	"encoding/binary"
	"slices"

	"ferry/fdt"
	"ferry/phys"
)

// A payload in memory is the data of a node of the setup_data list (struct setup_data
// of arch/x86/include/uapi/asm/setup_data.h): the address of the next node, the type,
// the length, and then the [Data].
const (
	nodeType = 8 // offset of the type, u32, and of the length behind it
	nodeData = 16
	nodeSize = nodeData + DataSize
)

// Bounds of a search. Memory may be full of what looks like a node.
const (
	maxFound      = 64      // handovers
	maxCandidates = 1 << 16 // nodes that name a device tree
	findWindow    = 1 << 20 // bytes looked at at a time
)

// Find returns the payloads of handovers that lie in mem, in the order of their
// addresses and each once: of the handover that the kernel before made, of that of a
// crossing, and of older ones whose memory nobody used again. Which of them are sound
// [Open] says. It is for whoever has a dump of memory and nothing else.
//
// A payload counts if its node says type 10 and 32 bytes and it names the root of a
// device tree of a known version and a scratch table in RAM. Find reads all of mem
// once and returns at most 64 payloads.
func Find(mem phys.Memory) []Data {
	var found []Data
	candidates := 0
	for _, r := range mem.RAM() {
		for at := r.Start; at < r.End && len(found) < maxFound && candidates < maxCandidates; at += findWindow {
			b, err := mem.View(at, min(findWindow+nodeSize-1, uint64(r.End-at)))
			if err != nil {
				continue // a hole in the dump
			}
			for d := range payloads(b) {
				if candidates++; candidates > maxCandidates || len(found) == maxFound {
					break
				}
				if !slices.Contains(found, d) && d.plausible(mem) {
					found = append(found, d)
				}
			}
		}
	}
	return found
}

// payloads yields what could be payloads of nodes that begin in the first findWindow
// bytes of b.
func payloads(b []byte) func(yield func(Data) bool) {
	head := binary.LittleEndian.AppendUint32(nil, SetupType)
	head = binary.LittleEndian.AppendUint32(head, DataSize)
	return func(yield func(Data) bool) {
		for from := nodeType; from < len(b); {
			i := bytes.Index(b[from:], head)
			if i < 0 {
				return
			}
			node := from + i - nodeType
			if from += i + 1; node >= findWindow || len(b)-node < nodeSize {
				return
			}
			d, err := ParseData(0, b[node+nodeData:node+nodeSize])
			if err == nil && d.FDTSize == phys.PageSize && d.FDT.Aligned(phys.PageSize) && checkTableSize(d.Scratch, d.ScratchSize) == nil && !yield(d) {
				return
			}
		}
	}
}

// plausible reports whether the payload names a root device tree of a known version
// and a scratch table in RAM.
func (d Data) plausible(mem phys.Memory) bool {
	if phys.Check(mem.RAM(), d.Scratch, d.ScratchSize) != nil {
		return false
	}
	tree, err := d.tree(mem)
	if err == nil {
		_, err = recognise(tree.Root(), formatsAnd(nil))
	}
	return err == nil
}

// tree returns the root device tree, of which nothing is proved but that it is one.
func (d Data) tree(mem phys.Memory) (*fdt.Tree, error) {
	page, err := mem.View(d.FDT, phys.PageSize)
	if err != nil {
		return nil, err
	}
	return fdt.Parse(d.FDT, page)
}

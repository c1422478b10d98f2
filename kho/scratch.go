package kho

import (
	"cmp"
	"encoding/binary"
	"fmt"
	"slices"

	"ferry/phys"
)

// Geometry of the scratch table (struct kho_scratch): 16-byte entries of address
// and size, little endian. Entry 0 is low memory, entry 1 global, then one for
// each memory node.
const (
	scratchEntry      = 16
	minScratchEntries = 3
	maxScratchEntries = 16384              // the 64 pages that Linux maps of it
	scratchAlign      = 2 << 20            // base of an area: a page block, 4 MiB from 7.2 on
	lowMemoryEnd      = phys.Addr(1 << 32) // entry 0 ends here at the latest
)

// ScratchArea is one entry of the scratch table. An area of size 0 is legal: its
// address means nothing and may lie inside another area. So is any other size:
// up to 7.1 kernels take what their command line says (kho_scratch=) as it is.
type ScratchArea struct {
	Addr phys.Addr
	Size uint64
}

// readScratch reads and proves the scratch table: at least three entries, each
// that is not empty in RAM, aligned and apart from the others.
func readScratch(mem phys.Memory, d Data) ([]ScratchArea, phys.Ranges, error) {
	if err := checkTableSize(d.Scratch, d.ScratchSize); err != nil {
		return nil, nil, err
	}
	b, err := mem.View(d.Scratch, d.ScratchSize)
	if err != nil {
		return nil, nil, phys.In("scratch table", d.Scratch, err)
	}
	table := make([]ScratchArea, 0, len(b)/scratchEntry)
	for ; len(b) > 0; b = b[scratchEntry:] {
		u := binary.LittleEndian.Uint64
		table = append(table, ScratchArea{phys.Addr(u(b)), u(b[8:])})
	}
	set, err := checkScratch(mem.RAM(), table, d.Scratch)
	return table, set, err
}

// checkTableSize proves that a table of size bytes at a has a number of entries that
// kernels take.
func checkTableSize(a phys.Addr, size uint64) error {
	if size%scratchEntry == 0 && size >= minScratchEntries*scratchEntry && size <= maxScratchEntries*scratchEntry {
		return nil
	}
	return &phys.Error{Object: "scratch table", Addr: a, Found: fmt.Sprintf("%d bytes", size),
		Want: fmt.Sprintf("%d to %d entries of %d bytes", minScratchEntries, maxScratchEntries, scratchEntry), Err: ErrScratch}
}

// checkScratch proves the areas of the table at address at and returns their
// set.
func checkScratch(ram phys.Ranges, table []ScratchArea, at phys.Addr) (phys.Ranges, error) {
	areas := make([]phys.Range, 0, len(table))
	for i, a := range table {
		if a.Size == 0 {
			continue
		}
		bad := func(found, want string) error {
			return &phys.Error{Object: fmt.Sprintf("scratch table %s entry %d", at, i), Addr: at + phys.Addr(i*scratchEntry),
				Found: found, Want: want, Err: ErrScratch}
		}
		r, ok := phys.Span(a.Addr, a.Size)
		switch {
		case !ok:
			return nil, bad(fmt.Sprintf("%#x bytes at %s", a.Size, a.Addr), "an end inside the address space")
		case !a.Addr.Aligned(scratchAlign):
			return nil, bad(fmt.Sprintf("area %v", r), "a base that is a multiple of 2 MiB")
		case !ram.Contains(r):
			return nil, bad(fmt.Sprintf("area %v", r), "RAM")
		case i == 0 && r.End > lowMemoryEnd:
			return nil, bad(fmt.Sprintf("area %v", r), "low memory, below 4 GiB")
		}
		areas = append(areas, r)
	}
	slices.SortFunc(areas, func(a, b phys.Range) int { return cmp.Compare(a.Start, b.Start) })
	for i := 1; i < len(areas); i++ {
		if areas[i].Overlaps(areas[i-1]) {
			return nil, &phys.Error{Object: "scratch table", Addr: at,
				Found: fmt.Sprintf("area %v overlaps area %v", areas[i], areas[i-1]), Want: "areas apart from each other", Err: ErrScratch}
		}
	}
	return phys.NewRanges(areas...), nil
}

// checkTable proves that the next kernel will still find the scratch table: it lies
// in scratch, as a kernel's does, or in memory outside that nobody has, as that of a
// crossing. Either is reserved by its address before anything else is allocated.
func (h *Handover) checkTable() error {
	table, ok := phys.Span(h.data.Scratch, h.data.ScratchSize)
	bad := func(found string) error {
		return &phys.Error{Object: "scratch table", Addr: h.data.Scratch, Found: found,
			Want: "a table in scratch, or in RAM above 1 MiB that is neither preserved nor a node of the map", Err: ErrScratch}
	}
	if ok && h.scratch.Contains(table) {
		return nil
	}
	if !ok || !h.rules.Allow(table) {
		return bad("a table partly in scratch, or not in RAM")
	}
	if b, hit := h.preserved.Overlaps(table); hit {
		return bad(fmt.Sprintf("a table in the preserved block %v", b))
	}
	pages := phys.Range{Start: table.Start.Page(), End: table.End}
	if h.preserved.hasNode(pages) {
		return bad("a table in a node of the map")
	}
	return nil
}

// writeScratch writes the table at address at.
func writeScratch(mem phys.Memory, at phys.Addr, table []ScratchArea) error {
	b, err := mem.Edit(at, uint64(len(table))*scratchEntry)
	if err != nil {
		return err
	}
	for i, a := range table {
		binary.LittleEndian.PutUint64(b[i*scratchEntry:], uint64(a.Addr))
		binary.LittleEndian.PutUint64(b[i*scratchEntry+8:], a.Size)
	}
	return nil
}

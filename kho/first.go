package kho

import (
	"fmt"

	"ferry/own"
	"ferry/phys"
)

// New begins a handover from nothing, to be written as f: it writes the scratch
// table at address table, which must lie in one of the areas, and preserves only
// memory of ram, taking no new pages from avoid. This is the part of a first kernel,
// which tests and examples play: its pages come from RAM outside scratch, the
// highest first. It writes no table that [Open] refuses.
func New(mem phys.Memory, f *Format, ram phys.Ranges, table phys.Addr, areas []ScratchArea, avoid phys.Ranges) (*Draft, error) {
	size := uint64(len(areas)) * scratchEntry
	err := checkTableSize(table, size)
	for _, r := range ram {
		if err == nil && !mem.RAM().Contains(r) {
			err = &phys.Error{Object: "memory to preserve", Addr: r.Start, Found: fmt.Sprintf("%v, not all RAM", r), Want: "RAM", Err: phys.ErrNotRAM}
		}
	}
	var scratch phys.Ranges
	if err == nil {
		scratch, err = checkScratch(ram, areas, table)
	}
	if at, ok := phys.Span(table, size); err == nil && !(ok && scratch.Contains(at)) {
		err = &phys.Error{Object: "scratch table", Addr: table, Found: fmt.Sprintf("%d entries outside the scratch areas", len(areas)),
			Want: "a table that the next kernel will not overwrite", Err: ErrScratch}
	}
	if err == nil {
		err = writeScratch(mem, table, areas)
	}
	if err != nil {
		return nil, phys.In("kho", table, err)
	}
	d := &Draft{mem: mem, format: f, old: &Map{mem: mem}, now: &Map{mem: mem}, rules: own.NewRules(ram, scratch),
		data: Data{Scratch: table, ScratchSize: size}}
	for _, p := range d.format.root {
		d.root = append(d.root, carried{p.name, p.value})
	}
	d.root = append(d.root, carried{d.format.mapProperty, nil})
	free := d.rules.Places().Sub(avoid...)
	d.alloc.more = func() (phys.Range, error) {
		for len(free) > 0 {
			last := &free[len(free)-1]
			piece := phys.Range{Start: max(last.Start, phys.AlignDown(last.End-1, PieceSize)), End: last.End}
			if last.End = piece.Start; last.Empty() {
				free = free[:len(free)-1]
			}
			if _, hit := d.now.Overlaps(piece); !hit {
				return piece, nil
			}
		}
		return phys.Range{}, &phys.Error{Object: "page allocator", Found: "no piece left", Err: ErrNoMemory}
	}
	return d, nil
}

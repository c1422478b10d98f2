package kho

import (
	"encoding/binary"

	"ferry/phys"
)

// ScratchHint returns the entries of the scratch table that d names as far as
// they are RAM, unproved and in their order, and the memory of the table. It is
// for handing on a handover that [Open] refuses: what its producer called
// scratch is the only memory of which somebody said that nothing preserved lies
// there. Both are empty where the table itself is not RAM.
func ScratchHint(mem phys.Memory, d Data) (areas []phys.Range, table phys.Range) {
	table, _ = phys.Span(d.Scratch, min(d.ScratchSize, maxScratchEntries*scratchEntry))
	b, err := mem.View(table.Start, table.Size())
	if err != nil {
		return nil, phys.Range{}
	}
	for ; len(b) >= scratchEntry; b = b[scratchEntry:] {
		u := binary.LittleEndian.Uint64
		if r, ok := phys.Span(phys.Addr(u(b)), u(b[8:])); ok && !r.Empty() && mem.RAM().Contains(r) {
			areas = append(areas, r)
		}
	}
	return areas, table
}

package kho

import (
	"encoding/binary"

	"ferry/phys"
)

// ScratchHint returns the entries of the scratch table that d names as far as
// they are RAM, unproved and in their order. It is for handing on a handover
// that [Open] refuses: what its producer called scratch is the only memory of
// which somebody said that nothing preserved lies there.
func ScratchHint(mem phys.Memory, d Data) (areas []phys.Range) {
	b, err := mem.View(d.Scratch, min(d.ScratchSize, maxScratchEntries*scratchEntry))
	if err != nil {
		return nil
	}
	for ; len(b) >= scratchEntry; b = b[scratchEntry:] {
		u := binary.LittleEndian.Uint64
		if r, ok := phys.Span(phys.Addr(u(b)), u(b[8:])); ok && !r.Empty() && mem.RAM().Contains(r) {
			areas = append(areas, r)
		}
	}
	return areas
}

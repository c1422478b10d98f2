package kho

import (
	"cmp"
	"slices"

	"ferry/phys"
)

// FirstPieces returns the first n pieces of 4 MiB, or fewer, that a draft would cut
// off the areas of a scratch table as its new pages are asked for, if nothing may lie
// in occupied: what a kernel that is placed before should leave free.
func FirstPieces(areas []phys.Range, occupied phys.Ranges, n int) phys.Ranges {
	type area struct {
		size uint64
		free phys.Ranges
	}
	var all []area
	for _, a := range areas {
		if !a.Empty() {
			all = append(all, area{a.Size(), phys.NewRanges(a).Sub(occupied...).Sub(phys.Range{End: phys.LowMemory})})
		}
	}
	slices.SortStableFunc(all, func(a, b area) int { return cmp.Compare(b.free.Size(), a.free.Size()) })
	p := &pool{}
	for _, a := range all {
		p.offer(a.free, a.size)
	}
	var first []phys.Range
	for left := phys.Addr(n) * PieceSize; left > 0 && len(p.free) > 0; p.free = p.free[1:] {
		r := p.free[0]
		r.End = min(r.End, r.Start+left)
		first, left = append(first, r), left-phys.Addr(r.Size())
	}
	return phys.NewRanges(first...)
}

package kho

import "ferry/phys"

// FirstPieces returns the first n pieces of 4 MiB, or fewer, that a draft would cut
// off the areas of a scratch table when it needs new pages, if nothing may lie
// in occupied: what a kernel that is placed before should leave free.
func FirstPieces(areas []phys.Range, occupied phys.Ranges, n int) phys.Ranges {
	p := &pool{occupied: occupied}
	p.offerAll(areas)
	var first []phys.Range
	for left := phys.Addr(n) * PieceSize; left > 0 && len(p.free) > 0; p.free = p.free[1:] {
		r := p.free[0]
		r.End = min(r.End, r.Start+left)
		first, left = append(first, r), left-phys.Addr(r.Size())
	}
	return phys.NewRanges(first...)
}

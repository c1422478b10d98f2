package kho

import (
	"cmp"
	"fmt"
	"slices"

	"ferry/phys"
)

// The pool: where the new pages of a draft come from. It is cut off scratch, the
// one memory that is known to be RAM and nobody's: the e820 map that a kexec hands
// over is the firmware's, and does not know what memmap=, mem=, the EFI and TPM
// tables, bad pages, pmem or a balloon took out of it. The next kernel gets a table
// of scratch areas without the pieces, so that it keeps them like all memory that
// is not scratch, and its decompressor places nothing there.
//
// A piece is a multiple of [PieceSize], aligned to it: every kernel treats whole page
// blocks of what the table names as CMA memory, those up to 7.1 rounded outwards,
// and from 7.2 on areas are aligned to blocks of MAX_PAGE_ORDER. How many entries the
// table has is free; entries without size are legal.
//
// A piece is not lost: the table remembers it, and a later crossing gives it back
// to scratch once nothing preserved lies in it any more. No sub-tree survives in a
// kernel, which makes its tree anew, but the table does, with its empty entries.
// Behind the entries of the kernel that made the table are
//
//	{marker, 0}            see [marker]
//	{start, 0} {end, 0}    of each piece, ascending
const (
	markerMagic = 0x5946 << markerShift // above every physical address
	markerShift = 48

	maxPieces = 1024 // that a table remembers
)

// PieceSize is what new pages are cut off scratch by, in bytes.
const PieceSize = 4 << 20

// marker returns the address of the empty entry before the remembered
// pieces: a constant no address has in its upper 16 bits, and below it a sum of
// them (FNV-1a over their addresses as bytes, little endian, folded to 48 bits). A
// flipped bit must not make scratch of memory that never was.
func marker(pieces phys.Ranges) phys.Addr {
	sum := uint64(0xcbf29ce484222325)
	for _, p := range pieces {
		for _, a := range [...]phys.Addr{p.Start, p.End} {
			for shift := 0; shift < 64; shift += 8 {
				sum = (sum ^ uint64(a)>>shift&0xff) * 0x100000001b3
			}
		}
	}
	return phys.Addr(markerMagic | (sum^sum>>markerShift)&(1<<markerShift-1))
}

// splitTable returns the entries of a table that are the kernel's, and the pieces
// that are remembered behind them. Without a marker, or with one whose sum does not
// match, all entries are the kernel's.
func splitTable(table []ScratchArea) (own []ScratchArea, pieces phys.Ranges) {
	for n := len(table) - 1; n >= minScratchEntries && table[n].Size == 0; n-- {
		if table[n].Addr&^(1<<markerShift-1) != markerMagic {
			continue
		}
		pairs := table[n+1:]
		if len(pairs)%2 != 0 || len(pairs)/2 > maxPieces {
			return table, nil
		}
		for ; len(pairs) > 0; pairs = pairs[2:] {
			pieces = append(pieces, phys.Range{Start: pairs[0].Addr, End: pairs[1].Addr})
		}
		if table[n].Addr != marker(pieces) {
			return table, nil
		}
		return table[:n:n], pieces
	}
	return table, nil
}

// checkPieces proves remembered pieces as far as it can be: whole, aligned,
// ascending and apart from each other, in RAM, apart from the areas, and touching
// one of them, if only through other pieces. What is left is somebody else's memory
// that could never have been cut off scratch.
func checkPieces(ram, scratch, pieces phys.Ranges) error {
	all := scratch.Add(pieces...)
	for i, p := range pieces {
		bad := func(found, want string) error {
			return &phys.Error{Object: fmt.Sprintf("remembered piece %d", i), Addr: p.Start, Found: found, Want: want, Err: ErrScratch}
		}
		switch {
		case p.Empty() || !p.Start.Aligned(PieceSize) || !p.End.Aligned(PieceSize):
			return bad(fmt.Sprintf("%v", p), "multiples of 4 MiB")
		case i > 0 && p.Start <= pieces[i-1].End:
			return bad(fmt.Sprintf("%v after %v", p, pieces[i-1]), "ascending pieces with memory between them")
		case !ram.Contains(p) || p.Start < phys.LowMemory:
			return bad(fmt.Sprintf("%v", p), "RAM above the first MiB")
		}
		if s, hit := scratch.Overlaps(p); hit {
			return bad(fmt.Sprintf("%v in scratch area %v", p, s), "memory outside scratch")
		}
		if _, touches := scratch.Overlaps(all[all.Index(p.Start)]); !touches {
			return bad(fmt.Sprintf("%v, which touches no scratch area", p), "memory beside one")
		}
	}
	return nil
}

// pool cuts pieces off the scratch of an incoming handover.
type pool struct {
	h        *Handover
	occupied phys.Ranges  // what must not be cut off
	free     []phys.Range // runs of whole pieces that may be, in the order in which they are
	cut      phys.Ranges  // the pieces so far
	back     phys.Ranges  // what goes back to scratch of the pieces of earlier crossings
	kept     phys.Ranges  // what stays remembered of them
}

// pool returns the pool of the next handover. What lies in occupied, and the
// incoming scratch table, is not cut off.
func (h *Handover) pool(occupied phys.Ranges) *pool {
	table, _ := phys.Span(h.data.Scratch, h.data.ScratchSize)
	p := &pool{h: h, occupied: occupied.Add(table)}
	p.giveBack()
	var areas []phys.Range
	for _, e := range p.own() {
		r, _ := phys.Span(e.Addr, e.Size)
		areas = append(areas, r)
	}
	p.offerAll(areas)
	return p
}

// offerAll adds what may be cut off areas, of the one with the most free memory
// first, in the order of the table if they have as much.
func (p *pool) offerAll(areas []phys.Range) {
	type area struct {
		size uint64
		free phys.Ranges
	}
	var all []area
	for _, a := range areas {
		if !a.Empty() {
			all = append(all, area{a.Size(), phys.NewRanges(a).Sub(p.occupied...).Sub(phys.Range{End: phys.LowMemory})})
		}
	}
	slices.SortStableFunc(all, func(a, b area) int { return cmp.Compare(b.free.Size(), a.free.Size()) })
	for _, a := range all {
		p.offer(a.free, a.size)
	}
}

// offer adds what may be cut off an area of size bytes, free of which nobody has,
// the lowest first: the rest then mostly stays in one. The area keeps the size of a
// piece at least, so that what was cut off it still touches scratch.
func (p *pool) offer(free phys.Ranges, size uint64) {
	for _, f := range free {
		start, ok := phys.AlignUp(f.Start, PieceSize)
		run := phys.Range{Start: start, End: phys.AlignDown(f.End, PieceSize)}
		if !ok || run.Empty() || size < 2*PieceSize {
			continue
		}
		run.End = min(run.End, run.Start+phys.AlignDown(phys.Addr(size-PieceSize), PieceSize))
		p.free, size = append(p.free, run), size-run.Size()
	}
}

// next cuts off one more piece.
func (p *pool) next() (phys.Range, error) {
	if len(p.free) > 0 && p.free[0].Empty() {
		p.free = p.free[1:]
	}
	if len(p.free) > 0 && len(p.kept)+len(p.cut) < maxPieces {
		piece := phys.Range{Start: p.free[0].Start, End: p.free[0].Start + PieceSize}
		p.free[0].Start, p.cut = piece.End, extend(p.cut, piece)
		return piece, nil
	}
	return phys.Range{}, &phys.Error{Object: "pool of new pages", Addr: p.h.data.Scratch,
		Found: fmt.Sprintf("%d MiB of scratch taken, and no piece of %d MiB left that is free and aligned", p.cut.Size()>>20, PieceSize>>20),
		Want:  "room in scratch for new pages, beside the stage, its payload, and the kernels",
		Hint:  "give the first kernel a larger kho_scratch=", Err: ErrNoMemory}
}

// giveBack finds what goes back to scratch: runs of blocks in which nothing is
// preserved and no node of the map lies, if they touch an area.
func (p *pool) giveBack() {
	var free phys.Ranges
	for _, r := range p.h.remembered {
		for a := r.Start; a < r.End; a += PieceSize {
			if b := (phys.Range{Start: a, End: a + PieceSize}); !p.used(b) {
				free = append(free, b)
			}
		}
	}
	for _, run := range phys.NewRanges(free...) {
		if _, ok := join(p.own(), run); ok {
			p.back = append(p.back, run)
		}
	}
	p.kept = p.h.remembered.Sub(p.back...)
}

// used reports whether the incoming handover has anything in r.
func (p *pool) used(r phys.Range) bool {
	if _, hit := p.h.preserved.Overlaps(r); hit || p.h.preserved.hasNode(r) {
		return true
	}
	if r.Overlaps(phys.Block{Addr: p.h.data.FDT}.Range()) { // preserved, except for the oldest kernels
		return true
	}
	_, hit := p.occupied.Overlaps(r)
	return hit
}

// own returns a copy of the kernel's entries of the incoming table.
func (p *pool) own() []ScratchArea {
	own, _ := splitTable(p.h.table)
	return slices.Clone(own)
}

// join adds r to the area of table that it touches, and makes one of two areas that
// it closes the gap between; ok is false if it touches none, or if low memory would
// reach above 4 GiB. It changes table.
func join(table []ScratchArea, r phys.Range) (joined []ScratchArea, ok bool) {
	touched := []int{}
	all := phys.NewRanges(r)
	for i, a := range table {
		if area, _ := phys.Span(a.Addr, a.Size); !area.Empty() && (area.End == r.Start || area.Start == r.End) {
			touched, all = append(touched, i), all.Add(area)
		}
	}
	if len(touched) == 0 || touched[0] == 0 && all[0].End > lowMemoryEnd {
		return table, false
	}
	table[touched[0]] = ScratchArea{all[0].Start, all[0].Size()}
	for _, i := range slices.Backward(touched[1:]) {
		if table[i].Size = 0; i >= minScratchEntries {
			table = slices.Delete(table, i, i+1)
		}
	}
	return table, true
}

// table returns the scratch table of the next handover.
func (p *pool) table() []ScratchArea {
	table := p.own()
	for _, r := range p.back {
		table, _ = join(table, r)
	}
	for i := range len(table) {
		area, _ := phys.Span(table[i].Addr, table[i].Size)
		for n, part := range phys.NewRanges(area).Sub(p.cut...) {
			entry := ScratchArea{part.Start, part.Size()}
			if n == 0 {
				table[i] = entry
			} else {
				table = append(table, entry)
			}
		}
	}
	return append(table, remember(p.kept.Add(p.cut...))...)
}

// remember returns the empty entries that remember pieces.
func remember(pieces phys.Ranges) []ScratchArea {
	if len(pieces) == 0 {
		return nil
	}
	entries := []ScratchArea{{Addr: marker(pieces)}}
	for _, r := range pieces {
		entries = append(entries, ScratchArea{Addr: r.Start}, ScratchArea{Addr: r.End})
	}
	return entries
}

// writeTable writes the scratch table of the next handover into a page of the pool.
// It is neither preserved nor a node: the next kernel reserves it by its address.
func (d *Draft) writeTable() error {
	const slack = 8 // entries; taking memory for the table may cut off one more piece
	o := phys.Order(0)
	for size := uint64(len(d.pool.table())+slack) * scratchEntry; o.Bytes() < size; {
		o++
	}
	a, _, err := d.take(o)
	if err != nil {
		return phys.In("scratch table", d.data.Scratch, err)
	}
	table := d.pool.table()
	d.data.Scratch, d.data.ScratchSize = a, uint64(len(table))*scratchEntry
	return writeScratch(d.mem, a, table)
}

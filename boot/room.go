package boot

import (
	"cmp"
	"fmt"
	"slices"

	"ferry/phys"
)

// room is the memory in which the next kernel and its data may be placed.
type room struct {
	kind    string        // for errors: "scratch" or "RAM"
	allowed phys.Ranges   // all of it, free or not
	areas   []phys.Ranges // what is free, in order of preference
	floor   phys.Addr     // nothing is placed below
	limit   phys.Addr     // nothing is placed at or above
}

// room returns scratch, or RAM where there is none, less all that must stay.
func (p *Params) room(n Next, k *Kernel) *room {
	r := &room{kind: "RAM", floor: phys.LowMemory, limit: k.Limit()}
	taken := append(phys.Ranges{}, n.Occupied...)
	taken = append(taken, p.InPlace()...)
	for _, d := range p.SetupData {
		taken = append(taken, d.Range())
	}
	page, _ := phys.Span(p.ZeroPage, phys.PageSize)
	taken = append(taken, page, pages(p.CmdlineAt), pages(n.Kernel.Range()), pages(n.Opened.Range()), pages(n.Initrd.Range()))

	ram := p.E820.RAM()
	free := ram.Sub(taken...)
	if len(n.Scratch) == 0 {
		r.allowed = ram
		r.areas = []phys.Ranges{free}
		return r
	}
	r.kind = "scratch"
	var allowed []phys.Range
	for _, s := range apart(n.Scratch) {
		allowed = append(allowed, intersect(ram, s)...)
		r.areas = append(r.areas, intersect(free, s))
	}
	r.allowed = phys.NewRanges(allowed...)
	return r
}

// apart returns the areas of a scratch table in their order, or, where those of
// a damaged table overlap, the memory they cover in ascending order. Areas of
// size 0 may stand at an address of another and are left out.
func apart(table []phys.Range) []phys.Range {
	areas := slices.DeleteFunc(slices.Clone(table), phys.Range.Empty)
	sorted := slices.Clone(areas)
	slices.SortFunc(sorted, func(a, b phys.Range) int { return cmp.Compare(a.Start, b.Start) })
	for i := 1; i < len(sorted); i++ {
		if sorted[i].Overlaps(sorted[i-1]) {
			return phys.NewRanges(areas...)
		}
	}
	return areas
}

// below returns the part of the room that lies below limit. What is taken from
// it is taken from the room.
func (r *room) below(limit phys.Addr) *room {
	b := *r
	b.limit = min(r.limit, limit)
	return &b
}

// allows reports whether memory that is in use already may be handed on as it
// lies.
func (r *room) allows(in phys.Range) bool {
	in = pages(in)
	return r.allowed.Contains(in) && in.Start >= r.floor && in.End <= r.limit
}

// take reserves size bytes at a multiple of align, a power of two, and at or
// above low: as high as possible in the first area that fits, as kexec does.
// With fixed set, low is the only choice.
func (r *room) take(what string, size, align uint64, low phys.Addr, fixed bool) (phys.Range, error) {
	low = max(low, r.floor)
	for i, area := range r.areas {
		at, ok := highest(area, size, align, low, r.limit)
		if fixed {
			at, ok = phys.Span(low, size)
			ok = ok && at.End <= r.limit && area.Contains(at)
		}
		if ok {
			r.areas[i] = area.Sub(at)
			return at, nil
		}
	}
	want := fmt.Sprintf("%d KiB of free %s at or above %v, aligned to %d KiB", size>>10, r.kind, low, align>>10)
	if fixed {
		want = fmt.Sprintf("%d KiB of free %s at exactly %v", size>>10, r.kind, low)
	}
	if r.limit < maxPhys {
		want += fmt.Sprintf(", below %v", r.limit)
	}
	return phys.Range{}, &phys.Error{Object: what, Addr: low, Err: ErrNoRoom, Found: "no room: " + r.biggest(low),
		Want: want, Hint: "give the first kernel a larger kho_scratch="}
}

// biggest describes the largest free piece at or above low.
func (r *room) biggest(low phys.Addr) string {
	var best phys.Range
	for _, area := range r.areas {
		for _, f := range area {
			f = phys.Range{Start: max(f.Start, low), End: min(f.End, r.limit)}
			if !f.Empty() && f.Size() > best.Size() {
				best = f
			}
		}
	}
	if best.Empty() {
		return "nothing is free"
	}
	return fmt.Sprintf("the largest free piece is %v, %d KiB", best, best.Size()>>10)
}

// highest returns the highest place for size bytes in free.
func highest(free phys.Ranges, size, align uint64, low, limit phys.Addr) (phys.Range, bool) {
	for i := len(free) - 1; i >= 0; i-- {
		start, end := max(free[i].Start, low), min(free[i].End, limit)
		if end <= start || uint64(end-start) < size {
			continue
		}
		if at := phys.AlignDown(end-phys.Addr(size), align); at >= start {
			return phys.Range{Start: at, End: at + phys.Addr(size)}, true
		}
	}
	return phys.Range{}, false
}

// intersect returns the bytes of s that lie in r.
func intersect(s phys.Ranges, r phys.Range) (in phys.Ranges) {
	for i := s.Index(r.Start); i < len(s) && s[i].Start < r.End; i++ {
		in = append(in, phys.Range{Start: max(s[i].Start, r.Start), End: min(s[i].End, r.End)})
	}
	return in
}

// pages rounds r outward to whole pages; an empty range stays empty.
func pages(r phys.Range) phys.Range {
	if r.Empty() {
		return r
	}
	end, ok := phys.AlignUp(r.End, phys.PageSize)
	if !ok {
		end = ^phys.Addr(phys.PageSize - 1)
	}
	return phys.Range{Start: r.Start.Page(), End: end}
}

package boot

import (
	"cmp"
	"fmt"
	"slices"

	"ferry/boot/opened"
	"ferry/phys"
)

// Need is one span of physical memory that starting a kernel takes.
type Need struct {
	What  string    // for people
	Size  uint64    // bytes; whole pages are taken
	Align uint64    // of its address, a power of two
	Low   phys.Addr // lowest address
	Limit phys.Addr // end of the memory that serves; 0: all of it does
	Fixed bool      // Low is the only address

	// Chance is set for a kernel that goes to any of its places, chosen by chance, if
	// there is entropy: the place that [Space.Take] finds is one of them.
	Chance bool
}

// What a kernel needs, by [Need.What].
const (
	NeedKernel = "kernel"
	NeedInitrd = "initrd"
	NeedBlock  = "zero page" // with the command line and the setup_data nodes behind it
)

// Needs returns what the kernel takes when it is started, in the order in which it is
// placed: itself, a copy of an initrd of so many bytes unless it is 0, and the zero page
// with what follows it, so many bytes. An opened kernel is the last: everything else has
// fewer places to go.
func (k *Kernel) Needs(initrd, block uint64) (needs []Need) {
	kernel := Need{What: NeedKernel, Size: k.InitSize, Align: k.Alignment, Low: max(k.PrefAddress, phys.LowMemory),
		Limit: k.Limit(), Fixed: !k.Relocatable}
	if k.opened == nil {
		needs = append(needs, kernel)
	}
	if initrd > 0 {
		needs = append(needs, Need{What: NeedInitrd, Size: initrd, Align: phys.PageSize, Low: phys.LowMemory, Limit: k.InitrdLimit()})
	}
	needs = append(needs, Need{What: NeedBlock, Size: block, Align: phys.PageSize, Low: phys.LowMemory, Limit: k.Limit()})
	if k.opened != nil {
		kernel.Limit, kernel.Chance = min(kernel.Limit, opened.MaxAddr), k.opened.Randomised()
		needs = append(needs, kernel)
	}
	return needs
}

// TakesInitrdAt reports whether the kernel can use an initrd that lies there already.
// Linux gives its pages back later: it must start a page.
func (k *Kernel) TakesInitrdAt(at phys.Range) bool {
	return at.Start.Aligned(phys.PageSize) && at.Start >= phys.LowMemory && pages(at).End <= k.InitrdLimit()
}

// Space is free memory in which things are placed as kexec does: in the first area
// that has room, as high as possible.
type Space struct {
	areas []phys.Ranges // what is free, in order of preference
}

// NewSpace returns what is free of areas, which are in order of preference, when some
// memory is taken already.
func NewSpace(areas []phys.Range, taken ...phys.Range) *Space {
	s := &Space{}
	for _, area := range apart(areas) {
		s.areas = append(s.areas, phys.NewRanges(area).Sub(taken...))
	}
	return s
}

// Take takes what is needed out of the space; ok is false if there is no room.
func (s *Space) Take(n Need) (at phys.Range, ok bool) {
	size := pageUp(n.Size)
	for i, area := range s.areas {
		if n.Fixed {
			at, ok = phys.Span(n.Low, size)
			ok = ok && at.End <= n.limit() && area.Contains(at)
		} else {
			at, ok = highest(area, size, n.Align, n.Low, n.limit())
		}
		if ok {
			s.areas[i] = area.Sub(at)
			return at, true
		}
	}
	return phys.Range{}, false
}

// limit is Limit as an address.
func (n *Need) limit() phys.Addr {
	if n.Limit == 0 {
		return maxPhys
	}
	return n.Limit
}

// pieces returns the free pieces that serve for n, cut to where it may lie.
func (s *Space) pieces(n Need) (free []phys.Range) {
	for _, area := range s.areas {
		for _, f := range area {
			if f = (phys.Range{Start: max(f.Start, n.Low), End: min(f.End, n.limit())}); !f.Empty() {
				free = append(free, f)
			}
		}
	}
	return free
}

// room is the memory in which the next kernel and its data may be placed.
type room struct {
	Space
	kind    string      // for errors: "scratch" or "RAM"
	allowed phys.Ranges // all of it, free or not
}

// room returns scratch, or RAM if there is none, less all that must stay.
func (p *Params) room(n Next) *room {
	r := &room{kind: "RAM"}
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

// apart returns the areas of a scratch table in their order, or, if those of a
// damaged table overlap, the memory they cover in ascending order. Areas of
// size 0 may have the address of another and are left out.
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

// take is [Space.Take] with an error that says what there is.
func (r *room) take(n Need) (phys.Range, error) {
	at, ok := r.Take(n)
	if ok {
		return at, nil
	}
	want := fmt.Sprintf("%d KiB of free %s at or above %v, aligned to %d KiB", pageUp(n.Size)>>10, r.kind, n.Low, n.Align>>10)
	if n.Fixed {
		want = fmt.Sprintf("%d KiB of free %s at exactly %v", pageUp(n.Size)>>10, r.kind, n.Low)
	}
	if n.limit() < maxPhys {
		want += fmt.Sprintf(", below %v", n.Limit)
	}
	return phys.Range{}, &phys.Error{Object: n.What, Addr: n.Low, Err: ErrNoRoom, Found: "no room: " + r.biggest(n),
		Want: want, Hint: "give the first kernel a larger kho_scratch="}
}

// biggest describes the largest free piece that serves for n except for its size.
func (r *room) biggest(n Need) string {
	var best phys.Range
	for _, f := range r.pieces(n) {
		if f.Size() > best.Size() {
			best = f
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

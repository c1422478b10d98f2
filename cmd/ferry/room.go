package main

import (
	"fmt"
	"slices"
	"strings"

	"ferry/boot"
	"ferry/boot/opened"
	"ferry/boot/payload"
	"ferry/kho"
	"ferry/phys"
)

// A need is one span of physical memory that a crossing takes inside scratch.
type need struct {
	name  string
	size  uint64    // bytes, rounded up to pages when placed
	align uint64    // power of two
	min   phys.Addr // lowest address
	limit phys.Addr // end of the memory that serves, 0 for no limit
	fixed bool      // min is the only address

	chance bool // the stage chooses one of all places
}

const mib = 1 << 20

// needs lists what a crossing places in scratch, in the order in which kexec places it, and then what the stage places
// while it runs: for new pages pool bytes, in pieces. The small parts are upper bounds: scratch table, purgatory, zero page with command line and
// setup_data.
func needs(stage, kernel *boot.Kernel, archive, pool uint64) []need {
	small := func(name string, align uint64, low phys.Addr) need {
		return need{name: name, size: 64 << 10, align: align, min: low}
	}
	next := image(nextName, kernel)
	next.limit, next.fixed = kernel.Limit(), !kernel.Relocatable
	block := small("its zero page and command line", phys.PageSize, mib)
	block.limit = kernel.Limit()
	all := []need{
		small("scratch table", 64<<10, 0),
		small("purgatory", phys.PageSize, 0x3000),
		small("zero page and command line", phys.PageSize, 0x3000),
		image("stage", stage),
		{name: payloadName, size: archive, align: phys.PageSize, min: 16 * mib},
	}
	for left := pool; left > 0; left -= min(left, kho.PieceSize) {
		all = append(all, need{name: poolName, size: kho.PieceSize, align: kho.PieceSize, min: mib})
	}
	if o := kernel.Opened(); o != nil {
		next.limit, next.chance = min(kernel.Limit(), opened.MaxAddr), o.Randomised()
		return append(all, block, next)
	}
	return append(all, next, block)
}

const (
	payloadName = "payload"
	nextName    = "next kernel"
	poolName    = "new pages"
)

// image is what kexec, or the stage, reserves for a kernel.
func image(name string, k *boot.Kernel) need {
	return need{name: name, size: k.InitSize, align: k.Alignment, min: max(k.PrefAddress, mib)}
}

// placeAll places the needs. The next kernel uses its initrd where the payload has it; where it cannot, the stage makes
// a copy, which is another need.
func placeAll(areas []phys.Range, needs []need, kernel *boot.Kernel, initrd payload.File) ([]placed, error) {
	at, err := place(areas, needs)
	if err != nil {
		return nil, err
	}
	i := slices.IndexFunc(needs, func(n need) bool { return n.name == payloadName })
	start := at[i].Start + phys.Addr(initrd.Offset)
	end := start + phys.Addr(len(initrd.Data))
	if len(initrd.Data) > 0 && (!start.Aligned(phys.PageSize) || end > kernel.InitrdLimit()) {
		last := len(needs) - 1
		if kernel.Opened() != nil { // which is placed the last, behind its zero page
			last--
		}
		needs = slices.Insert(needs, last, need{name: "copy of its initrd", size: uint64(len(initrd.Data)),
			align: phys.PageSize, min: mib, limit: kernel.InitrdLimit()})
		if at, err = place(areas, needs); err != nil {
			return nil, err
		}
	}
	places := make([]placed, len(needs))
	for i := range needs {
		places[i] = placed{needs[i], at[i]}
	}
	return places, nil
}

// total returns the sum of the sizes.
func total(needs []need) (n uint64) {
	for _, need := range needs {
		n += need.size
	}
	return n
}

// place puts the needs into the areas as kexec does: each in the first area where it fits, as high as it goes. It
// returns the places in the order of the needs.
func place(areas []phys.Range, needs []need) ([]phys.Range, error) {
	taken, ok := fit(areas, needs)
	if ok {
		return taken, nil
	}
	need := needs[len(taken)]
	var have []string
	for _, area := range areas {
		if !area.Empty() {
			have = append(have, fmt.Sprintf("%s at %#x", size(area.Size()), uint64(area.Start)))
		}
	}
	if len(have) == 0 {
		have = []string{"none"}
	}
	p := &problem{
		what: fmt.Sprintf("no room in scratch for the %s of %s%s; a crossing takes %s, the host has %s",
			need.name, size(need.size), need.where(), size(total(needs)), strings.Join(have, ", ")),
		do: "boot with more, " + advice(needs),
	}
	switch {
	case need.fixed:
		p.do = "take a relocatable kernel: scratch cannot be put at an address"
	case need.low():
		p.do = "take a kernel that can be loaded above 4 GiB, or boot with more below, " + advice(needs)
	}
	return nil, p
}

// fit returns the places of the needs up to the first that has none, and whether all have one.
func fit(areas []phys.Range, needs []need) (taken []phys.Range, ok bool) {
	for _, need := range needs {
		at, ok := placeOne(areas, taken, need)
		if !ok {
			return taken, false
		}
		taken = append(taken, at)
	}
	return taken, true
}

// low reports whether only memory below 4 GiB, or below part of it, serves.
func (n need) low() bool { return n.limit != 0 && n.limit <= 1<<32 }

// where says what memory serves, nothing where all of it does.
func (n need) where() string {
	switch {
	case n.fixed:
		return fmt.Sprintf(" at exactly %v", n.min)
	case n.low():
		return fmt.Sprintf(" below %v", n.limit)
	}
	return ""
}

func placeOne(areas, taken []phys.Range, n need) (phys.Range, bool) {
	bytes := (n.size + phys.PageSize - 1) &^ (phys.PageSize - 1)
	for _, area := range areas {
		if n.fixed {
			at, ok := phys.Span(n.min, bytes)
			if ok && area.Contains(at) && (n.limit == 0 || at.End <= n.limit) && !slices.ContainsFunc(taken, at.Overlaps) {
				return at, true
			}
			continue
		}
		// Candidates: as high as area and limit go, or just below something that is taken.
		top := area.End
		if n.limit != 0 {
			top = min(top, n.limit)
		}
		ends := []phys.Addr{top}
		for _, r := range taken {
			ends = append(ends, r.Start)
		}
		slices.Sort(ends)
		for _, end := range slices.Backward(ends) {
			if end > top || end < area.Start || uint64(end-area.Start) < bytes {
				continue
			}
			start := phys.AlignDown(end-phys.Addr(bytes), n.align)
			at, _ := phys.Span(start, bytes)
			if start >= max(area.Start, n.min) && !slices.ContainsFunc(taken, at.Overlaps) {
				return at, true
			}
		}
	}
	return phys.Range{}, false
}

// advice says which kho_scratch= to boot with: a comfortable one, with room for what a crossing takes and as much again as a
// kernel of this size wants while it boots, in steps of 64 MiB; and the least in which the crossing finds its place.
func advice(needs []need) string {
	n := (total(needs) + 64*mib + 64*mib - 1) / (64 * mib) * 64
	comfortable := "for example " + scratchWord(needs, n, 64)
	if least, ok := least(needs); ok {
		return comfortable + ", at least " + scratchWord(needs, least, 32)
	}
	return comfortable
}

// least returns the size in MiB of the smallest area that holds the needs, in steps of 4 MiB as Linux makes areas.
func least(needs []need) (mibs uint64, ok bool) {
	const start, step = 0x10400000, 4 // as odd as an area may lie
	for n := total(needs) / mib / step * step; n < 2*total(needs)/mib+64; n += step {
		area, _ := phys.Span(start, n*mib)
		if _, ok := fit([]phys.Range{area}, needs); ok {
			return n, true
		}
	}
	return 0, false
}

// scratchWord is a kho_scratch= of so many MiB in the area of a node, and few below 4 GiB; or the other way round where a
// need must lie there.
func scratchWord(needs []need, n, few uint64) string {
	if slices.ContainsFunc(needs, need.low) {
		return fmt.Sprintf("kho_scratch=%dM,0,%dM", n, few)
	}
	return fmt.Sprintf("kho_scratch=%dM,0,%dM", few, n)
}

// size prints a number of bytes as a person reads it.
func size(n uint64) string {
	switch {
	case n >= 10*mib || n >= mib && n%mib == 0:
		return fmt.Sprintf("%d MiB", (n+mib/2)/mib)
	case n >= mib:
		return fmt.Sprintf("%.1f MiB", float64(n)/mib)
	}
	return fmt.Sprintf("%d KiB", (n+1023)/1024)
}

package main

import (
	"fmt"
	"slices"
	"strings"

	"ferry/boot"
	"ferry/boot/payload"
	"ferry/kho"
	"ferry/phys"
)

const mib = 1 << 20

// Names of what a crossing places in scratch.
const (
	payloadName = "payload"
	nextName    = "next kernel"
	poolName    = "new pages"
	blockName   = "its zero page and command line"
	copyName    = "copy of its initrd"
)

// smallPart bounds what is not known yet: scratch table, purgatory, zero pages with command line and setup_data.
const smallPart = 64 << 10

// needs lists what a crossing places in scratch, in the order in which kexec places it, and then what the stage places
// while it runs: for new pages pool bytes, in pieces, and the next kernel with a copy of its initrd of so many bytes, if
// there has to be one.
func needs(stage, kernel *boot.Kernel, archive, pool, copied uint64) []boot.Need {
	small := func(what string, align uint64, low phys.Addr) boot.Need {
		return boot.Need{What: what, Size: smallPart, Align: align, Low: low}
	}
	all := []boot.Need{
		small("scratch table", 64<<10, 0),
		small("purgatory", phys.PageSize, 0x3000),
		small("zero page and command line", phys.PageSize, 0x3000),
		{What: "stage", Size: stage.InitSize, Align: stage.Alignment, Low: max(stage.PrefAddress, mib)},
		{What: payloadName, Size: archive, Align: phys.PageSize, Low: 16 * mib},
	}
	for left := pool; left > 0; left -= min(left, kho.PieceSize) {
		all = append(all, boot.Need{What: poolName, Size: kho.PieceSize, Align: kho.PieceSize, Low: mib})
	}
	for _, n := range kernel.Needs(copied, smallPart) {
		n.What = map[string]string{boot.NeedKernel: nextName, boot.NeedInitrd: copyName, boot.NeedBlock: blockName}[n.What]
		all = append(all, n)
	}
	return all
}

// A placed need has a place.
type placed struct {
	boot.Need
	at phys.Range
}

// placeAll places what a crossing needs. The next kernel uses its initrd where it lies in the payload; if it cannot, the
// stage makes a copy.
func placeAll(areas []phys.Range, stage, kernel *boot.Kernel, archive, pool uint64, initrd payload.File) ([]placed, error) {
	all := needs(stage, kernel, archive, pool, 0)
	at, err := place(areas, all)
	if err != nil {
		return nil, err
	}
	lies := at[slices.IndexFunc(all, func(n boot.Need) bool { return n.What == payloadName })]
	lies.Start += phys.Addr(initrd.Offset)
	lies.End = lies.Start + phys.Addr(len(initrd.Data))
	if !lies.Empty() && !kernel.TakesInitrdAt(lies) {
		all = needs(stage, kernel, archive, pool, lies.Size())
		if at, err = place(areas, all); err != nil {
			return nil, err
		}
	}
	places := make([]placed, len(all))
	for i := range all {
		places[i] = placed{all[i], at[i]}
	}
	return places, nil
}

// total returns the sum of the sizes.
func total(needs []boot.Need) (n uint64) {
	for _, need := range needs {
		n += need.Size
	}
	return n
}

// place finds places for the needs, in their order, or says what has none.
func place(areas []phys.Range, needs []boot.Need) ([]phys.Range, error) {
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
			need.What, size(need.Size), serves(need), size(total(needs)), strings.Join(have, ", ")),
		do: "boot with more, " + advice(needs),
	}
	switch {
	case need.Fixed:
		p.do = "take a relocatable kernel: scratch cannot be put at an address"
	case low(need):
		p.do = "take a kernel that can be loaded above 4 GiB, or boot with more below, " + advice(needs)
	}
	return nil, in(classRoom, p)
}

// fit returns the places of the needs up to the first that has none, and whether all have one.
func fit(areas []phys.Range, needs []boot.Need) (taken []phys.Range, ok bool) {
	space := boot.NewSpace(areas)
	for _, need := range needs {
		at, ok := space.Take(need)
		if !ok {
			return taken, false
		}
		taken = append(taken, at)
	}
	return taken, true
}

// low reports whether only memory below 4 GiB, or below part of it, serves.
func low(n boot.Need) bool { return n.Limit != 0 && n.Limit <= 1<<32 }

// serves says what memory serves, nothing if all of it does.
func serves(n boot.Need) string {
	switch {
	case n.Fixed:
		return fmt.Sprintf(" at exactly %v", n.Low)
	case low(n):
		return fmt.Sprintf(" below %v", n.Limit)
	}
	return ""
}

// advice says which kho_scratch= to boot with: a comfortable one, with room for what a crossing takes and as much again as a
// kernel of this size wants while it boots, in steps of 64 MiB; and the least in which the crossing finds its place.
func advice(needs []boot.Need) string {
	n := (total(needs) + 64*mib + 64*mib - 1) / (64 * mib) * 64
	comfortable := "for example " + scratchWord(needs, n, 64)
	if mibs, ok := least(needs); ok {
		return comfortable + ", at least " + scratchWord(needs, mibs, 32)
	}
	return comfortable
}

// least returns the size in MiB of the smallest area that holds the needs, in steps of 4 MiB as Linux makes areas.
func least(needs []boot.Need) (mibs uint64, ok bool) {
	const start, step = 0x10400000, 4 // as odd as an area may lie
	for n := total(needs) / mib / step * step; n < 2*total(needs)/mib+64; n += step {
		area, _ := phys.Span(start, n*mib)
		if _, ok := fit([]phys.Range{area}, needs); ok {
			return n, true
		}
	}
	return 0, false
}

// scratchWord is a kho_scratch= of so many MiB in the area of a node, and few below 4 GiB; or the other way round if a
// need must lie there.
func scratchWord(needs []boot.Need, n, few uint64) string {
	if slices.ContainsFunc(needs, low) {
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

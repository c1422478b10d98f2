package kho

import (
	"encoding/binary"

	"ferry/fdt"
	"ferry/own"
	"ferry/phys"
)

// ScratchHint returns the areas of the scratch table that d names as far as they
// are RAM, unproved and in their order, and the memory of the table. It is for
// handing on a handover that [Open] refuses, or has not read yet: what its
// producer called scratch is the only memory of which somebody said that nothing
// preserved lies there. Both are empty if the table itself is not RAM.
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

// Spared returns what is left of the areas of [ScratchHint] without all that the
// map of the handover preserves, as far as it can be read: nothing proves that the
// table still says what the producer did.
//
// claim is the format of the producer if somebody says it. If two formats have one
// version string and nobody does, the one whose map preserves least of
// scratch is taken for that of the producer: the other is noise.
func Spared(mem phys.Memory, d Data, claim *Format, areas []phys.Range) []phys.Range {
	return keptFree(areas, mapHints(mem, d, claim))
}

// keptFree returns the areas without what the map preserves that preserves least of
// them; all of them if there is no map.
func keptFree(areas []phys.Range, maps []*Map) []phys.Range {
	free, most := areas, uint64(0)
	for i, m := range maps {
		var left phys.Ranges
		for _, r := range areas {
			left = append(left, without(r, m)...)
		}
		size := uint64(0)
		for _, r := range left {
			size += r.Size()
		}
		if i == 0 || size > most {
			free, most = left, size
		}
	}
	return free
}

// mapHints returns the map of the handover that d names in every format that it
// may have, each as far as it can be read; only in the one that is claimed if it
// can be read in that.
func mapHints(mem phys.Memory, d Data, claim *Format) (maps []*Map) {
	rules := own.NewRules(mem.RAM(), nil)
	page, err := rules.View(mem, "page", d.FDT)
	if err != nil {
		return nil
	}
	tree, err := fdt.Parse(d.FDT, page)
	if err != nil {
		return nil
	}
	fit, err := recognise(tree.Root(), formatsAnd(claim))
	if err != nil {
		return nil
	}
	root, err := tree.Root().Uint64(fit[0].mapProperty)
	if err != nil {
		return nil
	}
	if _, ok := tree.Root().Child(luoName); ok {
		fit = fit[:1] // only the newest kernels know it
	}
	for _, f := range fit {
		m := &Map{mem: mem, rules: rules, root: phys.Addr(root)}
		if f.index.read(m) != nil {
			continue
		}
		if f == claim {
			return []*Map{m}
		}
		maps = append(maps, m)
	}
	return maps
}

// maxInside is how many blocks are looked at in an area of scratch, which should
// hold none.
const maxInside = 1024

// without returns what is left of r, an area of scratch, without the blocks and
// nodes of m; nothing if these are many, which then is no scratch.
func without(r phys.Range, m *Map) phys.Ranges {
	var inside []phys.Range
	for rest := m.present; rest != 0; {
		o := nextOrder(&rest)
		end := number(r.End-1, o) + 1
		for n, hit := m.next(o, number(r.Start, o), end); hit; n, hit = m.next(o, n+1, end) {
			if inside = append(inside, block(n, o).Range()); len(inside) > maxInside {
				return nil
			}
		}
	}
	for _, n := range m.nodes {
		if page := (phys.Block{Addr: n.Addr()}).Range(); r.Overlaps(page) {
			inside = append(inside, page)
		}
	}
	return phys.NewRanges(r).Sub(inside...)
}

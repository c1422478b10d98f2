//go:build linux && !metal

package attack

import (
	"bytes"
	"cmp"
	"regexp"
	"slices"
	"strconv"

	"ferry/crossing/crossingtest"
	"ferry/internal/oracle"
	"ferry/phys"
)

var (
	number = regexp.MustCompile(`0x[0-9a-f]+`)

	// leading is the property of the root tree that errors of the whole map begin
	// with. Its address counts where that property was hit alone: those errors say
	// what is wrong in the map behind it.
	leading = regexp.MustCompile(`^kho: property (0x[0-9a-f]+): `)
)

// propertySize is how many bytes around the address of a property are its own: a
// token, a size, the offset of a name, and a value of 8 bytes.
const propertySize = 20

// dataAt is where the node of a handover has the addresses and sizes of the root
// tree and of the scratch table.
const dataAt = 16

// named reports whether an error of a report names what a flip of bit at a hit.
// Only numbers in the lines of errors count, see [Subject.suspects]: those from
// 1 MiB on, and below that the very page that a damaged address now says.
func (s *Subject) named(log []byte, a phys.Addr, bit uint) bool {
	return names(log, "error", a, s.suspects(a, bit))
}

// told is named of the warnings of a report.
func (s *Subject) told(log []byte, a phys.Addr, bit uint) bool {
	return bytes.Contains(log, []byte("ferry: warning: ")) && names(log, "warning", a, s.suspects(a, bit))
}

// names reports whether the errors, or the warnings, of a report on damage at a name
// one of hit.
func names(log []byte, kind string, a phys.Addr, hit []phys.Range) bool {
	var found []phys.Addr
	for _, text := range said(log, kind) {
		if m := leading.FindSubmatch(text); m != nil {
			v, err := strconv.ParseUint(string(m[1][2:]), 16, 64)
			if at := phys.Addr(v); err != nil || a+propertySize < at || at+propertySize <= a {
				text = text[len(m[0]):]
			}
		}
		for _, n := range number.FindAll(text, -1) {
			v, err := strconv.ParseUint(string(n[2:]), 16, 64)
			if err == nil && v >= phys.PageSize {
				found = append(found, phys.Addr(v))
			}
		}
	}
	for _, f := range found {
		if slices.ContainsFunc(hit, func(r phys.Range) bool { return r.Start <= f && f < r.End && (f >= phys.LowMemory || r.Size() == 1) }) {
			return true
		}
	}
	return false
}

// said returns the causes, or the warnings, of a report.
func said(log []byte, kind string) (texts [][]byte) {
	if kind == "error" {
		for _, cause := range crossingtest.Causes(string(log)) {
			texts = append(texts, []byte(cause))
		}
		return texts
	}
	for line := range bytes.Lines(log) {
		if text, ok := bytes.CutPrefix(line, []byte("ferry: "+kind+": ")); ok {
			texts = append(texts, text)
		}
	}
	return texts
}

// suspects returns what a report may name of a flip of bit at a: the block or page
// that the bit is in, the records that refer to that, what the damaged record
// tells of, where the damaged word pointed and points, as an address or as a page
// number, and the blocks that the flip took out of the map or put into it.
func (s *Subject) suspects(a phys.Addr, bit uint) (hit []phys.Range) {
	home := phys.Block{Addr: a.Page()}.Range()
	hit = append(hit, home)
	if b, by, ok := s.Before.Holding(a); ok {
		hit = append(append(hit, b.Range()), s.referrers(b.Range(), by)...)
	}
	page, err := s.View(home.Start, phys.PageSize)
	if err != nil {
		return hit
	}
	old := s.Memory.Pages()[home.Start]
	if old == nil {
		old = make([]byte, phys.PageSize)
	}
	at := int(a - home.Start)
	for _, i := range []int{at &^ 7, at &^ 3, at&^3 - 4} { // properties lie at multiples of 4
		if i < 0 || i+8 > phys.PageSize {
			continue
		}
		for _, v := range []uint64{le.Uint64(page[i:]), le.Uint64(old[i:])} {
			hit = s.target(hit, phys.Addr(v))
			if pfn := v & (1<<52 - 1); pfn < 1<<40 {
				hit = s.target(hit, phys.PFN(pfn).Addr())
			}
		}
	}
	for _, r := range s.Before.Refs {
		switch {
		case a < r.Record.Start || r.Record.End <= a:
		case r.Record.Start != s.Node+dataAt: // else both halves are in one record
			hit = s.target(hit, r.Object)
		case a < s.Node+dataAt+16:
			hit = s.target(hit, s.Data.FDT)
		default:
			hit = s.target(hit, s.Data.Scratch)
		}
	}
	if was, is := phys.Addr(le.Uint64(old[at&^7:])), phys.Addr(le.Uint64(page[at&^7:])); was >= phys.LowMemory && is > 0 && is == is.Page() {
		hit = append(hit, phys.Range{Start: is, End: is + 1}) // may be below 1 MiB
	}
	return append(append(hit, s.moved(a, bit)...), s.shifted(old, page, a)...)
}

// referrers returns the records that say where the structure in home is: those
// that the decoder noted, else the words in the page at by that point to it.
func (s *Subject) referrers(home phys.Range, by phys.Addr) (hit []phys.Range) {
	in := func(a phys.Addr) bool { return home.Start <= a && a < home.End }
	for _, r := range s.Before.Refs {
		if in(r.Object) {
			hit = append(hit, r.Record)
		}
	}
	if len(hit) > 0 {
		return hit
	}
	b := s.Memory.Pages()[by.Page()]
	for i := 0; i+8 <= len(b); i += 4 { // properties lie at multiples of 4
		if v := le.Uint64(b[i:]); in(phys.Addr(v)) || v < 1<<40 && in(phys.PFN(v).Addr()) {
			at := by.Page() + phys.Addr(i)
			hit = append(hit, phys.Range{Start: at, End: at + 8})
		}
	}
	return hit
}

// shifted returns the RAM that damage at a put into scratch or took out of it;
// old and page are what its page of the scratch table was and is.
func (s *Subject) shifted(old, page []byte, a phys.Addr) []phys.Range {
	if a < s.Data.Scratch || a >= s.Data.Scratch+phys.Addr(s.Data.ScratchSize) {
		return nil
	}
	i := (a - s.Data.Scratch) &^ 15
	i += s.Data.Scratch - s.Data.Scratch.Page()
	if i+16 > phys.PageSize {
		return nil
	}
	was, _ := phys.Span(phys.Addr(le.Uint64(old[i:])), le.Uint64(old[i+8:]))
	is, _ := phys.Span(phys.Addr(le.Uint64(page[i:])), le.Uint64(page[i+8:]))
	moved := phys.NewRanges(append(phys.NewRanges(was).Sub(is), phys.NewRanges(is).Sub(was)...)...)
	return moved.Sub(moved.Sub(s.RAM()...)...)
}

// target adds the page or block that a points into.
func (s *Subject) target(hit []phys.Range, a phys.Addr) []phys.Range {
	if a < phys.LowMemory {
		return hit
	}
	if b, _, ok := s.Before.Holding(a); ok {
		hit = append(hit, b.Range())
	}
	return append(hit, phys.Block{Addr: a.Page()}.Range())
}

// moved returns the blocks that a flip of bit at a took out of the map or put
// into it.
func (s *Subject) moved(a phys.Addr, bit uint) (hit []phys.Range) {
	size := cmp.Or(s.From.Bitmap, phys.PageSize)
	leaf := a - a%phys.Addr(size)
	if b, ok := s.Before.Leaves[leaf]; ok {
		n := uint64(a-leaf)*8 + uint64(bit)
		b.Addr += phys.Addr(n << (12 + b.Order))
		return []phys.Range{b.Range()}
	}
	if !slices.Contains(s.Before.Nodes, a.Page()) {
		return nil
	}
	now, err := oracle.DecodeMap(s.Memory, oracle.Handover(s.Data), s.From)
	if err != nil {
		return nil
	}
	there := make(map[phys.Block]int)
	for _, b := range s.Before.Blocks {
		there[b]++
	}
	for _, b := range now.Blocks {
		there[b]--
	}
	for b, n := range there {
		if n != 0 {
			hit = append(hit, b.Range())
		}
	}
	return hit
}

package boot

import (
	"fmt"

	"ferry/phys"
)

// Types of e820 ranges that matter here.
const (
	E820RAM      = 1
	E820Reserved = 2
	E820ACPI     = 3
	E820NVS      = 4
)

// maxE820 is the length of a map at most: as many entries as the board keeps, so
// that both have the same view of memory. kexec passes 128.
const maxE820 = 1024

// Entry is one range of the firmware's memory map.
type Entry struct {
	Range phys.Range
	Type  uint32
}

// E820 is the firmware's memory map in the order it was given, at most 1024
// entries, which may overlap. It never calls RAM what the firmware gave another
// type: an entry of another type that passes the end of physical addresses is
// kept as reserved up to there, and entry 1024 is reserved from the first to the
// last byte of all for which there was no room. RAM of such an entry is lost.
type E820 []Entry

// RAM returns the bytes that some entry calls usable and no other entry calls
// something else, as Linux resolves overlaps.
func (m E820) RAM() phys.Ranges {
	var ram, other []phys.Range
	for _, e := range m {
		if e.Type == E820RAM {
			ram = append(ram, e.Range)
		} else {
			other = append(other, e.Range)
		}
	}
	return phys.NewRanges(ram...).Sub(other...)
}

// parse appends the entries in b, leaving out empty ones. It returns an error
// where there are more than can be kept one by one.
func (m E820) parse(b []byte) (E820, error) {
	over := 0
	for ; len(b) >= e820Size; b = b[e820Size:] {
		r, ok := phys.Span(phys.Addr(u64(b, 0)), u64(b, 8))
		e := Entry{r, u32(b, 16)}
		if !ok || r.End > maxPhys {
			if e.Type == E820RAM || r.Start >= maxPhys {
				continue
			}
			e = Entry{phys.Range{Start: r.Start, End: maxPhys}, E820Reserved}
		}
		switch {
		case e.Range.Empty():
		case len(m) < maxE820-1:
			m = append(m, e)
		case e.Type == E820RAM:
			over++
		case len(m) < maxE820:
			m = append(m, Entry{e.Range, E820Reserved})
			over++
		default:
			all := &m[maxE820-1].Range
			*all = phys.Range{Start: min(all.Start, e.Range.Start), End: max(all.End, e.Range.End)}
			over++
		}
	}
	if over > 0 {
		return m, fmt.Errorf("%d entries more than the %d for which there is room", over, maxE820-1)
	}
	return m, nil
}

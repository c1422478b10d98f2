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

// maxE820 bounds the map as Linux does: 128 and three for each of 1024 nodes.
const maxE820 = e820Max + 3*1024

// Entry is one range of the firmware's memory map.
type Entry struct {
	Range phys.Range
	Type  uint32
}

// E820 is the firmware's memory map in the order it was given. Entries may
// overlap.
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

// parse appends the entries in b, leaving out empty ones and those that pass
// the end of the address space.
func (m E820) parse(b []byte) (E820, error) {
	for ; len(b) >= e820Size; b = b[e820Size:] {
		if len(m) == maxE820 {
			return m, fmt.Errorf("more than %d entries", maxE820)
		}
		r, ok := phys.Span(phys.Addr(u64(b, 0)), u64(b, 8))
		if ok && !r.Empty() {
			m = append(m, Entry{r, u32(b, 16)})
		}
	}
	return m, nil
}

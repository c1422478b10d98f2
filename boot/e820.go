package boot

import (
	"fmt"

	"ferry/boot/protocol"
	"ferry/phys"
)

// Types of e820 ranges that matter here.
const (
	E820RAM      = protocol.E820RAM
	E820Reserved = protocol.E820Reserved
	E820ACPI     = protocol.E820ACPI
	E820NVS      = protocol.E820NVS
)

// Entry is one range of the firmware's memory map.
type Entry struct {
	Range phys.Range
	Type  uint32
}

// E820 is the firmware's memory map in the order in which it was given, at most 1024
// entries, which may overlap: what [protocol.Map] keeps, so that the board has the
// same view of memory.
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

// take adds the entries in b to a map. It returns an error if there are more than can
// be kept one by one.
func take(m *protocol.Map, b []byte) error {
	over := 0
	for ; len(b) >= protocol.E820Size; b = b[protocol.E820Size:] {
		if !m.Add(u64(b, 0), u64(b, protocol.OffE820Bytes), uint64(u32(b, protocol.OffE820Type))) {
			over++
		}
	}
	if over > 0 {
		return fmt.Errorf("%d entries more than the %d for which there is room", over, protocol.MaxRegions-1)
	}
	return nil
}

// entries returns what a map holds.
func entries(m *protocol.Map) (es E820) {
	for i := range m.Count {
		r := m.At(i)
		at := phys.Range{Start: phys.Addr(r.Addr), End: phys.Addr(r.Addr + r.Size)}
		es = append(es, Entry{at, uint32(r.Type)})
	}
	return es
}

package protocol

// Types of e820 entries.
const (
	E820RAM      = 1
	E820Reserved = 2
	E820ACPI     = 3
	E820NVS      = 4
)

// An entry in memory: address u64, size u64, type u32.
const (
	E820Size     = 20
	OffE820Bytes = 8
	OffE820Type  = 16
	E820Max      = 128     // entries in the zero page; SETUP_E820_EXT nodes have the rest
	MaxPhys      = 1 << 52 // architectural limit of physical addresses
)

// MaxRegions is how many regions a [Map] holds.
const MaxRegions = 1024

// Region is one entry of the firmware's memory map.
type Region struct {
	Addr, Size uint64 // bytes
	Type       uint64
}

// Map is the firmware's memory map in the order in which it was given; regions may
// overlap. It never calls RAM what the firmware gave another type. The zero value is
// empty.
type Map struct {
	Regions [MaxRegions]Region
	Count   uint64 // of them in use
}

// Add takes over one entry, and reports whether it could be kept by itself.
//
// An entry of no bytes is left out. So is RAM that passes the end of physical
// addresses; an entry of another type is kept as reserved up to there. The last region
// is reserved from the first to the last byte of all for which there was no room; RAM
// of such an entry is lost.
func (m *Map) Add(addr, size, kind uint64) bool {
	end := addr + size
	if end < addr || end > MaxPhys {
		if kind == E820RAM || addr >= MaxPhys {
			return true
		}
		end, kind = MaxPhys, E820Reserved
	}
	if end == addr {
		return true
	}
	if m.Count < MaxRegions-1 {
		m.Regions[m.Count&(MaxRegions-1)] = Region{addr, end - addr, kind}
		m.Count++
		return true
	}
	if kind == E820RAM {
		return false
	}
	rest := &m.Regions[MaxRegions-1]
	if m.Count == MaxRegions {
		addr, end = min(addr, rest.Addr), max(end, rest.Addr+rest.Size)
	}
	*rest = Region{addr, end - addr, E820Reserved}
	m.Count = MaxRegions
	return false
}

// At returns region i, which must be below Count.
func (m *Map) At(i uint64) *Region { return &m.Regions[i&(MaxRegions-1)] }

// Mapped reports whether the region is memory that a kernel reads in place: RAM, or
// what ACPI keeps in it.
func (r *Region) Mapped() bool {
	return r.Type == E820RAM || r.Type == E820ACPI || r.Type == E820NVS
}

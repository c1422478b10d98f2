package kernel

import "ferry/boot/protocol"

// copyMap takes over the entries of a zero page.
func copyMap(m *protocol.Map, zeroPage uint64) {
	n := uint64(*byteAt(zeroPage + protocol.OffE820Entries))
	if n > protocol.E820Max {
		n = protocol.E820Max
	}
	for i := uint64(0); i < n; i++ {
		addEntry(m, zeroPage+protocol.OffE820+i*protocol.E820Size)
	}
}

// addEntry takes over the entry at address a.
func addEntry(m *protocol.Map, a uint64) {
	m.Add(*word(a), *word(a + protocol.OffE820Bytes), uint64(*half(a + protocol.OffE820Type)))
}

// RegionCount returns the number of entries of the memory map.
func RegionCount() uint64 { return mach.e820.Count }

// RegionAt returns entry i of the memory map.
func RegionAt(i uint64) protocol.Region { return *mach.e820.At(i) }

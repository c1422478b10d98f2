package kernel

import (
	"ferry/boot/cmdline"
	"ferry/boot/protocol"
)

// readAddedRAM takes over the RAM that the command line names beside the map, as
// package boot does: memmap=size@start, which names memory to Linux that the
// firmware does not call RAM, and ferry.ram=, by which ferry load names what the
// kernel before has and kexec does not pass on.
func (m *machine) readAddedRAM() {
	first := m.e820.Count
	words := cmdline.RAM{Line: m.cmdline.text()}
	for {
		start, size, ok := words.Next()
		if !ok {
			break
		}
		if start <= protocol.MaxPhys && size <= protocol.MaxPhys-start {
			m.e820.Add(start, size, protocol.E820RAM)
		}
	}
	m.mapRAM(first)
}

package amd64

import (
	"ferry/board/amd64/internal/kernel"
	"ferry/boot/protocol"
	"ferry/phys"
)

// PageSize is the size of a page in bytes.
const PageSize = kernel.PageSize

// Info is how the image was started.
type Info struct {
	ZeroPage phys.Addr  // struct boot_params, as the loader passed it
	Stage    phys.Range // the stage's own memory: [load address, load address + init_size)
	Cmdline  string     // kernel command line, all of it
}

// Boot returns how the image was started.
func Boot() Info {
	load, size := kernel.Stage()
	return Info{
		ZeroPage: phys.Addr(kernel.ZeroPage()),
		Stage:    phys.Range{Start: phys.Addr(load), End: phys.Addr(load + size)},
		Cmdline:  kernel.Cmdline(),
	}
}

// Types of e820 entries, Documentation/arch/x86/zero-page.rst.
const (
	E820RAM      = protocol.E820RAM
	E820Reserved = protocol.E820Reserved
	E820ACPI     = protocol.E820ACPI
	E820NVS      = protocol.E820NVS
)

// Region is one entry of the firmware's memory map.
type Region struct {
	phys.Range
	Type uint32 // an E820 constant, or what else the firmware said
}

// E820 returns the memory map as the loader passed it, with the entries of
// SETUP_E820_EXT.
func E820() []Region {
	rs := make([]Region, kernel.RegionCount())
	for i := range rs {
		r := kernel.RegionAt(uint64(i))
		rs[i] = Region{phys.Range{Start: phys.Addr(r.Addr), End: phys.Addr(r.Addr + r.Size)}, uint32(r.Type)}
	}
	return rs
}

// RAM returns what the e820 map calls usable and nothing else claims, as far as
// the direct map reaches.
func RAM() phys.Ranges {
	var ram []phys.Range
	other := []phys.Range{{Start: kernel.DirectEnd, End: ^phys.Addr(0)}}
	for _, r := range E820() {
		if r.Type == E820RAM {
			ram = append(ram, r.Range)
		} else {
			other = append(other, r.Range)
		}
	}
	return phys.NewRanges(ram...).Sub(other...)
}

// Use says how much of the stage's memory is used, in bytes.
type Use struct {
	Now, Peak, Total uint64 // Total is init_size
}

// MemoryUse returns the use of the stage's memory: image, page tables, stacks
// and heap.
func MemoryUse() Use {
	now, peak := kernel.MemoryUse()
	_, total := kernel.Stage()
	return Use{Now: now, Peak: peak, Total: total}
}

package amd64

import (
	"unsafe"

	"ferry/phys"
)

// DirectMap is the virtual address at which physical address 0 would stand: all
// RAM is mapped there linearly, readable, not executable, and writable only where
// [Physical.Edit] has said so.
const DirectMap = 0xffff_8000_0000_0000

// ImageBase returns the virtual address of the image's header page.
func ImageBase() uint64 { return mach.base }

// Info is how the image was started.
type Info struct {
	ZeroPage phys.Addr  // struct boot_params, as the loader passed it
	Stage    phys.Range // the stage's own memory: [load address, load address + init_size)
	Cmdline  string     // kernel command line, all of it
}

// Boot returns how the image was started.
func Boot() Info {
	return Info{
		ZeroPage: phys.Addr(mach.zeroPage),
		Stage:    phys.Range{Start: phys.Addr(mach.load), End: phys.Addr(mach.load + mach.initSize)},
		Cmdline:  string(mach.cmdline[:mach.cmdlineLen]),
	}
}

// Types of e820 entries, Documentation/arch/x86/zero-page.rst.
const (
	E820RAM      = 1
	E820Reserved = 2
	E820ACPI     = 3
	E820NVS      = 4
)

// Region is one entry of the firmware's memory map.
type Region struct {
	phys.Range
	Type uint32 // an E820 constant, or what else the firmware said
}

// E820 returns the memory map as the loader passed it, with the entries of
// SETUP_E820_EXT.
func E820() []Region {
	rs := make([]Region, mach.regions)
	for i := range rs {
		e := &mach.e820[i]
		rs[i] = Region{phys.Range{Start: phys.Addr(e.addr), End: phys.Addr(e.addr + e.size)}, uint32(e.kind)}
	}
	return rs
}

// RAM returns what the e820 map calls usable and nothing else claims, as far as
// the direct map reaches.
func RAM() phys.Ranges {
	var ram []phys.Range
	other := []phys.Range{{Start: directEnd, End: ^phys.Addr(0)}}
	for _, r := range E820() {
		if r.Type == E820RAM {
			ram = append(ram, r.Range)
		} else {
			other = append(other, r.Range)
		}
	}
	return phys.NewRanges(ram...).Sub(other...)
}

// Use says how much of the stage's memory was used.
type Use struct {
	Now, Peak, Total uint64 // bytes; Total is init_size
}

// MemoryUse returns the use of the stage's memory: image, page tables, stacks
// and heap.
func MemoryUse() Use {
	fixed := mach.fileSize + windowUse()
	return Use{
		Now:   fixed + mach.framesUsed*PageSize,
		Peak:  fixed + mach.framesPeak*PageSize,
		Total: mach.initSize,
	}
}

// Console is the serial port as an io.Writer; a line feed is sent as carriage
// return and line feed. Writes are not buffered.
type Console struct{}

// Write implements [io.Writer]. It never fails.
func (Console) Write(p []byte) (int, error) {
	if len(p) > 0 {
		WriteConsole(uintptr(unsafe.Pointer(unsafe.SliceData(p))), uintptr(len(p)))
	}
	return len(p), nil
}

// Random fills b with random bytes: from the loader's RNG seed, RDSEED and RDRAND
// where the processor has them, and the jitter of the time stamp counter, all of
// which but the first are asked again at each call.
func Random(b []byte) {
	if len(b) > 0 {
		enabled := disableInterrupts()
		mach.reseed()
		if enabled {
			enableInterrupts()
		}
		FillRandom(uintptr(unsafe.Pointer(unsafe.SliceData(b))), uintptr(len(b)))
	}
}

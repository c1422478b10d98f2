package kernel

// DirectMap is the virtual address at which physical address 0 would stand: all
// RAM is mapped there linearly, readable, not executable, and writable only if
// [Unlock] has said so.
const DirectMap = 0xffff_8000_0000_0000

// Types of e820 entries, Documentation/arch/x86/zero-page.rst.
const (
	E820RAM      = 1
	E820Reserved = 2
	E820ACPI     = 3
	E820NVS      = 4
)

// ImageBase returns the virtual address of the image's header page.
func ImageBase() uint64 { return mach.base }

// ZeroPage returns the physical address of struct boot_params.
func ZeroPage() uint64 { return mach.zeroPage }

// Stage returns the stage's own memory: its physical address and its size in bytes.
func Stage() (start, size uint64) { return mach.load, mach.initSize }

// RegionCount returns the number of entries of the memory map.
func RegionCount() uint64 { return mach.regions }

// RegionAt returns entry i of the memory map, with a physical address and a size in
// bytes.
func RegionAt(i uint64) (start, size, kind uint64) {
	e := &mach.e820[i&(maxRegions-1)]
	return e.addr, e.size, e.kind
}

// MemoryUse returns the bytes of the stage's memory that are used, and the most that
// ever were.
func MemoryUse() (now, peak uint64) {
	fixed := mach.fileSize + windowUse()
	return fixed + mach.framesUsed*PageSize, fixed + mach.framesPeak*PageSize
}

// Levels returns the number of levels of page tables, 4 or 5.
func Levels() uint64 { return mach.levels }

// HasFiveLevel reports whether the processor could run with five of them
// (CPUID.7.0:ECX.LA57).
func HasFiveLevel() bool {
	if top, _, _, _ := cpuid(0, 0); top < 7 {
		return false
	}
	_, _, c, _ := cpuid(7, 0)
	return c&(1<<16) != 0
}

package kernel

import "ferry/boot/protocol"

// DirectMap is the virtual address at which physical address 0 would stand: all
// RAM is mapped there linearly, readable, not executable, and writable only if
// [Unlock] has said so.
const DirectMap = 0xffff_8000_0000_0000

// ImageBase returns the virtual address of the image's header page.
func ImageBase() uint64 { return mach.base }

// ZeroPage returns the physical address of struct boot_params.
func ZeroPage() uint64 { return mach.zeroPage }

// Stage returns the stage's own memory: its physical address and its size in bytes.
func Stage() (start, size uint64) { return mach.load, mach.initSize }

// RegionCount returns the number of entries of the memory map.
func RegionCount() uint64 { return mach.e820.Count }

// RegionAt returns entry i of the memory map.
func RegionAt(i uint64) protocol.Region { return *mach.e820.At(i) }

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

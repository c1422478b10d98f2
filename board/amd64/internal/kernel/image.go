package kernel

// DirectMap is the virtual address at which physical address 0 would be: all
// RAM is mapped there linearly, readable, not executable, and writable only if
// [Unlock] has said so.
const DirectMap = 0xffff_8000_0000_0000

// image is what was loaded, and where: physical addresses except for those that are called
// virtual.
type image struct {
	load       uint64 // address of the image
	base       uint64 // virtual address of the image
	zeroPage   uint64 // address of struct boot_params
	continueAt uint64 // virtual address of the code that takes over after the board's set-up
	entryTSC   uint64 // time stamp of the first instructions

	initSize, fileSize uint64
	segments           [maxSegments]Segment
	segmentCount       uint64
}

// ImageBase returns the virtual address of the image's header page.
func ImageBase() uint64 { return mach.image.base }

// ZeroPage returns the physical address of struct boot_params.
func ZeroPage() uint64 { return mach.image.zeroPage }

// Stage returns the stage's own memory: its physical address and its size in bytes.
func Stage() (start, size uint64) { return mach.image.load, mach.image.initSize }

// MemoryUse returns the bytes of the stage's memory that are used, and the most that
// ever were.
func MemoryUse() (now, peak uint64) {
	fixed := mach.image.fileSize + windowUse()
	return fixed + mach.tables.frames.used*PageSize, fixed + mach.tables.frames.peak*PageSize
}

// Levels returns the number of levels of page tables, 4 or 5.
func Levels() uint64 { return mach.tables.levels }

// HasFiveLevel reports whether the processor could run with five of them
// (CPUID.7.0:ECX.LA57).
func HasFiveLevel() bool {
	if top, _, _, _ := cpuid(0, 0); top < 7 {
		return false
	}
	_, _, c, _ := cpuid(7, 0)
	return c&(1<<16) != 0
}

// SegmentCount returns the number of the image's segments.
func SegmentCount() uint64 { return mach.image.segmentCount }

// SegmentAt returns segment i of the image.
func SegmentAt(i uint64) Segment { return mach.image.segments[i&(maxSegments-1)] }

//go:build tamago

package kernel

// Under a TamaGo toolchain the image, its zero-initialised data, the heap and the
// first stack are one window: virtual addresses from the image's base on are the
// stage's memory from the load address on, byte for byte, all of it mapped before
// the runtime starts. The runtime takes from it what it needs and gives nothing
// back. What is left at the end is for page tables.

// Preemptive says whether a goroutine that calls nothing is made to give way.
const Preemptive = false

const (
	// windowEnd bounds the window: heap addresses are below 4 GiB, and the last
	// 20 MiB of those belong to the I/O and local APICs.
	windowEnd = 0xfec0_0000

	// RAMStackOffset is how far below the window's end the first stack starts:
	// the runtime reads some words above.
	RAMStackOffset = 0x100

	// firstStack is the size that the runtime takes the first stack to have.
	firstStack = 64 << 10
)

// tablePages returns how many pages are kept for page tables: a sixteenth of the
// stage's memory for the window and for the pages that [Physical.Edit] splits off,
// and what the direct map and [Jump] take, which follows RAM.
func (m *machine) tablePages() uint64 {
	n, reach := 64+m.initSize/PageSize/16, uint64(30)
	if m.gigabyte != 0 {
		reach = 39
	}
	for i := uint64(0); i < m.e820.Count; i++ {
		if e := m.e820.At(i); e.Mapped() {
			n += 6 + e.Size>>(reach&63)*2
		}
	}
	return n
}

// divide gives the end of the stage's memory to page tables and the rest to the
// window, and clears the image's zero-initialised data.
func (m *machine) divide() bool {
	tables := m.tablePages() * PageSize
	end := uint64(0) // of the image, from its base
	for i := uint64(0); i < m.segmentCount; i++ {
		end = max(end, m.segments[i&(maxSegments-1)].MemEnd-m.base)
	}
	end = (end + PageSize - 1) &^ (PageSize - 1)
	m.frameEnd = m.area()
	if m.base >= windowEnd || m.initSize < end+tables+areaSize+tailSize+firstStack {
		return false
	}
	m.frameNext = min(m.frameEnd-tables, m.load+windowEnd-m.base)
	m.windowTop = m.base + m.frameNext - m.load
	if m.base+end+firstStack > m.windowTop {
		return false
	}
	m.imageEnd = m.base + end
	zero(m.load+m.fileSize, end-m.fileSize)
	return true
}

// mapWindow maps what follows the file's bytes, but for a page below the first
// stack.
func (m *machine) mapWindow() bool {
	va, guard := m.base+m.fileSize, m.guard()
	flags := PTEPresent | PTEWrite | m.noExecute
	return m.span(va, m.physical(va), guard-va, flags, level4K) &&
		m.span(guard+PageSize, m.physical(guard+PageSize), m.windowTop-guard-PageSize, flags, level4K)
}

// guard returns the address of the page that the first stack must not reach, nor
// the heap, which the runtime lets grow up to that stack.
func (m *machine) guard() uint64 {
	return (m.windowTop-RAMStackOffset-firstStack)&^(PageSize-1) - PageSize
}

// programMemory returns the bytes that the program can get: what follows the image
// in the window.
func (m *machine) programMemory() uint64 { return m.windowTop - m.imageEnd }

// windowUse returns the bytes that the program uses beyond the image's file and
// the pages of [Frame].
func windowUse() uint64 {
	m := mach
	heapEnd, stack, stackEnd := m.window()
	return heapEnd - m.load - m.fileSize + stackEnd - stack
}

// window returns where the program's memory ends that follows the image's file, and
// its first stack, as physical addresses. The runtime clears what it takes, from the
// image on upwards, so that the first page that nobody has written to is the end of
// it.
func (m *machine) window() (heapEnd, stack, stackEnd uint64) {
	lo, hi := m.imageEnd, m.guard()
	top := hi + PageSize
	for hi-lo >= PageSize {
		mid := (lo + (hi-lo)/2) &^ (PageSize - 1)
		if m.leaf(mid)&pteDirty != 0 {
			lo = mid + PageSize
		} else {
			hi = mid
		}
	}
	return m.physical(lo), m.physical(top), m.physical(m.windowTop)
}

// Window returns the virtual address of the window and its size in bytes.
func Window() (start, size uint64) { return mach.base, mach.windowTop - mach.base }

// OnGoroutine reports whether a stack pointer is one of a goroutine's stack, and not
// of the runtime's first one.
func OnGoroutine(sp uint64) bool {
	return sp >= mach.base && sp < mach.windowTop-RAMStackOffset-firstStack
}

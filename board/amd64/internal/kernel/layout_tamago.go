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

// window is the Go program's memory, as virtual addresses: what follows the image.
type window struct {
	imageEnd uint64 // end of the image, zero-initialised data included
	top      uint64 // end of the window
}

// tablePages returns how many pages are kept for page tables: a sixteenth of the
// stage's memory for the window and for the pages that [Physical.Edit] splits off,
// and what the direct map and [Jump] take, which follows RAM.
func (m *machine) tablePages() uint64 {
	n, reach := 64+m.image.initSize/PageSize/16, uint64(30)
	if m.tables.gigabyte != 0 {
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
	for i := uint64(0); i < m.image.segmentCount; i++ {
		end = max(end, m.image.segments[i&(maxSegments-1)].MemEnd-m.image.base)
	}
	end = (end + PageSize - 1) &^ (PageSize - 1)
	m.tables.frames.end = m.image.area()
	if m.image.base >= windowEnd || m.image.initSize < end+tables+areaSize+tailSize+firstStack {
		return false
	}
	m.tables.frames.next = min(m.tables.frames.end-tables, m.image.load+windowEnd-m.image.base)
	m.program.top = m.image.base + m.tables.frames.next - m.image.load
	if m.image.base+end+firstStack > m.program.top {
		return false
	}
	m.program.imageEnd = m.image.base + end
	zero(m.image.load+m.image.fileSize, end-m.image.fileSize)
	return true
}

// mapWindow maps what follows the file's bytes, except for a page below the first
// stack.
func (m *machine) mapWindow() bool {
	va, guard := m.image.base+m.image.fileSize, m.guard()
	flags := PTEPresent | PTEWrite | m.tables.noExecute
	return m.tables.span(va, m.image.physical(va), guard-va, flags, level4K) &&
		m.tables.span(guard+PageSize, m.image.physical(guard+PageSize), m.program.top-guard-PageSize, flags, level4K)
}

// guard returns the address of the page that the first stack must not reach, nor
// the heap, which the runtime lets grow up to that stack.
func (m *machine) guard() uint64 {
	return (m.program.top-RAMStackOffset-firstStack)&^(PageSize-1) - PageSize
}

// programMemory returns the bytes that the program can get: what follows the image
// in the window.
func (m *machine) programMemory() uint64 { return m.program.top - m.program.imageEnd }

// windowUse returns the bytes that the program uses beyond the image's file and
// the pages of [Frame].
func windowUse() uint64 {
	m := mach
	heapEnd, stack, stackEnd := m.window()
	return heapEnd - m.image.load - m.image.fileSize + stackEnd - stack
}

// window returns the end of the program's memory that follows the image's file, and the
// program's first stack, as physical addresses. The runtime clears what it takes, from the
// image on upwards, so that the first page that is clean is the end of
// it.
func (m *machine) window() (heapEnd, stack, stackEnd uint64) {
	lo, hi := m.program.imageEnd, m.guard()
	top := hi + PageSize
	for hi-lo >= PageSize {
		mid := (lo + (hi-lo)/2) &^ (PageSize - 1)
		if m.tables.leaf(mid)&pteDirty != 0 {
			lo = mid + PageSize
		} else {
			hi = mid
		}
	}
	return m.image.physical(lo), m.image.physical(top), m.image.physical(m.program.top)
}

// Window returns the virtual address of the window and its size in bytes.
func Window() (start, size uint64) { return mach.image.base, mach.program.top - mach.image.base }

// OnGoroutine reports whether a stack pointer is one of a goroutine's stack, and not
// of the runtime's first one.
func OnGoroutine(sp uint64) bool {
	return sp >= mach.image.base && sp < mach.program.top-RAMStackOffset-firstStack
}

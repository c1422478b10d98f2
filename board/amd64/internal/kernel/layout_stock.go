//go:build !tamago

package kernel

// Under a stock toolchain the stage's memory is given out page by page: to page
// tables, and to the Go program when it touches it. What the image has
// of zero-initialised data is part of that.

// Preemptive says whether a goroutine that calls nothing is made to give way.
const Preemptive = true

// window is the Go program's memory: nothing that the board has to remember.
type window struct{}

// divide says which of the stage's memory [Frame] gives out: what is between
// the file's bytes and the board's own memory.
func (m *machine) divide() bool {
	m.tables.frames.next, m.tables.frames.end = m.image.load+m.image.fileSize, m.image.area()
	return true
}

// mapWindow maps nothing: the program's memory is mapped on demand.
func (m *machine) mapWindow() bool { return true }

// programMemory returns the bytes that the program can get from now on.
func (m *machine) programMemory() uint64 { return m.tables.frames.left * PageSize }

// windowUse returns the bytes that the program uses beyond the pages of [Frame]:
// none.
func windowUse() uint64 { return 0 }

// window returns the physical ranges that the program uses beyond the image's file
// and the pages of [Frame], up to heapEnd and from stack to stackEnd: none.
func (m *machine) window() (heapEnd, stack, stackEnd uint64) { return 0, 0, 0 }

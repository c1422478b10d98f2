package kernel

import "ferry/boot/protocol"

// MaxWipes bounds the ranges that are zeroed for one jump.
const MaxWipes = 32

// Target is a kernel to start, with physical addresses.
type Target struct {
	Entry, ZeroPage uint64              // read by debuggers: keep them first
	Wipes           [MaxWipes][2]uint64 // address, bytes
	WipeCount       uint64
}

// Jump starts the target. [ReadyJump] must have reported true. It does not return.
func Jump(t *Target) {
	mach.exits.next = *t
	leave()
}

// ReadyJump builds the page tables for the jump, unless that is done. It reports
// false if the stage's memory does not suffice.
func ReadyJump() bool { return readyJump() }

// leave switches to the kernel stack and departs for the next kernel.
func leave()

// readyJump calls buildJump on the kernel stack.
func readyJump() bool

// buildJump builds the page tables for the jump, unless that is done. It runs
// on the kernel stack with interrupts off.
func buildJump() bool {
	m := mach
	if m.exits.root != 0 {
		return true
	}
	// Only fresh pages, so that they are one piece, which is not to be wiped.
	free := m.tables.frames.free
	m.tables.frames.free = 0
	own, first := m.tables.root, m.tables.frames.next
	m.tables.root = m.tables.frames.take()
	ok := m.tables.root != 0 && m.tables.identity(&m.e820) && m.tables.span(departBase, m.image.departPage(), PageSize, PTEPresent, level4K)
	m.exits.root, m.tables.root = m.tables.root, own
	m.tables.frames.free = free
	m.exits.frames, m.exits.framesEnd = first, m.tables.frames.next
	if !ok {
		m.exits.root = 0
		for pa := first; pa < m.exits.framesEnd; pa += PageSize {
			m.tables.frames.give(pa)
		}
		m.exits.frames = m.exits.framesEnd
	}
	return ok
}

// identity maps RAM and ACPI memory at its physical address, in whole 2 MiB pages, and
// in 1 GiB pages if a range fills them and nothing smaller is there: as kexec
// does, and in a page of tables for each 512 GiB.
func (t *tables) identity(m *protocol.Map) bool {
	step := levelSize(level2M)
	for i := uint64(0); i < m.Count; i++ {
		if e := m.At(i); e.Mapped() && !t.identical(e.Addr&^(step-1), (e.Addr+e.Size+step-1)&^(step-1)) {
			return false
		}
	}
	return t.identical(0, step)
}

// identical maps the physical range, of whole 2 MiB pages, at its own address, as far
// as the direct map reaches.
func (t *tables) identical(start, end uint64) bool {
	if end > DirectEnd {
		end = DirectEnd
	}
	large := levelSize(level1G)
	for start < end {
		stop := (start + large) &^ (large - 1)
		if stop > end {
			stop = end
		}
		level := uint64(level2M)
		if t.gigabyte != 0 && stop-start == large {
			a := t.entry(start, level1G, true)
			if a == 0 {
				return false
			}
			if *word(a) == 0 {
				level = level1G
			}
		}
		if !t.span(start, start, stop-start, PTEPresent|PTEWrite, level) {
			return false
		}
		start = stop
	}
	return true
}

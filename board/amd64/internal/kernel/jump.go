package kernel

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
	mach.next = *t
	leave()
}

// ReadyJump builds the page tables for the jump, unless that is done. It reports
// false if the stage's memory does not suffice.
func ReadyJump() bool { return readyJump() }

// leave switches to the kernel stack and departs for the next kernel.
func leave()

// readyJump calls buildJump on the kernel stack.
func readyJump() bool

// buildJump builds the page tables for the jump, where that is not done. It runs
// on the kernel stack with interrupts off.
func buildJump() bool {
	m := mach
	if m.jumpCR3 != 0 {
		return true
	}
	// Fresh pages alone, so that they are one piece, which is not to be wiped.
	free := m.frameFree
	m.frameFree = 0
	own, first := m.cr3, m.frameNext
	m.cr3 = m.frame()
	ok := m.cr3 != 0 && m.identity() && m.span(departBase, m.departPage(), PageSize, PTEPresent, level4K)
	m.jumpCR3, m.cr3 = m.cr3, own
	m.frameFree = free
	m.jumpFrames, m.jumpEnd = first, m.frameNext
	if !ok {
		m.jumpCR3 = 0
		for pa := first; pa < m.jumpEnd; pa += PageSize {
			m.freeFrame(pa)
		}
		m.jumpFrames = m.jumpEnd
	}
	return ok
}

// identity maps RAM and ACPI memory where it stands, in whole 2 MiB pages, and
// where a range fills them and nothing smaller is there, in 1 GiB pages: as kexec
// does, and in a page of tables for each 512 GiB.
func (m *machine) identity() bool {
	step := levelSize(level2M)
	for i := uint64(0); i < m.e820.Count; i++ {
		e := m.e820.At(i)
		if !e.Mapped() {
			continue
		}
		if !m.identical(e.Addr&^(step-1), (e.Addr+e.Size+step-1)&^(step-1)) {
			return false
		}
	}
	return m.identical(0, step)
}

// identical maps the physical range, of whole 2 MiB pages, where it stands, as far
// as the direct map reaches.
func (m *machine) identical(start, end uint64) bool {
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
		if m.gigabyte != 0 && stop-start == large {
			a := m.entry(start, level1G, true)
			if a == 0 {
				return false
			}
			if *word(a) == 0 {
				level = level1G
			}
		}
		if !m.span(start, start, stop-start, PTEPresent|PTEWrite, level) {
			return false
		}
		start = stop
	}
	return true
}

package kernel

// The stage's own memory, page by page. Pages that were never used come in
// ascending order, freed ones from a list through their first word.

// Frame returns the physical address of a zeroed page of the stage's memory, or
// 0 where none is left.
func Frame() uint64 { return mach.frame() }

// FrameAddress returns the virtual address at which kernel code reads and writes
// the page that [Frame] returned.
func FrameAddress(pa uint64) uint64 { return pa + mach.frameBase }

// FreeFrame gives back a page that [Frame] returned.
func FreeFrame(pa uint64) { mach.freeFrame(pa) }

// FramesLeft returns the number of pages that [Frame] can still hand out.
func FramesLeft() uint64 { return mach.framesLeft }

// GoMemory returns how many bytes the Go runtime may fill before its collector works
// harder: three quarters of what the program gets. The rest is for page tables, stacks
// and what the collector frees late.
func GoMemory() uint64 { return mach.programMemory() / 4 * 3 }

func (m *machine) frame() uint64 {
	pa := m.frameFree
	switch {
	case pa != 0:
		m.frameFree = *word(pa + m.frameBase)
	case m.frameNext < m.frameEnd:
		pa = m.frameNext
		m.frameNext += PageSize
	default:
		return 0
	}
	zero(pa+m.frameBase, PageSize)
	m.framesLeft--
	m.framesUsed++
	if m.framesUsed > m.framesPeak {
		m.framesPeak = m.framesUsed
	}
	return pa
}

func (m *machine) freeFrame(pa uint64) {
	*word(pa + m.frameBase) = m.frameFree
	m.frameFree = pa
	m.framesLeft++
	m.framesUsed--
}

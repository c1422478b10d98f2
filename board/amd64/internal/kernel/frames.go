package kernel

// frames is the stage's own memory, page by page, with physical addresses. Pages that
// were never used come in ascending order, freed ones from a list through their first
// word.
type frames struct {
	next, end  uint64 // pages never used yet
	first      uint64 // the first that was ever used
	free       uint64 // head of the list of freed pages
	used, peak uint64 // pages in use, and the most that ever were
	left       uint64 // pages that can still be handed out
	base       uint64 // what to add to the address of one of them to reach it
}

// Frame returns the physical address of a zeroed page of the stage's memory, or
// 0 if none is left.
func Frame() uint64 { return mach.tables.frames.take() }

// FrameAddress returns the virtual address at which kernel code reads and writes
// the page that [Frame] returned.
func FrameAddress(pa uint64) uint64 { return pa + mach.tables.frames.base }

// FreeFrame gives back a page that [Frame] returned.
func FreeFrame(pa uint64) { mach.tables.frames.give(pa) }

// FramesLeft returns the number of pages that [Frame] can still hand out.
func FramesLeft() uint64 { return mach.tables.frames.left }

// GoMemory returns how many bytes the Go runtime may fill before its collector works
// harder: three quarters of what the program gets. The rest is for page tables, stacks
// and what the collector frees late.
func GoMemory() uint64 { return mach.programMemory() / 4 * 3 }

func (f *frames) take() uint64 {
	pa := f.free
	switch {
	case pa != 0:
		f.free = *word(pa + f.base)
	case f.next < f.end:
		pa = f.next
		f.next += PageSize
	default:
		return 0
	}
	zero(pa+f.base, PageSize)
	f.left--
	f.used++
	if f.used > f.peak {
		f.peak = f.used
	}
	return pa
}

func (f *frames) give(pa uint64) {
	*word(pa + f.base) = f.free
	f.free = pa
	f.left++
	f.used--
}

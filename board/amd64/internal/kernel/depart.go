package kernel

import "unsafe"

// exits are the ways out: the target of [Jump], that of a failure, and the page tables
// for both.
type exits struct {
	next, fallback    Target
	fallbackSet       uint64
	fallbackName      [64]byte // for the console
	root              uint64   // page tables for the jump, 0 as long as there are none
	frames, framesEnd uint64   // physical: where those tables are
	sp, fs            uint64   // of the Go code that called, see jump_amd64.s
	failing           uint64   // how often the run has failed
}

// The departure page is all of the stage that is left when the next kernel
// starts: the last instructions, which run there because everything else has been
// zeroed, the segment table that they load, what they are to do, and a stack. It
// is mapped at departBase in the board's tables and in those of the jump:
// writable until it is filled, executable from then on.
type departure struct {
	_        [departCode]byte // the code of func depart
	gdt      [4]uint64
	gdtLimit uint64 // in the upper two bytes, the table's address follows: LGDT
	gdtAt    uint64
	noIDT    [2]uint64
	cr3      uint64
	stack    uint64 // physical: the end of this page
	entry    uint64
	zeroPage uint64
	avx      uint64           // not 0: the processor has AVX
	wipes    [maxPieces]piece // until the first of no size
}

// piece is memory to be zeroed: physical address, blocks for a processor with AVX,
// words of 8 bytes after those, and bytes after those.
type piece struct{ start, blocks, words, bytes uint64 }

const (
	departCode = 0x200
	maxPieces  = MaxWipes + 16
	pieceSize  = 32
	blockBytes = 512
	departFits = PageSize - 0x200 // what is left is the stack
)

const _ = -(unsafe.Sizeof(departure{}) / (departFits + 1)) // must be 0: it fits its page

// out is the departure page at its fixed virtual address: defined in
// entry_amd64.s.
var out *departure

// departPage returns the physical address of the departure page: the last but one
// of the stage.
func (i *image) departPage() uint64 { return i.load + i.initSize - 2*PageSize }

// recordPage returns the physical address of the record: the last page of the
// stage.
func (i *image) recordPage() uint64 { return i.load + i.initSize - PageSize }

// departNext departs for the target of [Jump].
func departNext() { mach.depart(&mach.exits.next) }

// depart starts the target. It runs with interrupts off, needs no memory, and does
// not return.
func (m *machine) depart(t *Target) {
	m.deadline.stopPIT()
	m.lapic.close()
	m.serial.drain()
	page := m.image.departPage()
	zero(departBase, PageSize)
	clearFPU(departBase, m.traps.xsave) // from zeros: the registers' initial state
	resetFPU()
	Copy(departBase, uintptr(addressOfDepart()), uintptr(departBytes()))
	out.gdt[2], out.gdt[3] = m.traps.gdt[2], m.traps.gdt[3]
	out.gdtLimit, out.gdtAt = 0x1f<<48, page+departCode
	out.noIDT[0], out.noIDT[1] = 0, 0
	out.cr3, out.stack = m.exits.root, page+PageSize
	out.entry, out.zeroPage = t.Entry, t.ZeroPage
	m.listPieces(t)

	e := m.tables.entry(departBase, level4K, false)
	*word(e) = page | PTEPresent
	invlpg(departBase)
	jumpAway()
}

// departBytes returns the size of the code, which a test holds below departCode.
func departBytes() uint64 { return min(addressOfDepartEnd()-addressOfDepart(), departCode) }

// jumpAway jumps to the departure page.
func jumpAway()

// listPieces says what is zeroed on the way out: what the target wants, and of the
// stage all that a Go program or the board may have written to. What stays is the
// image's text and constants, the tables of the jump, and the departure page; and
// if something failed, the record of it.
func (m *machine) listPieces(t *Target) {
	n := uint64(0)
	out.avx = m.traps.avx
	for i := uint64(0); i < t.WipeCount; i++ {
		w := &t.Wipes[i&(MaxWipes-1)]
		n = out.add(n, w[0], w[0]+w[1])
	}
	for i := uint64(0); i < m.image.segmentCount; i++ {
		if s := &m.image.segments[i&(maxSegments-1)]; s.Flags&SegmentWrite != 0 {
			n = out.add(n, m.image.physical(s.Start), m.image.physical((s.FileEnd+PageSize-1)&^(PageSize-1)))
		}
	}
	heapEnd, stack, stackEnd := m.window()
	n = out.add(n, m.image.load+m.image.fileSize, heapEnd)
	n = out.add(n, stack, stackEnd)
	n = out.add(n, m.tables.frames.first, m.exits.frames)
	n = out.add(n, m.exits.framesEnd, m.tables.frames.next)
	n = out.add(n, m.image.area(), m.image.area()+areaSize)
	if m.exits.failing == 0 {
		out.add(n, m.image.recordPage(), m.image.recordPage()+PageSize)
	}
}

// add appends a piece as number n, unless it is empty or there is no room, and
// returns the next number.
func (d *departure) add(n, start, end uint64) uint64 {
	if start >= end || n >= maxPieces-1 {
		return n
	}
	blocks := uint64(0)
	if d.avx != 0 {
		blocks = (end - start) / blockBytes
	}
	rest := end - start - blocks*blockBytes
	d.wipes[n%maxPieces] = piece{start, blocks, rest >> 3, rest & 7}
	return n + 1
}

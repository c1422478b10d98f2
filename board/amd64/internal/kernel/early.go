package kernel

import "ferry/linker/header"

// The header page, for the assembler and its callers: see package header.
const (
	imageMagic    = header.Magic
	paramMagic    = header.Params
	paramBase     = header.Base
	paramInitSize = header.InitSize
	paramFileSize = header.FileSize
	maxSegments   = header.MaxSegments
	tailSize      = header.TailSize
)

const (
	messageBytes = 48   // of each of the entry's messages
	stackGuard   = 1024 // bytes of kernel stack kept for functions without a stack check

	maxE820Ext = 64 << 20 // bytes of all E820_EXT nodes that are read
	maxSeed    = 4096     // bytes of a seed that are used
)

// Segment is a piece of the image.
type Segment = header.Segment

// Flags of a [Segment].
const (
	SegmentExec  = header.Exec
	SegmentWrite = header.Write
	SegmentRead  = header.Read
)

// early builds the page tables. It runs at the image's physical address under the
// loader's identity mapping: no address of code or data may be remembered, m is
// the only variable, and switch statements stay small (a jump table would hold
// virtual addresses).
func early(m *machine) bool {
	if m.encrypted = encryption(); m.encrypted == encryptedMarked {
		return false
	}
	load := m.image.load
	m.image.base = *word(load + paramBase)
	m.image.initSize = *word(load + paramInitSize)
	m.image.fileSize = *word(load + paramFileSize)
	m.image.segmentCount = *word(load + header.Count)
	if m.image.segmentCount > maxSegments {
		return false
	}
	for i := uint64(0); i < m.image.segmentCount; i++ {
		p, s := load+header.Segments+i*header.SegmentSize, &m.image.segments[i&(maxSegments-1)]
		s.Start, s.FileEnd, s.MemEnd, s.Flags = *word(p), *word(p + 8), *word(p + 16), *word(p + 24)
	}

	if m.image.zeroPage >= DirectEnd || load > DirectEnd || m.image.initSize > DirectEnd-load {
		return false
	}

	if top, _, _, _ := cpuid(0x8000_0000, 0); top >= 0x8000_0001 {
		_, _, _, d := cpuid(0x8000_0001, 0)
		if d&(1<<20) != 0 {
			m.tables.noExecute = pteNoExecute
		}
		m.tables.gigabyte = uint64(d & (1 << 26))
	}
	m.tables.levels = 4
	if readCR4()&(1<<12) != 0 {
		m.tables.levels = 5
	}
	copyMap(&m.e820, m.image.zeroPage)
	if !m.divide() {
		return false
	}
	m.tables.frames.first = m.tables.frames.next
	m.tables.frames.used = areaSize/PageSize + 2 // the departure page, the record
	m.tables.frames.peak = m.tables.frames.used
	m.tables.frames.left = (m.tables.frames.end - m.tables.frames.next) / PageSize
	m.traps.describe(addressOfVectors() - load + m.image.base)

	m.tables.root = m.tables.frames.take()
	return m.tables.root != 0 && m.mapImage() && m.mapWindow() && m.mapArea(m.image.area()) && m.mapFrames() && m.mapRAM(0) && m.tables.mapEnter()
}

// area returns the physical address of the board's own memory.
func (i *image) area() uint64 { return i.load + i.initSize - tailSize - areaSize }

// physical returns where the image's virtual address va is.
func (i *image) physical(va uint64) uint64 { return va - i.base + i.load }

// mapImage maps the segments' file bytes, each with no more rights than it
// needs. What runs on the board decides about zero-initialised ones.
func (m *machine) mapImage() bool {
	for i := uint64(0); i < m.image.segmentCount; i++ {
		s := &m.image.segments[i&(maxSegments-1)]
		flags := uint64(PTEPresent)
		if s.Flags&SegmentWrite != 0 {
			flags |= PTEWrite
		}
		if s.Flags&SegmentExec == 0 {
			flags |= m.tables.noExecute
		}
		size := (s.FileEnd - s.Start + PageSize - 1) &^ (PageSize - 1)
		if !m.tables.span(s.Start, m.image.physical(s.Start), size, flags, level4K) {
			return false
		}
	}
	return true
}

// mapFrames maps the pages of [Frame] where only the board writes to them, page
// tables among them: in the direct map all of the stage is read-only.
func (m *machine) mapFrames() bool {
	return m.tables.linear(m.framesOffset(), m.tables.frames.first, m.tables.frames.end, PTEWrite)
}

// framesOffset returns what to add to the physical address of such a page. Large
// pages stay aligned.
func (m *machine) framesOffset() uint64 { return framesBase - m.image.load&^(levelSize(level1G)-1) }

// mapArea maps the board's own memory.
func (m *machine) mapArea(area uint64) bool {
	flags := PTEPresent | PTEWrite | m.tables.noExecute
	return m.tables.span(machineBase, area, machineSize, flags, level4K) &&
		m.tables.span(stackBase, area+machineSize, stackSize, flags, level4K) &&
		m.tables.span(trapBase, area+machineSize+stackSize, trapSize, flags, level4K) &&
		m.tables.span(fatalBase, area+machineSize+stackSize+trapSize, fatalSize, flags, level4K) &&
		m.tables.span(departBase, m.image.departPage(), PageSize, flags, level4K) &&
		m.tables.span(recordBase, m.image.recordPage(), PageSize, flags, level4K)
}

// mapRAM puts RAM, ACPI tables and the first MiB, which holds the BIOS's own data,
// into the direct map, all of it read-only; only entries from the given one on.
func (m *machine) mapRAM(from uint64) bool {
	for i := from; i < m.e820.Count; i++ {
		if e := m.e820.At(i); e.Mapped() && !m.tables.direct(e.Addr, e.Addr+e.Size) {
			return false
		}
	}
	return m.tables.direct(0, 1<<20) && m.tables.direct(m.image.zeroPage, m.image.zeroPage+PageSize)
}

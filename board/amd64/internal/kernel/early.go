package kernel

import (
	"unsafe"

	"ferry/boot/protocol"
	"ferry/linker/header"
)

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
	load := m.load
	m.base = *word(load + paramBase)
	m.initSize = *word(load + paramInitSize)
	m.fileSize = *word(load + paramFileSize)
	m.segmentCount = *word(load + header.Count)
	if m.segmentCount > maxSegments {
		return false
	}
	for i := uint64(0); i < m.segmentCount; i++ {
		p, s := load+header.Segments+i*header.SegmentSize, &m.segments[i&(maxSegments-1)]
		s.Start, s.FileEnd, s.MemEnd, s.Flags = *word(p), *word(p + 8), *word(p + 16), *word(p + 24)
	}

	if m.zeroPage >= DirectEnd || load > DirectEnd || m.initSize > DirectEnd-load {
		return false
	}

	if top, _, _, _ := cpuid(0x8000_0000, 0); top >= 0x8000_0001 {
		_, _, _, d := cpuid(0x8000_0001, 0)
		if d&(1<<20) != 0 {
			m.noExecute = pteNoExecute
		}
		m.gigabyte = uint64(d & (1 << 26))
	}
	m.levels = 4
	if readCR4()&(1<<12) != 0 {
		m.levels = 5
	}
	m.copyE820()
	if !m.divide() {
		return false
	}
	m.frameFirst = m.frameNext
	m.framesUsed = areaSize/PageSize + 2 // the departure page, the record
	m.framesPeak = m.framesUsed
	m.framesLeft = (m.frameEnd - m.frameNext) / PageSize
	m.descriptors()

	m.cr3 = m.frame()
	return m.cr3 != 0 && m.mapImage() && m.mapWindow() && m.mapArea(m.area()) && m.mapFrames() && m.mapRAM(0) && m.mapEnter()
}

// area returns the physical address of the board's own memory.
func (m *machine) area() uint64 { return m.load + m.initSize - tailSize - areaSize }

// physical returns where the image's virtual address va is.
func (m *machine) physical(va uint64) uint64 { return va - m.base + m.load }

// copyE820 takes the memory map over from the zero page.
func (m *machine) copyE820() {
	n := uint64(*byteAt(m.zeroPage + protocol.OffE820Entries))
	if n > protocol.E820Max {
		n = protocol.E820Max
	}
	for i := uint64(0); i < n; i++ {
		m.addE820(m.zeroPage + protocol.OffE820 + i*protocol.E820Size)
	}
}

// addE820 takes over the entry at a.
func (m *machine) addE820(a uint64) {
	m.addRegion(*word(a), *word(a + protocol.OffE820Bytes), uint64(*half(a + protocol.OffE820Type)))
}

// addRegion takes over one region of the memory map.
func (m *machine) addRegion(addr, size, kind uint64) { m.e820.Add(addr, size, kind) }

// mapImage maps the segments' file bytes, each with no more rights than it asks
// for. Who runs on the board decides about the zero-initialised ones.
func (m *machine) mapImage() bool {
	for i := uint64(0); i < m.segmentCount; i++ {
		s := &m.segments[i&(maxSegments-1)]
		flags := uint64(PTEPresent)
		if s.Flags&SegmentWrite != 0 {
			flags |= PTEWrite
		}
		if s.Flags&SegmentExec == 0 {
			flags |= m.noExecute
		}
		size := (s.FileEnd - s.Start + PageSize - 1) &^ (PageSize - 1)
		if !m.span(s.Start, m.physical(s.Start), size, flags, level4K) {
			return false
		}
	}
	return true
}

// mapFrames maps the pages of [Frame] where the board alone writes to them, page
// tables among them: in the direct map all of the stage is read-only.
func (m *machine) mapFrames() bool {
	return m.linear(m.framesOffset(), m.frameFirst, m.frameEnd, PTEWrite)
}

// framesOffset returns what to add to the physical address of such a page. Large
// pages stay aligned.
func (m *machine) framesOffset() uint64 { return framesBase - m.load&^(levelSize(level1G)-1) }

// mapArea maps the board's own memory.
func (m *machine) mapArea(area uint64) bool {
	flags := PTEPresent | PTEWrite | m.noExecute
	return m.span(machineBase, area, machineSize, flags, level4K) &&
		m.span(stackBase, area+machineSize, stackSize, flags, level4K) &&
		m.span(trapBase, area+machineSize+stackSize, trapSize, flags, level4K) &&
		m.span(fatalBase, area+machineSize+stackSize+trapSize, fatalSize, flags, level4K) &&
		m.span(departBase, m.departPage(), PageSize, flags, level4K) &&
		m.span(recordBase, m.recordPage(), PageSize, flags, level4K)
}

// mapRAM puts RAM, ACPI tables and the first MiB, where the BIOS keeps its own,
// into the direct map, all of it read-only; only entries from the given one on.
func (m *machine) mapRAM(from uint64) bool {
	for i := from; i < m.e820.Count; i++ {
		if e := m.e820.At(i); e.Mapped() && !m.direct(e.Addr, e.Addr+e.Size) {
			return false
		}
	}
	return m.direct(0, 1<<20) && m.direct(m.zeroPage, m.zeroPage+PageSize)
}

// machineOffset returns how far into m the field at p is.
func machineOffset(m *machine, p *uint64) uint64 {
	return uint64(uintptr(unsafe.Pointer(p)) - uintptr(unsafe.Pointer(m)))
}

// descriptors fills GDT, IDT and TSS with virtual addresses. Selectors are those
// of the 64-bit boot protocol: code 0x10, data 0x18; the TSS follows at 0x20.
func (m *machine) descriptors() {
	m.gdt[2] = 0x00af9b000000ffff
	m.gdt[3] = 0x00cf93000000ffff
	tss := machineBase + machineOffset(m, &m.tss[0])
	trap, fatal, nmi := uint64(trapBase+trapSize), uint64(fatalBase+fatalSize), uint64(fatalBase+nmiSize)
	m.gdt[4] = 103 | tss&0xffffff<<16 | 0x89<<40 | tss>>24&0xff<<56
	m.gdt[5] = tss >> 32

	// IST1 at byte 36, IST2 at byte 44, IST3 at byte 52: words of 4 bytes apart. The
	// NMI has the far end of IST2's stack: it may come in the midst of a report.
	m.tss[4] = trap << 32
	m.tss[5] = trap>>32 | fatal<<32
	m.tss[6] = fatal>>32 | nmi<<32
	m.tss[7] = nmi >> 32
	m.tss[12] = 104 << 48 // no I/O map
	m.stackTop = stackBase + stackSize

	code := addressOfVectors() - m.load + m.base
	for i := uint64(0); i < 256; i++ {
		ist := uint64(1)
		if i == VectorDoubleFault || i == VectorMachine {
			ist = 2
		} else if i == VectorNMI {
			ist = 3
		}
		a := code + i*8
		m.idt[2*i] = a&0xffff | 0x10<<16 | ist<<32 | 0x8e<<40 | a>>16&0xffff<<48
		m.idt[2*i+1] = a >> 32
	}
}

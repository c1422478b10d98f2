package kernel

import "ferry/boot/protocol"

// setup runs at the image's own addresses, with the board's tables, before the
// code that takes over.
func setup() {
	m := mach
	m.tables.frames.base = m.framesOffset()
	m.tables.unmapEnter()
	m.openRecord()
	m.protect()
	m.floatingPoint()
	maskPIC()
	m.readCmdline()
	m.serial.open(m.cmdline.console())
	m.rng.pool.reset()
	m.readSetupData()
	m.readAddedRAM()
	m.lapic.open(&m.tables)
	m.calibrate()
	m.rng.seed()
	m.ready = 1
}

// Bits of CR4.
const (
	cr4MachineCheck = 1 << 6
	cr4UMIP         = 1 << 11 // no SGDT and the like outside ring 0
	cr4SMEP         = 1 << 20 // no execution of user pages in ring 0
	cr4SMAP         = 1 << 21 // and no access to them
)

// protect turns on what the processor has to stop a stray access of the program. No
// page is one of user mode here, and none is to become one by a flipped bit. Machine
// checks are to be reported like any other exception. The jump turns all of it off.
func (m *machine) protect() {
	bits := uint64(0)
	if _, _, _, d := cpuid(1, 0); d&(1<<7) != 0 {
		bits |= cr4MachineCheck
	}
	if top, _, _, _ := cpuid(0, 0); top >= 7 {
		_, b, c, _ := cpuid(7, 0)
		if b&(1<<7) != 0 {
			bits |= cr4SMEP
		}
		if b&(1<<20) != 0 {
			bits |= cr4SMAP
		}
		if c&(1<<2) != 0 {
			bits |= cr4UMIP
		}
	}
	writeCR4(readCR4() | bits)
}

// floatingPoint turns on saving of x87, SSE and AVX state, and nothing wider: it
// is what the context has room for, and what the Go runtime will then use.
func (m *machine) floatingPoint() {
	const xsave = 1 << 26
	if _, _, c, _ := cpuid(1, 0); c&xsave != 0 {
		a, _, _, _ := cpuid(13, 0)
		enableXSAVE(uint64(a) & 7)
		m.traps.xsave, m.traps.avx = 1, uint64(a)&4
	}
	resetFPU()
}

// maskPIC silences the two 8259 interrupt controllers, after giving them vectors
// of their own: what is pending arrives there and not as an exception.
func maskPIC() {
	const pic1, pic2 = 0x20, 0xa0
	out8(pic1, 0x11) // initialise, four words
	out8(pic2, 0x11)
	out8(pic1+1, 0x20) // vectors from 0x20 and 0x28
	out8(pic2+1, 0x28)
	out8(pic1+1, 4) // the second is at input 2 of the first
	out8(pic2+1, 2)
	out8(pic1+1, 1) // 8086 mode
	out8(pic2+1, 1)
	out8(pic1+1, 0xff)
	out8(pic2+1, 0xff)
}

// readCmdline copies the kernel command line, which may be in memory that is
// needed later.
func (m *machine) readCmdline() {
	zp := m.image.zeroPage + DirectMap
	a := uint64(*half(zp + protocol.OffCmdline)) | uint64(*half(zp + protocol.OffExtCmdline))<<32
	if a == 0 {
		return
	}
	for n := uint64(0); n < maxCmdline-1 && a < DirectEnd-n; n++ {
		if (n == 0 || (a+n)&(PageSize-1) == 0) && m.tables.leaf(DirectMap+a+n) == 0 {
			return
		}
		c := *byteAt(DirectMap + a + n)
		if c == 0 {
			return
		}
		m.cmdline.bytes[n&(maxCmdline-1)] = c
		m.cmdline.size = n + 1
	}
}

// readSetupData walks the setup_data list for what the board itself needs: the
// rest of the memory map, and the loader's random seed. As for package boot, the
// list ends at the first node that is not in memory.
func (m *machine) readSetupData() {
	left := uint64(maxE820Ext)
	a := *word(m.image.zeroPage + DirectMap + protocol.OffSetupData)
	for i := 0; a != 0 && i < protocol.MaxNodes; i++ {
		if !m.tables.directCovers(a, protocol.NodeHeader) {
			return
		}
		kind, size := *half(DirectMap + a + protocol.OffNodeType), uint64(*half(DirectMap + a + protocol.OffNodeLen))
		data := a + protocol.NodeHeader
		if !m.tables.directCovers(data, size) {
			return
		}
		switch kind {
		case protocol.SetupE820Ext:
			if size > left {
				return
			}
			left -= size
			first := m.e820.Count
			for n := uint64(0); n+protocol.E820Size <= size; n += protocol.E820Size {
				addEntry(&m.e820, DirectMap+data+n)
			}
			m.mapRAM(first)
		case protocol.SetupRNGSeed:
			for n := uint64(0); n < size && n < maxSeed; n++ {
				m.rng.pool.writeByte(*byteAt(DirectMap + data + n))
			}
		}
		a = *word(DirectMap + a)
	}
}

// directCovers reports whether the direct map holds every page of [a, a+n).
func (t *tables) directCovers(a, n uint64) bool {
	if a > DirectEnd || n > DirectEnd-a {
		return false
	}
	for p := a &^ (PageSize - 1); p < a+n; p += PageSize {
		if t.leaf(DirectMap+p) == 0 {
			return false
		}
	}
	return true
}

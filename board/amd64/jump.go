package amd64

import "ferry/phys"

// Jump starts the next kernel by the 64-bit boot protocol, in the state that
// kexec leaves: interrupts off, identity page tables of large pages over all RAM and
// ACPI memory (page 0 among it), LA57 as it is, flat segments, RSI = zeroPage, all
// other registers 0 but RSP. entry is the kernel's 64-bit entry point.
//
// The LAPIC is as it was found, but for its timer, which is stopped and masked.
// Other devices are not put back: the two 8259s have vectors 0x20 to 0x2f and every
// input masked, the interval timer's channel 0 counts from 65536 in mode 2, and the
// console's port is at 8N1 without interrupts.
//
// It returns only where it fails, which is before anything changed: with an
// [*phys.Error] wrapping [phys.ErrNotRAM] for a place outside RAM, or where the
// stage's memory does not suffice for the page tables.
//
// The page tables, the segment table and RSP lie in the stage's memory, and the
// last instructions run there: the next kernel must not write to it before it has
// its own. Nothing else may run any more: other threads stop where they are.
func Jump(entry, zeroPage phys.Addr) error {
	ram := RAM()
	if err := phys.Check(ram, entry, 1); err != nil {
		return phys.In("entry of the next kernel", entry, err)
	}
	if err := phys.Check(ram, zeroPage, phys.PageSize); err != nil {
		return phys.In("zero page of the next kernel", zeroPage, err)
	}
	mach.jumpEntry, mach.jumpZeroPage = uint64(entry), uint64(zeroPage)
	leave()
	return &phys.Error{Object: "page tables for the next kernel", Addr: zeroPage,
		Found: "no page left of the stage's memory", Hint: "link the image with a larger init_size"}
}

// leave switches to the kernel stack, calls prepareJump, and jumps. It returns
// where prepareJump fails.
func leave()

// prepareJump builds the page tables for the jump. It runs on the kernel stack
// with interrupts off.
func prepareJump() bool {
	m := mach
	gate := m.physical(addressOfDepart())
	if !m.openGate(gate) {
		return false
	}
	own := m.cr3
	if m.cr3 = m.frame(); m.cr3 == 0 || !m.identity() || !m.openGate(gate) {
		m.cr3 = own
		m.closeGate()
		return false
	}
	m.jumpCR3, m.cr3 = m.cr3, own

	area := m.area()
	m.jumpStack = area + machineSize + stackSize
	m.jumpGDT = area + machineOffset(m, &m.gdt[0])
	m.gdt[4], m.gdt[5] = 0, 0
	m.closeLAPIC()
	m.drainConsole()
	return true
}

// identity maps RAM and ACPI memory where it stands, in whole 2 MiB pages, and
// where a range fills them and nothing smaller is there, in 1 GiB pages: as kexec
// does, and in a page of tables for each 512 GiB.
func (m *machine) identity() bool {
	step := levelSize(level2M)
	for i := uint64(0); i < m.regions; i++ {
		e := &m.e820[i&(maxRegions-1)]
		if e.kind != E820RAM && e.kind != E820ACPI && e.kind != E820NVS {
			continue
		}
		if !m.identical(e.addr&^(step-1), (e.addr+e.size+step-1)&^(step-1)) {
			return false
		}
	}
	return m.identical(0, step)
}

// identical maps the physical range, of whole 2 MiB pages, where it stands, as far
// as the direct map reaches.
func (m *machine) identical(start, end uint64) bool {
	if end > directEnd {
		end = directEnd
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

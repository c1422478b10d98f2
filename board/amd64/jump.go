package amd64

import "ferry/phys"

// Jump starts the kernel whose 64-bit entry lies at entry with the zero page at
// zeroPage, as kexec leaves the machine (Documentation/arch/x86/boot.rst, "64-bit
// BOOT PROTOCOL"; arch/x86/kernel/relocate_kernel_64.S): interrupts off, flat
// segments 0x10 and 0x18, memory mapped identically by as many levels as before,
// RSI = zeroPage, all other registers but RSP zero. It does not return.
//
// The page tables and descriptors that the next kernel starts with lie in the
// stage's memory; it replaces them before it gives that memory to anyone.
func Jump(entry, zeroPage phys.Addr) { jump(uint64(entry), uint64(zeroPage)) }

// jump leaves the Go program for good: it calls leave on the kernel's stack.
func jump(entry, zeroPage uint64)

// depart goes on where the image lies physically, which both the old tables and
// the new ones map.
func depart()

func addressOfDepart() uint64

// leave prepares the jump: it quietens the devices, builds the page tables for
// the next kernel, and returns their root, the physical address of the board's
// own memory, and that of depart. A root of 0 means that memory did not suffice.
func leave() (root, area, code uint64) {
	m := mach
	m.closeLAPIC()
	code = addressOfDepart() - ImageBase + m.load
	if !m.span(code&^(PageSize-1), code&^(PageSize-1), 2*PageSize, PTEPresent, level4K) {
		return 0, 0, 0
	}
	old := m.cr3
	m.cr3 = m.frame()
	if m.cr3 == 0 || !m.identity(0, 1<<20) {
		return 0, 0, 0
	}
	for i := uint64(0); i < m.regions; i++ {
		e := &m.e820[i&(maxRegions-1)]
		if e.kind == E820RAM || e.kind == E820ACPI || e.kind == E820NVS {
			if !m.identity(e.addr, e.addr+e.size) {
				return 0, 0, 0
			}
		}
	}
	root, m.cr3 = m.cr3, old
	return root, m.load + m.fileSize, code
}

// identity maps [start, end), rounded outward to 2 MiB, to itself, in pages of
// 1 GiB where the processor has them and nothing is mapped yet.
func (m *machine) identity(start, end uint64) bool {
	mega, giga := levelSize(level2M), levelSize(level1G)
	start &^= mega - 1
	end = (end + mega - 1) &^ (mega - 1)
	for start < end {
		next, level := (start+giga)&^(giga-1), uint64(level2M)
		if next > end {
			next = end
		}
		if m.gigabyte != 0 && next-start == giga {
			if a := m.entry(start, level1G, true); a != 0 && *word(a) == 0 {
				level = level1G
			}
		}
		if !m.span(start, start, next-start, PTEPresent|PTEWrite, level) {
			return false
		}
		start = next
	}
	return true
}

package kernel

import "ferry/boot/protocol"

// The ACPI tables are read for one thing, the port of the PM timer, which counts
// at 3.58 MHz on machines whose interval timer is gone. ACPI 6.5, 5.2.

const (
	rsdpMagic    = 0x2052545020445352 // "RSD PTR "
	signatureFAC = 0x50434146         // "FACP"
	fadtPMTimer  = 76
)

// pmTimerPort returns the I/O port of the PM timer, 0 if there is none.
func (m *machine) pmTimerPort() uint16 {
	rsdp := m.findRSDP()
	if rsdp == 0 {
		return 0
	}
	table, wide := uint64(*half(DirectMap + rsdp + 16)), uint64(4)
	if *byteAt(DirectMap + rsdp + 15) >= 2 && *word(DirectMap + rsdp + 24) != 0 {
		table, wide = *word(DirectMap + rsdp + 24), 8
	}
	if table == 0 || !m.tables.cover(table, 36) {
		return 0
	}
	size := uint64(*half(DirectMap + table + 4))
	if size < 36 || size > 1<<16 || !m.tables.cover(table, size) {
		return 0
	}
	for a := table + 36; a+wide <= table+size; a += wide {
		t := uint64(*half(DirectMap + a))
		if wide == 8 {
			t = *word(DirectMap + a)
		}
		if t != 0 && m.tables.cover(t, fadtPMTimer+4) && *half(DirectMap + t) == signatureFAC {
			return uint16(*half(DirectMap + t + fadtPMTimer))
		}
	}
	return 0
}

// cover makes sure that [a, a+n) is in the direct map: some firmware has its
// tables in memory that it calls reserved.
func (t *tables) cover(a, n uint64) bool {
	return t.directCovers(a, n) || t.direct(a, a+n) && t.directCovers(a, n)
}

// findRSDP returns the root pointer: from the loader, or from the BIOS area.
func (m *machine) findRSDP() uint64 {
	if a := *word(DirectMap + m.image.zeroPage + protocol.OffRSDP); a != 0 && m.tables.cover(a, 36) {
		return a
	}
	for a := uint64(0xe0000); a < 0x100000; a += 16 {
		if *word(DirectMap + a) == rsdpMagic {
			return a
		}
	}
	return 0
}

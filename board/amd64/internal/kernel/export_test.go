//go:build metal

package kernel

import driver "github.com/usbarmory/tamago/amd64/lapic"

// What the tests on metal look at or do.

const (
	MachineBase = machineBase
	PTELarge    = pteLarge
)

// Own are the runs of pages that the board keeps for itself.
var Own = []struct {
	Name        string
	Start, Size uint64
}{
	{"machine", machineBase, machineSize},
	{"kernel stack", stackBase, stackSize},
	{"stack of interrupts", trapBase, trapSize},
	{"stack of double faults", fatalBase, fatalSize},
	{"record", recordBase, PageSize},
	{"departure page", departBase, PageSize},
}

// SendToSelf makes the local APIC deliver an interrupt to this processor.
func SendToSelf(vector uint8) {
	const icrLow, self, assert = 0x300, 1 << 18, 1 << 14
	mach.lapic.write(icrLow, self|assert|uint64(vector))
}

// InService returns the number of interrupts that the local APIC shows in
// service.
func InService() (n int) {
	for i := uint64(0); i < 8; i++ {
		for v := mach.lapic.read(lapicISR + i*0x10); v != 0; v &= v - 1 {
			n++
		}
	}
	return n
}

// FoundLAPIC sets the local APIC's registers as an old kernel may have them, takes
// it over, and gives it back. It returns what was found and what was left.
func FoundLAPIC(spurious, timer, divide uint64) (found, left [3]uint64) {
	m, was := mach, disableInterrupts()
	registers := func() [3]uint64 {
		return [3]uint64{m.lapic.read(driver.LAPIC_SVR), m.lapic.read(driver.LAPIC_LVT_TIMER), m.lapic.read(lapicDivide)}
	}
	base := m.lapic.base
	m.lapic.write(driver.LAPIC_SVR, spurious)
	m.lapic.write(driver.LAPIC_LVT_TIMER, timer)
	m.lapic.write(lapicDivide, divide)
	found = registers()
	m.lapic.open(&m.tables)
	m.lapic.close()
	m.lapic.base = base
	left = registers()
	m.lapic.open(&m.tables)
	m.lapic.measure(m.lapic.start(), &m.clock)
	m.lapic.armed = 0
	if was {
		enableInterrupts()
	}
	return found, left
}

// LAPICBase returns where the local APIC's registers are mapped.
func LAPICBase() uint64 { return mach.lapic.base }

// PageTables returns the physical address of the page tables' root and the number
// of levels.
func PageTables() (root, levels uint64) { return mach.tables.root, mach.tables.levels }

// PrintStuck prints c to a port whose line status reads 0 for ever: the scratch
// register of the first port stands in its place. It reports whether the console
// was given up, and brings it back.
func PrintStuck(c byte) bool {
	const scratch = 7
	port := mach.serial.port.Base
	out8(port+scratch, 0)
	mach.serial.port.Base = port + scratch - uartLineStatus
	Printk(c)
	stuck := mach.serial.port.Base == 0
	mach.serial.port.Base = port
	return stuck
}

// CPUID runs the instruction.
func CPUID(leaf, sub uint32) (a, b, c, d uint32) { return cpuid(leaf, sub) }

// ControlRegisters returns CR0 and CR4.
func ControlRegisters() (cr0, cr4 uint64) { return readCR0(), readCR4() }

// PoolOf returns the hash of what the loader's lists give the random generator, for
// a zero page of which the test knows the lists.
func PoolOf(zeroPage uint64) [8]uint32 {
	m, was := mach, disableInterrupts()
	own := m.image.zeroPage
	m.image.zeroPage = zeroPage
	m.rng.pool.reset()
	m.readSetupData()
	m.rng.pool.sum()
	h := m.rng.pool.h
	m.rng.pool.reset()
	m.image.zeroPage = own
	if was {
		enableInterrupts()
	}
	return h
}

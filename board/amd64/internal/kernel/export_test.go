//go:build metal

package kernel

import "github.com/usbarmory/tamago/amd64/lapic"

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
	mach.lapicWrite(icrLow, self|assert|uint64(vector))
}

// InService returns the number of interrupts that the local APIC shows in
// service.
func InService() (n int) {
	for i := uint64(0); i < 8; i++ {
		for v := mach.lapicRead(lapicISR + i*0x10); v != 0; v &= v - 1 {
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
		return [3]uint64{m.lapicRead(lapic.LAPIC_SVR), m.lapicRead(lapic.LAPIC_LVT_TIMER), m.lapicRead(lapicDivide)}
	}
	base := m.lapicBase
	m.lapicWrite(lapic.LAPIC_SVR, spurious)
	m.lapicWrite(lapic.LAPIC_LVT_TIMER, timer)
	m.lapicWrite(lapicDivide, divide)
	found = registers()
	m.openLAPIC()
	m.closeLAPIC()
	m.lapicBase = base
	left = registers()
	m.openLAPIC()
	m.lapicMeasure(m.lapicStart())
	m.armed = 0
	if was {
		enableInterrupts()
	}
	return found, left
}

// LAPICBase returns where the local APIC's registers are mapped.
func LAPICBase() uint64 { return mach.lapicBase }

// PageTables returns the physical address of the page tables' root and the number
// of levels.
func PageTables() (root, levels uint64) { return mach.cr3, mach.levels }

// PrintStuck prints c to a port whose line status reads 0 for ever: the scratch
// register of the first port stands in its place. It reports whether the console
// was given up, and brings it back.
func PrintStuck(c byte) bool {
	const scratch = 7
	port := mach.com1.Base
	out8(port+scratch, 0)
	mach.com1.Base = port + scratch - uartLineStatus
	Printk(c)
	stuck := mach.com1.Base == 0
	mach.com1.Base = port
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
	own := m.zeroPage
	m.zeroPage = zeroPage
	m.pool.reset()
	m.readSetupData()
	m.pool.sum()
	h := m.pool.h
	m.pool.reset()
	m.zeroPage = own
	if was {
		enableInterrupts()
	}
	return h
}

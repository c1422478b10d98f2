package kernel

import "github.com/usbarmory/tamago/amd64/lapic"

// The local APIC gives the timer that ends time slices and sleeps. It is used as
// the old kernel left it, xAPIC or x2APIC; other interrupts that still arrive are
// acknowledged and forgotten. What is changed is put back before the next kernel
// starts, but for the timer's running count.

const (
	msrAPICBase    = 0x1b
	apicEnable     = 1 << 11
	apicX2         = 1 << 10
	apicBaseMask   = 0x000f_ffff_ffff_f000
	x2Base         = 0x800
	lapicISR       = 0x100
	lapicInitCount = 0x380
	lapicCount     = 0x390
	lapicDivide    = 0x3e0
	divideBy1      = 0b1011
	lapicMask      = 0xffff_ffff // of the timer's count
	lvtMasked      = 1 << 16
)

// openLAPIC finds the local APIC, maps it, and enables it with its timer off.
func (m *machine) openLAPIC() {
	if _, _, _, d := cpuid(1, 0); d&(1<<9) == 0 {
		return
	}
	base := rdmsr(msrAPICBase)
	m.lapicSaved.base = base
	if base&apicEnable == 0 {
		base |= apicEnable
		wrmsr(msrAPICBase, base)
	}
	m.lapicBase = base & apicBaseMask
	m.x2apic = base & apicX2
	// The driver takes 32-bit addresses: the registers stand at their own.
	flags := PTEPresent | PTEWrite | pteNoCache | m.noExecute
	if m.x2apic == 0 && (m.lapicBase>>32 != 0 || !m.span(m.lapicBase, m.lapicBase, PageSize, flags, level4K)) {
		m.lapicBase = 0
		wrmsr(msrAPICBase, m.lapicSaved.base)
		return
	}
	m.lapicSaved.spurious = m.lapicRead(lapic.LAPIC_SVR)
	m.lapicSaved.timer = m.lapicRead(lapic.LAPIC_LVT_TIMER)
	m.lapicSaved.divide = m.lapicRead(lapicDivide)
	m.lapicWrite(lapic.LAPIC_LVT_TIMER, lvtMasked|VectorTimer)
	m.lapicWrite(lapic.LAPIC_SVR, 1<<lapic.SVR_ENABLE|VectorSpurious)
	m.lapicWrite(lapicDivide, divideBy1)
	m.acknowledge()
}

func (m *machine) lapicRead(r uint64) uint64 {
	if m.x2apic != 0 {
		return rdmsr(uint32(x2Base + r>>4))
	}
	return uint64(*half(m.lapicBase + r))
}

func (m *machine) lapicWrite(r, v uint64) {
	if m.x2apic != 0 {
		wrmsr(uint32(x2Base+r>>4), v)
		return
	}
	*half(m.lapicBase + r) = uint32(v)
}

// lapicStart lets the timer count down from its highest value, with its interrupt
// masked, and returns a first reading of it.
func (m *machine) lapicStart() reading {
	if m.lapicBase == 0 {
		return reading{}
	}
	m.lapicWrite(lapicInitCount, lapicMask)
	return m.lapicTimer()
}

// lapicTimer reads the timer, which counts down.
func (m *machine) lapicTimer() reading {
	before := tsc()
	count := m.lapicRead(lapicCount)
	return reading{lapicMask - count, before, tsc()}
}

// lapicMeasure finds the timer's frequency from what it counted since first. What
// it counted is set against the longest time that this may have taken, so that
// interrupts come early where something delayed the readings; the best of some
// windows is little too early.
func (m *machine) lapicMeasure(first reading) {
	const enough, part, tries = 20_000, 16, 32 // nanoseconds, of a window
	if m.lapicBase == 0 {
		return
	}
	m.lapicMult = 0
	for range tries {
		for scale(tsc()-first.after, m.tscMult) < enough {
		}
		last := m.lapicTimer()
		if last.count < lapicMask { // else it has run out
			longest := scale(last.after-first.before, m.tscMult)
			m.lapicMult = max(m.lapicMult, ratio((last.count-first.count)&lapicMask<<32, longest))
		}
		if last.unsure()+first.unsure() <= (last.before-first.after)/part {
			break
		}
		first = m.lapicStart()
	}
	m.lapicWrite(lapicInitCount, 0)
	if m.lapicMult == 0 {
		m.closeLAPIC() // it does not count
		return
	}
	m.lapicWrite(lapic.LAPIC_LVT_TIMER, lapic.TIMER_MODE_ONE_SHOT<<lapic.TIMER_MODE|VectorTimer)
}

// SetTimer asks for [VectorTimer] at the given [Nanotime], or at no time for 0.
// The interrupt may come early, and for the deadline at the latest. It reports
// false on a machine without a timer.
func SetTimer(at int64) bool {
	m := mach
	if m.lapicBase == 0 {
		m.late(contextAt(m.current))
		return false
	}
	if last := int64(m.deadline); last != 0 && (at == 0 || at > last) {
		at = last
	}
	if at == int64(m.armed) {
		return true
	}
	m.armed = uint64(at)
	if at == 0 {
		m.lapicWrite(lapicInitCount, 0)
		return true
	}
	const longest = 1_000_000_000
	wait := at - Nanotime()
	wait = min(max(wait, 1), longest)
	m.lapicWrite(lapicInitCount, min(max(scale(uint64(wait), m.lapicMult), 1), lapicMask))
	return true
}

// SleepUntil waits for an interrupt, which comes at the given [Nanotime] at the
// latest. It does not wait on a machine without a timer. Called by the Go program.
func SleepUntil(at int64) {
	disableInterrupts()
	if at > Nanotime() && SetTimer(at) {
		Idle()
	}
	enableInterrupts()
}

// EndOfInterrupt acknowledges the interrupt that is being served. vector is its
// number.
func EndOfInterrupt(vector uint64) {
	m := mach
	if m.ticking != 0 && vector == vectorPIT {
		out8(pic1Command, pic1EOI)
		return
	}
	if m.lapicBase == 0 {
		return
	}
	if vector == VectorSpurious && m.lapicRead(lapicISR+7*0x10)>>31&1 == 0 {
		return // nothing is in service
	}
	if vector == VectorTimer {
		m.armed = 0
	}
	m.lapicWrite(lapic.LAPIC_EOI, 0)
}

// acknowledge ends every interrupt that the local APIC still shows in service.
func (m *machine) acknowledge() {
	for range 256 {
		busy := uint64(0)
		for i := uint64(0); i < 8; i++ {
			busy |= m.lapicRead(lapicISR + i*0x10)
		}
		if busy == 0 {
			return
		}
		m.lapicWrite(lapic.LAPIC_EOI, 0)
	}
}

// closeLAPIC leaves the local APIC as it was found, but with its timer stopped and
// masked and no interrupt in service.
func (m *machine) closeLAPIC() {
	if m.lapicBase == 0 {
		return
	}
	m.lapicWrite(lapicInitCount, 0)
	m.lapicWrite(lapic.LAPIC_LVT_TIMER, m.lapicSaved.timer|lvtMasked)
	m.lapicWrite(lapicDivide, m.lapicSaved.divide)
	m.acknowledge()
	m.lapicWrite(lapic.LAPIC_SVR, m.lapicSaved.spurious)
	if m.lapicSaved.base&apicEnable == 0 {
		wrmsr(msrAPICBase, m.lapicSaved.base)
	}
	m.lapicBase = 0
}

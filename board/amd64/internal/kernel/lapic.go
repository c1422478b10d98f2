package kernel

import driver "github.com/usbarmory/tamago/amd64/lapic"

// The local APIC gives the timer that ends time slices and sleeps. It is used as
// the old kernel left it, xAPIC or x2APIC; other interrupts that still arrive are
// acknowledged and forgotten. What is changed is restored before the next kernel
// starts, except for the timer's count.

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

// lapic is the local APIC.
type lapic struct {
	base  uint64                                         // physical and virtual; 0: none
	x2    uint64                                         // not 0: its registers are MSRs
	mult  uint64                                         // timer ticks = nanoseconds * mult >> 32
	armed uint64                                         // Nanotime for which the timer is set; 0: none
	saved struct{ base, spurious, timer, divide uint64 } // registers as they were found
}

// open finds the local APIC, maps it, and enables it with its timer off.
func (l *lapic) open(t *tables) {
	if _, _, _, d := cpuid(1, 0); d&(1<<9) == 0 {
		return
	}
	base := rdmsr(msrAPICBase)
	l.saved.base = base
	if base&apicEnable == 0 {
		base |= apicEnable
		wrmsr(msrAPICBase, base)
	}
	l.base = base & apicBaseMask
	l.x2 = base & apicX2
	// The driver takes 32-bit addresses: the registers are mapped at their own.
	flags := PTEPresent | PTEWrite | pteNoCache | t.noExecute
	if l.x2 == 0 && (l.base>>32 != 0 || !t.span(l.base, l.base, PageSize, flags, level4K)) {
		l.base = 0
		wrmsr(msrAPICBase, l.saved.base)
		return
	}
	l.saved.spurious = l.read(driver.LAPIC_SVR)
	l.saved.timer = l.read(driver.LAPIC_LVT_TIMER)
	l.saved.divide = l.read(lapicDivide)
	l.write(driver.LAPIC_LVT_TIMER, lvtMasked|VectorTimer)
	l.write(driver.LAPIC_SVR, 1<<driver.SVR_ENABLE|VectorSpurious)
	l.write(lapicDivide, divideBy1)
	l.acknowledge()
}

func (l *lapic) read(r uint64) uint64 {
	if l.x2 != 0 {
		return rdmsr(uint32(x2Base + r>>4))
	}
	return uint64(*half(l.base + r))
}

func (l *lapic) write(r, v uint64) {
	if l.x2 != 0 {
		wrmsr(uint32(x2Base+r>>4), v)
		return
	}
	*half(l.base + r) = uint32(v)
}

// start lets the timer count down from its highest value, with its interrupt
// masked, and returns a first reading of it.
func (l *lapic) start() reading {
	if l.base == 0 {
		return reading{}
	}
	l.write(lapicInitCount, lapicMask)
	return l.timer()
}

// timer reads the timer, which counts down.
func (l *lapic) timer() reading {
	before := tsc()
	count := l.read(lapicCount)
	return reading{lapicMask - count, before, tsc()}
}

// measure finds the timer's frequency from what it counted since first. What
// it counted is set against the longest time that this may have taken, so that
// interrupts come early if something delayed the readings; the best of some
// windows is little too early.
func (l *lapic) measure(first reading, c *clock) {
	const enough, part, tries = 20_000, 16, 32 // nanoseconds, of a window
	if l.base == 0 {
		return
	}
	l.mult = 0
	for range tries {
		for scale(tsc()-first.after, c.mult) < enough {
		}
		last := l.timer()
		if last.count < lapicMask { // else it has run out
			longest := scale(last.after-first.before, c.mult)
			l.mult = max(l.mult, ratio((last.count-first.count)&lapicMask<<32, longest))
		}
		if last.unsure()+first.unsure() <= (last.before-first.after)/part {
			break
		}
		first = l.start()
	}
	l.write(lapicInitCount, 0)
	if l.mult == 0 {
		l.close() // it does not count
		return
	}
	l.write(driver.LAPIC_LVT_TIMER, driver.TIMER_MODE_ONE_SHOT<<driver.TIMER_MODE|VectorTimer)
}

// SetTimer sets [VectorTimer] for the given [Nanotime], or at no time for 0.
// The interrupt may come early, and for the deadline at the latest. It reports
// false on a machine without a timer.
func SetTimer(at int64) bool {
	m := mach
	if m.lapic.base == 0 {
		m.checkDeadline(contextAt(m.traps.current))
		return false
	}
	if last := int64(m.deadline.at); last != 0 && (at == 0 || at > last) {
		at = last
	}
	if at == int64(m.lapic.armed) {
		return true
	}
	m.lapic.arm(at, Nanotime())
	return true
}

// arm sets the timer for the time at, now being the other; 0 stops it.
func (l *lapic) arm(at, now int64) {
	const longest = 1_000_000_000
	l.armed = uint64(at)
	if at == 0 {
		l.write(lapicInitCount, 0)
		return
	}
	wait := min(max(at-now, 1), longest)
	l.write(lapicInitCount, min(max(scale(uint64(wait), l.mult), 1), lapicMask))
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
	if m.deadline.ticking != 0 && vector == vectorPIT {
		out8(pic1Command, pic1EOI)
		return
	}
	m.lapic.end(vector)
}

// end acknowledges an interrupt.
func (l *lapic) end(vector uint64) {
	if l.base == 0 {
		return
	}
	if vector == VectorSpurious && l.read(lapicISR+7*0x10)>>31&1 == 0 {
		return // nothing is in service
	}
	if vector == VectorTimer {
		l.armed = 0
	}
	l.write(driver.LAPIC_EOI, 0)
}

// acknowledge ends every interrupt that the local APIC still shows in service.
func (l *lapic) acknowledge() {
	for range 256 {
		busy := uint64(0)
		for i := uint64(0); i < 8; i++ {
			busy |= l.read(lapicISR + i*0x10)
		}
		if busy == 0 {
			return
		}
		l.write(driver.LAPIC_EOI, 0)
	}
}

// close leaves the local APIC as it was found, but with its timer stopped and
// masked and no interrupt in service.
func (l *lapic) close() {
	if l.base == 0 {
		return
	}
	l.write(lapicInitCount, 0)
	l.write(driver.LAPIC_LVT_TIMER, l.saved.timer|lvtMasked)
	l.write(lapicDivide, l.saved.divide)
	l.acknowledge()
	l.write(driver.LAPIC_SVR, l.saved.spurious)
	if l.saved.base&apicEnable == 0 {
		wrmsr(msrAPICBase, l.saved.base)
	}
	l.base = 0
}

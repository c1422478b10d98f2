package kernel

import (
	"math/bits"
	"sync/atomic"
)

// The clock is the time stamp counter. Its frequency comes from the first of
// these that answers with a plausible one: the hypervisor, CPUID leaves 0x15 and
// 0x16, the interval timer (PIT), the ACPI PM timer. The last two are measured, see
// [gauge]: in a hurry at first, and better when more time has passed anyway.

// clock is the time stamp counter, and how it becomes nanoseconds:
// (tsc - start) * mult >> 32 + base.
type clock struct {
	start, mult, base uint64
	version           uint64 // counts corrections
	source            uint64 // a ClockSource
	gauge             gauge  // what mult was measured by
	refined           uint64 // not 0: it is as good as it will be
}

// ClockSource names the source of the clock's frequency.
type ClockSource uint64

// Sources of the frequency, in the order in which they are tried.
const (
	ClockNone ClockSource = iota // nothing answered: 1 GHz is assumed
	ClockHypervisor
	ClockCPUID
	ClockPIT
	ClockACPI
)

// String names the source.
func (s ClockSource) String() string {
	switch s {
	case ClockHypervisor:
		return "hypervisor"
	case ClockCPUID:
		return "cpuid 0x15"
	case ClockPIT:
		return "pit"
	case ClockACPI:
		return "acpi pm timer"
	}
	return "none, 1 GHz assumed"
}

// Clock returns the frequency of the time stamp counter in Hz and how it is known.
func Clock() (hz uint64, source string) {
	return ratio(1_000_000_000<<32, mach.clock.mult), ClockSource(mach.clock.source).String()
}

const (
	pitHz      = 1193182
	pitCommand = 0x43
	pitChannel = 0x40
	pitMask    = 1<<16 - 1
	pmTimerHz  = 3579545
	pmMask     = 1<<24 - 1

	// A first measurement is good enough within a part of the frequency: 30
	// microseconds on a machine that does nothing else. A refined one is done
	// within another part, and not tried before some time has passed.
	firstPart, refinedPart = 16, 1000
	refineAfter            = 5_000_000 // nanoseconds

	// Readings after which a first measurement ends with what it has: not a time,
	// which a machine that is stopped uses up. A counter whose readings contradict
	// each other so often is none.
	mostReadings, mostRefuted = 50_000, 8
)

// Nanotime returns nanoseconds since the board was set up. It never goes back.
func Nanotime() int64 {
	for {
		// An interrupt may correct the clock between two of these loads.
		version := atomic.LoadUint64(&mach.clock.version)
		now := mach.clock.nanotime(tsc())
		if atomic.LoadUint64(&mach.clock.version) == version {
			return int64(now)
		}
	}
}

func (c *clock) nanotime(t uint64) uint64 {
	return c.base + scale(t-c.start, c.mult)
}

// scale returns n * mult / 2^32.
func scale(n, mult uint64) uint64 {
	hi, lo := bits.Mul64(n, mult)
	return hi<<32 | lo>>32
}

// EntryTSC returns the time stamp counter at the image's first instructions.
func EntryTSC() uint64 { return mach.image.entryTSC }

// ratio returns n / d, or n if d is 0: kernel code has no way to panic.
func ratio(n, d uint64) uint64 {
	if d == 0 {
		return n
	}
	return n / d
}

// TSC returns the time stamp counter.
func TSC() uint64 { return tsc() }

// setFrequency makes the clock go on from now with a new frequency.
func (c *clock) setFrequency(hz uint64, source ClockSource) {
	now := tsc()
	if c.mult != 0 {
		c.base = c.nanotime(now)
	}
	c.start = now
	c.mult = ratio(1_000_000_000<<32, hz)
	c.source = uint64(source)
	c.version++
}

// calibrate finds the frequency of the time stamp counter and of the LAPIC
// timer.
func (m *machine) calibrate() {
	first := m.lapic.start()
	var hz uint64
	source := ClockNone
	if hz = hypervisorHz(); hz != 0 {
		source = ClockHypervisor
	} else if hz = cpuidHz(); hz != 0 {
		source = ClockCPUID
	} else if hz = m.clock.pitMeasure(); hz != 0 {
		source = ClockPIT
	} else if hz = m.clock.pmTimerMeasure(m.pmTimerPort()); hz != 0 {
		source = ClockACPI
	} else {
		hz = 1_000_000_000
	}
	m.clock.setFrequency(hz, source)
	m.lapic.measure(first, &m.clock)
}

// hypervisorHz reads leaf 0x40000010, which VMware defined and KVM took over.
func hypervisorHz() uint64 {
	if _, _, c, _ := cpuid(1, 0); c&(1<<31) == 0 {
		return 0
	}
	if top, _, _, _ := cpuid(0x4000_0000, 0); top < 0x4000_0010 || top > 0x4000_ffff {
		return 0
	}
	khz, _, _, _ := cpuid(0x4000_0010, 0)
	return plausible(uint64(khz) * 1000)
}

// cpuidHz reads leaves 0x15 and 0x16.
func cpuidHz() uint64 {
	top, _, _, _ := cpuid(0, 0)
	if top < 0x15 {
		return 0
	}
	base := uint32(0)
	if top >= 0x16 {
		base, _, _, _ = cpuid(0x16, 0)
	}
	denominator, numerator, crystal, _ := cpuid(0x15, 0)
	return declared(denominator, numerator, crystal, base)
}

// startPITCounter lets channel 0 run freely, from 65536 on.
func startPITCounter() {
	out8(pitCommand, 0x34) // low byte then high byte, mode 2
	out8(pitChannel, 0)
	out8(pitChannel, 0)
}

// pitRead latches channel 0, which counts down, and returns its count.
func pitRead() reading {
	before := tsc()
	out8(pitCommand, 0)
	after := tsc()
	count := uint64(in8(pitChannel))
	count |= uint64(in8(pitChannel)) << 8
	return reading{-count & pitMask, before, after}
}

// pitMeasure measures by the interval timer, which it sets to run freely, 0 if that
// has stopped or is missing.
func (c *clock) pitMeasure() uint64 {
	startPITCounter()
	c.gauge.start(pitHz, pitMask)
	for !c.gauge.enough() {
		c.gauge.take(pitRead())
	}
	return c.gauge.middle()
}

// pmTimerMeasure measures by the PM timer at a port, 0 if there is none.
func (c *clock) pmTimerMeasure(port uint16) uint64 {
	if port == 0 {
		return 0
	}
	c.gauge.start(pmTimerHz, pmMask)
	for !c.gauge.enough() {
		c.gauge.take(pmTimerRead(port))
	}
	return c.gauge.middle()
}

// pmTimerRead reads the PM timer, which counts up.
func pmTimerRead(port uint16) reading {
	before := tsc()
	count := uint64(in32(port))
	return reading{count & pmMask, before, tsc()}
}

// Refine corrects a clock that was measured in a hurry. It reports false until
// enough time has passed since, and for a clock that is as good as it will be.
// Kernel code calls it when it is idle or interrupted anyway.
func Refine() bool {
	c := &mach.clock
	g := &c.gauge
	if c.source != uint64(ClockPIT) || c.refined != 0 || scale(tsc()-g.base.after, c.mult) < refineAfter {
		return false
	}
	if g.take(pitRead()); !g.within(refinedPart) {
		return false
	}
	c.setFrequency(g.middle(), ClockPIT)
	c.refined = 1
	return true
}

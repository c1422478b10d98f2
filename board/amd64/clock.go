package amd64

import (
	"math/bits"
	"sync/atomic"
)

// The clock is the time stamp counter. Its frequency comes from the first of
// these that answers: the hypervisor, CPUID leaf 0x15, the interval timer (PIT),
// the ACPI PM timer.

// ClockSource names where the clock's frequency came from.
type ClockSource uint64

// Sources of the frequency, in the order in which they are asked.
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
func Clock() (hz uint64, source ClockSource) {
	return ratio(1_000_000_000<<32, mach.tscMult), ClockSource(mach.tscSource)
}

const (
	pitHz      = 1193182
	pitCommand = 0x43
	pitChannel = 0x40
	pmTimerHz  = 3579545

	// Time spent on a first measurement, in PIT ticks of 838 ns; it is refined
	// when more time has passed anyway.
	pitTicks = 40
	// Spans over which the refinement is worth it, and before the 16-bit counter
	// may have wrapped.
	refineMin, refineMax = pitHz / 200, pitHz / 25
)

// Nanotime returns nanoseconds since the board was set up. It never goes back.
func Nanotime() int64 {
	for {
		// An interrupt may correct the clock between two of these loads.
		version := atomic.LoadUint64(&mach.clockVersion)
		now := mach.nanotime(tsc())
		if atomic.LoadUint64(&mach.clockVersion) == version {
			return int64(now)
		}
	}
}

func (m *machine) nanotime(t uint64) uint64 {
	return m.nanoBase + scale(t-m.tscStart, m.tscMult)
}

// scale returns n * mult / 2^32.
func scale(n, mult uint64) uint64 {
	hi, lo := bits.Mul64(n, mult)
	return hi<<32 | lo>>32
}

// EntryTSC returns the time stamp counter at the image's first instructions.
func EntryTSC() uint64 { return mach.entryTSC }

// ratio returns n / d, or n where d is 0: kernel code has no way to panic.
func ratio(n, d uint64) uint64 {
	if d == 0 {
		return n
	}
	return n / d
}

// TSC returns the time stamp counter.
func TSC() uint64 { return tsc() }

// setFrequency makes the clock go on from now with a new frequency.
func (m *machine) setFrequency(hz uint64, source ClockSource) {
	now := tsc()
	if m.tscMult != 0 {
		m.nanoBase = m.nanotime(now)
	}
	m.tscStart = now
	m.tscMult = ratio(1_000_000_000<<32, hz)
	m.tscSource = uint64(source)
	m.clockVersion++
}

// calibrate finds the frequency of the time stamp counter and of the LAPIC
// timer.
func (m *machine) calibrate() {
	lapic0, tsc0 := m.lapicStart(), tsc()
	var hz uint64
	source := ClockNone
	if hz = hypervisorHz(); hz != 0 {
		source = ClockHypervisor
	} else if hz = cpuidHz(); hz != 0 {
		source = ClockCPUID
	} else if hz = m.pitMeasure(); hz != 0 {
		source = ClockPIT
	} else if hz = m.pmTimerMeasure(); hz != 0 {
		source = ClockACPI
	} else {
		hz = 1_000_000_000
	}
	m.setFrequency(hz, source)
	m.lapicMeasure(lapic0, tsc0)
}

// hypervisorHz asks leaf 0x40000010, which VMware defined and KVM took over.
func hypervisorHz() uint64 {
	if _, _, c, _ := cpuid(1, 0); c&(1<<31) == 0 {
		return 0
	}
	if top, _, _, _ := cpuid(0x4000_0000, 0); top < 0x4000_0010 || top > 0x4000_ffff {
		return 0
	}
	khz, _, _, _ := cpuid(0x4000_0010, 0)
	return uint64(khz) * 1000
}

// cpuidHz asks leaf 0x15: crystal frequency and ratio.
func cpuidHz() uint64 {
	if top, _, _, _ := cpuid(0, 0); top < 0x15 {
		return 0
	}
	den, num, crystal, _ := cpuid(0x15, 0)
	if den == 0 || num == 0 || crystal == 0 {
		return 0
	}
	return uint64(crystal) * uint64(num) / uint64(den)
}

// startPITCounter lets channel 0 run freely, from 65536 on.
func startPITCounter() {
	out8(pitCommand, 0x34) // low byte then high byte, mode 2
	out8(pitChannel, 0)
	out8(pitChannel, 0)
}

// pitRead latches channel 0 and returns its count together with the time stamp
// of the latch.
func pitRead() (count uint16, t uint64) {
	before := tsc()
	out8(pitCommand, 0)
	after := tsc()
	lo := in8(pitChannel)
	hi := in8(pitChannel)
	return uint16(lo) | uint16(hi)<<8, before + (after-before)/2
}

// pitMeasure counts time stamps over some ticks of the interval timer, which it
// sets to run freely. It returns 0 where the timer stands still or is missing.
func (m *machine) pitMeasure() uint64 {
	startPITCounter()
	start, t0 := pitRead()
	for range 100_000 {
		count, t := pitRead()
		ticks := start - count // counts down, modulo 2^16
		if ticks > refineMax {
			return 0 // not a counter
		}
		if ticks >= pitTicks {
			m.pitStart, m.pitTSC = uint64(start), t0
			return (t - t0) * pitHz / uint64(ticks)
		}
		if t-t0 > 100_000_000 {
			return 0
		}
	}
	return 0
}

// Refine corrects a clock that was measured in a hurry. It reports false until
// enough time has passed since, and for a clock that is as good as it will be.
// Kernel code calls it when it is idle or interrupted anyway.
func Refine() bool {
	m := mach
	if m.pitTSC == 0 {
		return false
	}
	count, t := pitRead()
	elapsed := scale(t-m.pitTSC, m.tscMult)
	ticks := uint64(uint16(m.pitStart) - count)
	if elapsed > 1_000_000_000/25 {
		m.pitTSC = 0 // the counter may have wrapped: keep what there is
		return false
	}
	if ticks < refineMin {
		return false
	}
	hz := ratio((t-m.pitTSC)*pitHz, ticks)
	m.pitTSC = 0
	m.setFrequency(hz, ClockPIT)
	return true
}

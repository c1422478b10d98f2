package kernel

// The time stamp counter is measured by a slow counter of known frequency. The
// processor may lose time at any instruction of it, to a hypervisor that runs
// another guest or to the firmware, so that a time stamp taken beside a read says
// nothing for certain. What does is a pair of them: the counter was read after the
// one and before the other. Two such readings bound the frequency from both sides,
// whatever was lost in between; several of them do so more closely, because the
// truth is within all of the bounds. This file is arithmetic, for tests on a host.

// reading is what a counter, counting upwards, showed at some moment between two
// time stamps.
type reading struct{ count, before, after uint64 }

// unsure returns how many time stamps the moment is not known by.
func (r reading) unsure() uint64 { return r.after - r.before }

// Frequencies of a time stamp counter that are plausible, in Hz.
const (
	leastHz = 100_000_000
	mostHz  = 10_000_000_000
)

// plausible returns hz, or 0 if no time stamp counter runs at that.
func plausible(hz uint64) uint64 {
	if hz < leastHz || hz > mostHz {
		return 0
	}
	return hz
}

// gauge is the measurement of the time stamp counter by another counter.
type gauge struct {
	hz, mask uint64 // of the other counter: its frequency, and its highest value
	low      uint64 // the time stamp counter has at least this many Hz
	high     uint64 // and at most this many
	base     reading
	readings uint64
	refuted  uint64 // how often they did not agree with each other
}

// start begins a measurement by a counter of hz that wraps after mask.
func (g *gauge) start(hz, mask uint64) {
	*g = gauge{hz: hz, mask: mask, low: leastHz, high: mostHz}
}

// take learns from one more reading.
func (g *gauge) take(r reading) {
	g.readings++
	if g.base.after == 0 || g.wrapped(r) {
		g.base = r
		return
	}
	g.window(r)
	if g.low > g.high { // once, if the counter had not begun to count
		g.refuted++
		g.low, g.high, g.base = leastHz, mostHz, r
	} else if r.unsure() < g.base.unsure()/2 {
		g.base = r // windows that begin here are narrower
	}
}

// wrapped reports whether the counter may have come around since the base, as fast
// as the time stamp counter may be slow.
func (g *gauge) wrapped(r reading) bool {
	return r.after-g.base.before >= g.mask*ratio(g.low, g.hz)
}

// window narrows the bounds by what the counter did since the base. A count of n
// took more than n-1 of its periods and less than n+1.
func (g *gauge) window(r reading) {
	ticks := (r.count - g.base.count) & g.mask
	if r.before > g.base.after {
		g.low = max(g.low, ratio((r.before-g.base.after)*g.hz, ticks+1))
	}
	if ticks > 1 {
		g.high = min(g.high, ratio((r.after-g.base.before)*g.hz, ticks-1)+1)
	}
}

// enough reports whether a first measurement is over: it is good enough, takes too
// long, or is one of something that does not count.
func (g *gauge) enough() bool {
	return g.within(firstPart) || g.readings >= mostReadings || g.refuted >= mostRefuted
}

// within reports whether the bounds are apart by at most a part of the frequency.
// An upper bound that nothing was learned about is none.
func (g *gauge) within(part uint64) bool {
	return g.high < mostHz && g.low <= g.high && g.high-g.low <= ratio(g.low, part)
}

// middle returns the frequency in the middle of the bounds, 0 if they are too far
// apart to say.
func (g *gauge) middle() uint64 {
	if !g.within(1) {
		return 0
	}
	return g.low + (g.high-g.low)/2
}

// declared returns the frequency that CPUID leaves 0x15 and 0x16 declare: the
// crystal's times a ratio, or the base frequency of a processor that does not name
// its crystal, as Linux has it. 0 is that they declare none.
func declared(denominator, numerator, crystalHz, baseMHz uint32) uint64 {
	if denominator == 0 || numerator == 0 {
		return 0
	}
	if crystalHz == 0 {
		return plausible(uint64(baseMHz&0xffff) * 1_000_000)
	}
	return plausible(uint64(crystalHz) * uint64(numerator) / uint64(denominator))
}

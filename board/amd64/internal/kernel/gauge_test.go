//go:build !metal

package kernel

import (
	"math/rand/v2"
	"testing"
)

// busyMachine is a machine whose processor is taken away at any instruction.
type busyMachine struct {
	random   *rand.Rand
	now      float64 // seconds
	tscHz    float64
	hz, mask uint64  // of the counter
	each     float64 // seconds for an instruction, a port's
	pause    float64 // seconds at most, for most of them much less
	odds     float64 // of a pause at an instruction
}

// instruction lets the time of one pass, and now and then a pause.
func (m *busyMachine) instruction() {
	m.now += m.each
	if m.random.Float64() < m.odds {
		x := m.random.Float64()
		m.now += m.pause * x * x * x
	}
}

func (m *busyMachine) tsc() uint64 {
	m.instruction()
	return 1<<40 + uint64(m.now*m.tscHz)
}

// read does as pitRead does.
func (m *busyMachine) read() (r reading) {
	r.before = m.tsc()
	m.instruction()
	r.count = (0xfffe + uint64(m.now*float64(m.hz))) & m.mask
	r.after = m.tsc()
	m.instruction()
	m.instruction()
	return r
}

// measure does as pitMeasure does, and refine as Refine when it is called n times.
func (m *busyMachine) measure(g *gauge) {
	g.start(m.hz, m.mask)
	for !g.enough() {
		g.take(m.read())
	}
}

func (m *busyMachine) refine(g *gauge, n int) {
	for range n {
		m.now += m.random.Float64() * 80e-3
		if g.take(m.read()); g.within(refinedPart) {
			return
		}
	}
}

// TestALateReadDoesNotShiftTheClock: wherever the processor is taken away while the
// interval timer or the PM timer is read, the frequency is within the bounds, and
// close to their middle.
func TestALateReadDoesNotShiftTheClock(t *testing.T) {
	for _, c := range []struct {
		name              string
		hz, mask          uint64
		each, pause, odds float64
		closely           float64 // part by which a first measurement may be off
	}{
		{"a quiet machine", pitHz, pitMask, 1e-6, 0, 0, 0.5 / firstPart},
		{"a quick machine", pitHz, pitMask, 10e-9, 0, 0, 0.5 / firstPart},
		{"a busy emulator", pitHz, pitMask, 1e-6, 8e-3, 0.02, 0.5 / firstPart},
		{"a stopped machine", pitHz, pitMask, 1e-6, 0.4, 0.005, 0.5 / firstPart},
		{"hardly a machine", pitHz, pitMask, 1e-6, 1e-3, 0.3, 0.35},
		{"a busy emulator without an interval timer", pmTimerHz, pmMask, 1e-6, 8e-3, 0.02, 0.5 / firstPart},
	} {
		t.Run(c.name, func(t *testing.T) {
			refined := 0
			const starts = 3000
			for seed := range uint64(starts) {
				for _, hz := range []float64{150e6, 1e9, 2445e6, 6e9} {
					m := &busyMachine{rand.New(rand.NewPCG(seed, 1)), 1, hz, c.hz, c.mask, c.each, c.pause, c.odds}
					var g gauge
					m.measure(&g)
					if off := float64(g.middle())/hz - 1; off > c.closely || off < -c.closely {
						t.Fatalf("seed %d: %.0f MHz were measured as %d, between %d and %d", seed, hz/1e6, g.middle()/1e6, g.low/1e6, g.high/1e6)
					}
					m.refine(&g, 50)
					if float64(g.low) > hz || float64(g.high) < hz {
						t.Fatalf("seed %d: %.0f Hz are not between %d and %d", seed, hz, g.low, g.high)
					}
					if g.within(refinedPart) {
						refined++
					}
				}
			}
			if refined < starts*4*9/10 {
				t.Errorf("of %d clocks %d were refined", starts*4, refined)
			}
		})
	}
}

// TestABadStartCostsLittle: the first reading takes its time, or the counter shows
// what it held before it was set.
func TestABadStartCostsLittle(t *testing.T) {
	const hz, ms = 2445e6, 2445e3
	for name, first := range map[string]func(r *reading){
		"a reading of 1 ms":      func(r *reading) { r.before -= ms },
		"a reading of 8 ms":      func(r *reading) { r.before -= 8 * ms },
		"a count of its own":     func(r *reading) { r.count = 0x1234 },
		"a count a little ahead": func(r *reading) { r.count += 90 },
	} {
		m := &busyMachine{rand.New(rand.NewPCG(1, 1)), 1, hz, pitHz, pitMask, 1e-6, 0, 0}
		var g gauge
		g.start(pitHz, pitMask)
		r := m.read()
		first(&r)
		g.take(r)
		for !g.enough() {
			g.take(m.read())
		}
		if off := float64(g.middle())/hz - 1; off > 0.5/firstPart || off < -0.5/firstPart || g.readings > 60 {
			t.Errorf("%s: %d MHz after %d readings", name, g.middle()/1e6, g.readings)
		}
	}
}

// TestAHopelessMeasurementEnds: each instruction takes longer than the counter takes
// to come around.
func TestAHopelessMeasurementEnds(t *testing.T) {
	m := &busyMachine{rand.New(rand.NewPCG(1, 1)), 1, 2445e6, pitHz, pitMask, 70e-3, 0, 0}
	var g gauge
	g.start(pitHz, pitMask)
	for !g.enough() {
		g.take(m.read())
	}
	if g.middle() != 0 || g.readings > mostReadings {
		t.Errorf("%d MHz after %d readings", g.middle()/1e6, g.readings)
	}
}

// TestNoFrequencyComesFromACounterThatIsNone: one that is missing, has stopped, or
// counts something else.
func TestNoFrequencyComesFromACounterThatIsNone(t *testing.T) {
	for name, count := range map[string]func(us uint64) uint64{
		"missing":                     func(uint64) uint64 { return 1 },
		"of another frequency":        func(us uint64) uint64 { return us / 60 },
		"faster than time":            func(us uint64) uint64 { return us * 250 },
		"counting by fits and starts": func(us uint64) uint64 { return us / 1000 * 1193 },
		"noise":                       func(us uint64) uint64 { return us * 2654435761 >> 7 },
	} {
		for _, every := range []uint64{100, 2445, 7335, 97_800} { // time stamps
			const perMicrosecond = 2445
			var g gauge
			g.start(pitHz, pitMask)
			for at := uint64(0); !g.enough(); at += every {
				g.take(reading{count(at/perMicrosecond) & pitMask, 1<<40 + at, 1<<40 + at + 90})
			}
			if hz := g.middle(); hz != 0 || name == "missing" && g.readings > 1000 {
				t.Errorf("a counter that is %s, read every %d stamps: %d MHz after %d readings", name, every, hz/1e6, g.readings)
			}
		}
	}
}

func TestDeclaredFrequencies(t *testing.T) {
	for _, c := range []struct {
		name                                  string
		denominator, numerator, crystal, base uint32
		want                                  uint64
	}{
		{"crystal and ratio", 2, 188, 38_400_000, 0, 3_609_600_000},
		{"beyond 32 bits on the way", 3, 450, 25_000_000, 0, 3_750_000_000},
		{"no crystal named", 2, 216, 0, 2600, 2_600_000_000},
		{"reserved bits of the base", 2, 216, 0, 0xabcd_0a28, 2_600_000_000},
		{"no crystal and no base", 2, 216, 0, 0, 0},
		{"no ratio", 0, 0, 24_000_000, 2600, 0},
		{"half a ratio", 2, 0, 24_000_000, 2600, 0},
		{"too slow", 2, 4, 24_000_000, 0, 0},
		{"too fast", 1, 600, 24_000_000, 0, 0},
	} {
		if hz := declared(c.denominator, c.numerator, c.crystal, c.base); hz != c.want {
			t.Errorf("%s: %d Hz, want %d", c.name, hz, c.want)
		}
	}
}

package main

import (
	"bytes"
	"fmt"
	"math"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
)

// cost is what one crossing took, read off its console log. Ticks are those of
// the time stamp counter: with -icount, instructions.
type cost struct {
	entered uint64 // tick of the stage's first instructions
	main    uint64 // ticks from there to main
	end     uint64 // ticks from there to the jump
	next    uint64 // tick of the next kernel's first instructions
	mhz     float64
	memory  uint64 // peak of the stage, in KiB
	inMain  uint64 // memory of the stage when main starts, in KiB
	steps   []step
}

// step is a part of the crossing as the stage reports it.
type step struct {
	name string
	ms   float64
}

// parse reads a console log. An error names what the log lacks.
func parse(log string) (c cost, err error) {
	var source string
	var total uint64
	lines := []struct {
		format string
		into   []any
		found  bool
	}{
		{format: "ferry: entered at tick %d, %d ticks to main, %d to here, %f MHz by %s", into: []any{&c.entered, &c.main, &c.end, &c.mhz, &source}},
		{format: "ferry: memory used %d KiB of %d KiB, %d KiB in main", into: []any{&c.memory, &total, &c.inMain}},
		{format: "probe B: entered at tick %d", into: []any{&c.next}},
		{format: "probe B: PASSED"},
	}
	for l := range strings.Lines(log) {
		l = strings.TrimRight(l, "\r\n")
		for i := range lines {
			if w := &lines[i]; !w.found {
				n, _ := fmt.Sscanf(l, w.format, w.into...)
				w.found = n > 0 && n == len(w.into) || strings.HasPrefix(l, w.format)
			}
		}
		var s step
		if n, err := fmt.Sscanf(l, "ferry: %s %f ms", &s.name, &s.ms); n == 2 && err == nil {
			c.steps = append(c.steps, s)
		}
	}
	for _, w := range lines {
		if !w.found {
			return c, fmt.Errorf("no line %q in the log:\n%s", w.format, log)
		}
	}
	return c, nil
}

// ticks returns those of a step, to a thousand or so: the stage rounds its times
// to microseconds.
func (c cost) ticks(name string) float64 {
	for _, s := range c.steps {
		if s.name == name {
			return s.ms * c.mhz * 1e3
		}
	}
	return 0
}

// whole is from the first instruction of the stage to the first of the next
// kernel, all included: reading, writing, the report on the console, page tables.
func (c cost) whole() float64 { return float64(c.next - c.entered) }

// crossing is whole without what takes as long as the payload is large: to compare
// its parts with their digests, and to place the next kernel, or the one that
// follows a failure, which is a copy.
func (c cost) crossing() float64 { return c.whole() - c.placing() - c.digests() }

func (c cost) placing() float64 { return c.ticks("fallback") + c.ticks("place") }
func (c cost) digests() float64 { return c.ticks("digests") }

// digestBound is how many instructions a byte may take to compare it with its
// digest. QEMU's processor has AVX2, with which it takes 31, and since QEMU 8.2 SHA
// instructions, with which it takes less; more than 40 is that something was hashed
// twice, or by neither.
const digestBound = 40

// print shows where the instructions went.
func (c cost) print() {
	fmt.Printf("%-46s %20s\n", "1 session with 1 file, part by part", "instructions")
	line := func(name string, v float64) { fmt.Printf("  %-44s %20.0f\n", name, v) }
	line("entry to main", float64(c.main))
	told := float64(c.main)
	for _, s := range c.steps {
		if s.name != "total" {
			line(s.name, c.ticks(s.name))
			told += c.ticks(s.name)
		}
	}
	line("report on the console", float64(c.end)-told)
	line("page tables for the next kernel, jump", c.whole()-float64(c.end))
	line("all", c.whole())
}

// runs is how often a crossing is run; the cheapest counts. The Go runtime starts
// its heap at a random address; now and then one lies across a border that costs
// some more pages.
const runs = 3

// cross runs a crossing with one instruction a nanosecond.
func cross(build, words string, settings ...string) (least cost, err error) {
	for i := range runs {
		c, err := crossOnce(build, words, settings...)
		if err != nil {
			return c, err
		}
		if i == 0 || c.crossing() < least.crossing() {
			least = c
		}
	}
	return least, nil
}

func crossOnce(build, words string, settings ...string) (cost, error) {
	cmd := exec.Command("./qemu.sh", filepath.Join(build, "probe.bzimage"))
	cmd.Env = append(os.Environ(), "ICOUNT=1", "INITRD="+filepath.Join(build, "probe.cpio"), "APPEND="+words)
	cmd.Env = append(cmd.Env, settings...)
	var out bytes.Buffer
	cmd.Stdout, cmd.Stderr = &out, &out
	if err := cmd.Run(); err != nil {
		return cost{}, fmt.Errorf("crossing with %q: %w\n%s", words, err, &out)
	}
	c, err := parse(out.String())
	if err == nil && math.Abs(c.mhz-1000) > 10 {
		err = fmt.Errorf("the time stamp counter runs at %.3f MHz of guest time, want 1000: ticks are no instructions", c.mhz)
	}
	return c, err
}

// large makes QEMU set no memory aside for RAM that the guest does not touch.
var large = []string{"MEM=10G", "QEMU_ARGS=-object memory-backend-ram,id=ram,size=10G,reserve=off -machine memory-backend=ram"}

// onMetal measures the crossings. It also returns the one with one session and
// one file.
func onMetal(build string) (all []figure, one cost, err error) {
	image, err := os.Stat(filepath.Join(build, "ferry.bzimage"))
	if err != nil {
		return nil, one, err
	}
	kernel, err := os.Stat(filepath.Join(build, "probe.bzimage")) // all that the payload holds
	if err != nil {
		return nil, one, err
	}
	size := float64(kernel.Size())
	var empty, blocks, small, big cost
	for _, r := range []struct {
		into     *cost
		words    string
		settings []string
	}{
		{&empty, "probe.sessions=0 probe.files=0", nil},
		{&one, "probe.sessions=1 probe.files=1", nil},
		{&blocks, "probe.sessions=510000 probe.files=0", nil},
		{&small, "probe.sessions=3 probe.files=5 probe.regions=8 probe.order=11", large},
		{&big, "probe.sessions=3 probe.files=5 probe.regions=8 probe.order=18", large},
	} {
		if *r.into, err = cross(build, r.words, r.settings...); err != nil {
			return nil, one, err
		}
	}
	differs := func(a, b float64) float64 { return math.Abs(b-a) / a }
	return []figure{
		{name: "image", bound: 3e6, value: float64(image.Size()), unit: megabytes},
		{name: "entry to main", bound: 1.2e6, value: float64(one.main), unit: instructions},
		{name: "empty crossing, entry to entry", bound: 2.5e6, value: empty.crossing(), unit: instructions, note: "less " + place(empty)},
		{name: "1 session with 1 file, entry to entry", bound: 4e6, value: one.crossing(), unit: instructions, note: "less " + place(one)},
		{name: "digests of the parts", bound: digestBound * size, value: one.digests(), unit: instructions,
			note: fmt.Sprintf("%.1f a byte of %s", one.digests()/size, megabytes.format(size))},
		{name: "510,000 sessions (10,000 blocks)", value: blocks.crossing(), unit: instructions, note: "less " + place(blocks)},
		{name: "  peak of the stage's memory", bound: 32 << 20, value: float64(blocks.memory << 10), unit: mebibytes},
		{name: "64 MiB or 8 GiB preserved, instructions differ", bound: 0.02, value: differs(small.crossing(), big.crossing()), unit: percent},
		{name: "  peaks of the stage's memory differ", bound: 0.02, value: differs(float64(small.memory), float64(big.memory)), unit: percent},
	}, one, nil
}

// place tells what is not counted.
func place(c cost) string {
	return fmt.Sprintf("%s to place the kernel and %s for digests", instructions.format(c.placing()), instructions.format(c.digests()))
}

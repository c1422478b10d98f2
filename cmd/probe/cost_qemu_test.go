//go:build qemu

package main

import (
	"fmt"
	"math"
	"strings"
	"testing"
)

// cost is what a crossing took: instructions from Ferry's first to the next
// kernel's, but for those of the payload's digests, which are many and have nothing
// to do with the handover, and the peak of the stage's memory in KiB.
type cost struct{ instructions, memory float64 }

// costOf runs a crossing in which each instruction is one tick.
func costOf(t *testing.T, words string, settings ...string) (c cost) {
	t.Helper()
	log, code := cross(t, words, append(settings, "ICOUNT=1")...)
	var from, to, digests float64 // milliseconds, of a million instructions each
	for line := range strings.Lines(log) {
		fmt.Sscanf(line, "ferry: entered at tick %f", &from)
		fmt.Sscanf(line, "probe B: entered at tick %f", &to)
		fmt.Sscanf(line, "ferry: digests %f ms", &digests)
		fmt.Sscanf(line, "ferry: memory used %f KiB", &c.memory)
	}
	c.instructions = to - from - digests*1e6
	if code != 0 || from == 0 || digests == 0 || c.instructions <= 0 || c.memory == 0 {
		t.Fatalf("exit code %d, ticks %.0f to %.0f, %.0f KiB:\n%s", code, from, to, c.memory, log)
	}
	return c
}

// leastOf runs a crossing five times and returns the least that it took. The Go
// runtime starts its heap at a random address; now and then one lies across a
// border that costs some more pages.
func leastOf(t *testing.T, words string, settings ...string) (c cost) {
	t.Helper()
	c = cost{math.Inf(1), math.Inf(1)}
	for range 5 {
		r := costOf(t, words, settings...)
		c = cost{min(c.instructions, r.instructions), min(c.memory, r.memory)}
	}
	return c
}

// largeRAM is more RAM than the host may have: QEMU sets nothing aside for what is
// not touched.
var largeRAM = []string{"MEM=10G", "QEMU_ARGS=-object memory-backend-ram,id=ram,size=10G,reserve=off -machine memory-backend=ram"}

// TestCostIsThatOfTheEntries holds two crossings with the same entries against
// each other: 64 MiB preserved, and 8 GiB.
func TestCostIsThatOfTheEntries(t *testing.T) {
	const words = "probe.sessions=3 probe.files=5 probe.regions=8 probe.order="
	small, large := leastOf(t, words+"11", largeRAM...), leastOf(t, words+"18", largeRAM...)
	t.Logf("64 MiB: %.0f instructions, %.0f KiB; 8 GiB: %.0f, %.0f", small.instructions, small.memory, large.instructions, large.memory)
	for _, d := range []struct {
		what         string
		small, large float64
	}{
		{"instructions", small.instructions, large.instructions},
		{"KiB", small.memory, large.memory},
	} {
		if math.Abs(d.large-d.small) > 0.02*d.small {
			t.Errorf("%.0f %s for 64 MiB, %.0f for 8 GiB: more than 2%% apart", d.small, d.what, d.large)
		}
	}
}

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

// largeRAM is more RAM than the host may have: QEMU sets nothing aside for what is
// not touched.
var largeRAM = []string{"MEM=10G", "QEMU_ARGS=-object memory-backend-ram,id=ram,size=10G,reserve=off -machine memory-backend=ram"}

// TestCostIsThatOfTheEntries compares two crossings with the same entries: 64 MiB
// preserved, and 8 GiB. The Go runtime starts its heap at a random address; now and
// then one lies across a border that costs some more pages, so that the least of up
// to five runs counts.
func TestCostIsThatOfTheEntries(t *testing.T) {
	const words = "probe.sessions=3 probe.files=5 probe.regions=8 probe.order="
	least := func(a, b cost) cost { return cost{min(a.instructions, b.instructions), min(a.memory, b.memory)} }
	small := cost{math.Inf(1), math.Inf(1)}
	large := small
	near := func(a, b float64) bool { return math.Abs(b-a) <= 0.02*a }
	for range 5 {
		small, large = least(small, costOf(t, words+"11", largeRAM...)), least(large, costOf(t, words+"18", largeRAM...))
		if near(small.instructions, large.instructions) && near(small.memory, large.memory) {
			t.Logf("64 MiB: %.0f instructions, %.0f KiB; 8 GiB: %.0f, %.0f", small.instructions, small.memory, large.instructions, large.memory)
			return
		}
	}
	t.Errorf("64 MiB: %.0f instructions, %.0f KiB; 8 GiB: %.0f, %.0f: want them less than 2%% apart", small.instructions, small.memory, large.instructions, large.memory)
}

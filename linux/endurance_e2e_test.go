//go:build linux_e2e

package linux

import (
	"flag"
	"fmt"
	"math"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"ferry/internal/report"
	"ferry/linux/workload"
)

var (
	reliability = flag.String("page", "", "document to write the results of attacks into: docs/reliability.md")
	rounds      = flag.Int("rounds", 10, "crossings of TestEndurance")
)

// written writes a section of the document, where one is named and nothing failed.
func written(t *testing.T, section, head string, table report.Table) {
	t.Helper()
	text := strings.TrimSpace(head) + "\n\n" + table.String()
	t.Log(text)
	if *reliability == "" || t.Failed() {
		return
	}
	if err := report.Page(*reliability).Write(section, text); err != nil {
		t.Error(err)
	}
}

// readings are numbers that must not drift from crossing to crossing, and where the
// console has them: numbers after the text in the first line that has it. Linux takes
// larger folios for the same files at one time than at another, so what it preserves
// is not the same each time; what Ferry adds to it is.
var readings = []struct {
	name, text string
	column     int // of the numbers after the text, -1 for the second less the first
	slack      int // between the mean of the first half and that of the second
}{
	{"blocks that Linux preserves", "ferry: preserved blocks", 0, 20},
	{"blocks that Ferry adds to them", "ferry: preserved blocks", -1, 0},
	{"pages of Linux's map", "ferry: map nodes", 0, 3},
	{"pages that Ferry's map has more", "ferry: map nodes", -1, 1}, // the pool may lie where there is no leaf
	{"scratch that the next kernel has, MiB", "the next kernel has ", 0, 2},
	{"blocks of sessions that Ferry writes", "ferry: session blocks", 1, 0},
	{"blocks of files that Ferry writes", "ferry: file blocks", 1, 0},
	{"memory that the stage used, KiB", "ferry: memory used", 0, 64},
	{"start of the stage in scratch, MiB", "ferry: stage at ", 0, 0},
	{"memory that the next kernel has, KiB", "Memory: ", 1, 0},
	{"of that available at its start, KiB", "Memory: ", 0, 2048},
}

// TestEndurance goes through Ferry many times in one boot: what is preserved, the
// map, the stage's memory and what is left to the kernels stay what they were.
func TestEndurance(t *testing.T) {
	t.Parallel()
	vm := smallest
	vm.Timeout = time.Duration(*rounds) * 40 * time.Second
	r := Run{Route: same(t, *rounds), Plan: workload.Plan{Sessions: 10, Files: 8, Big: 4}, Region: true}
	begin := time.Now()
	log := travel(t, vm, r, "")
	judge(t, r, log)
	checkStage(t, log, crossed)
	kernels := log.Kernels()[1:]
	for i, kernel := range kernels[:len(kernels)-1] {
		if line, ok := kernel.Find("belong to nothing"); ok {
			t.Errorf("crossing %d: %s", i+1, line)
		}
	}
	checkScratch(t, kernels[:len(kernels)-1])
	table := report.Table{{"", "least", "most", "mean of the first half", "of the second"}}
	for _, reading := range readings {
		var all []int
		// The first kernels carry the route's kernels in their initrds, the last one none of
		// it: they have more or less memory left.
		for i := 2; i < len(kernels)-1; i++ {
			n, ok := number(kernels[i], reading.text, reading.column)
			if !ok {
				t.Errorf("kernel %d: no %q", i, reading.text)
			}
			all = append(all, n)
		}
		first, second := mean(all[:len(all)/2]), mean(all[len(all)/2:])
		slack := reading.slack
		if *rounds < 50 {
			slack *= 2 // rougher means
		}
		if math.Abs(second-first) > float64(slack) {
			t.Errorf("%s drifts from %.1f to %.1f: %d", reading.name, first, second, all)
		}
		table = append(table, []string{reading.name, fmt.Sprint(slices.Min(all)), fmt.Sprint(slices.Max(all)), fmt.Sprintf("%.1f", first), fmt.Sprintf("%.1f", second)})
	}
	sessions, files, bytes := r.Plan.Totals()
	written(t, "attack 7", fmt.Sprintf(`%s, `+"`make attack-endurance`"+`: %d crossings in one boot, Linux %s each time, in %.0f s: %d sessions with %d files of %d bytes and a reserved region, taken over,
compared and preserved again by each kernel. No crossing met a preserved block that belongs to nothing.`,
		time.Now().UTC().Format("2006-01-02"), *rounds, r.Release(0), time.Since(begin).Seconds(), sessions, files, bytes), table)
}

// checkScratch wants scratch and what was cut off it to be the same after every
// crossing, and scratch to be no less than at first by more than three pools: the one
// of the crossing, the one of that before, in which the kernel has its state, and one
// in which something that a kernel preserved for longer may lie.
func checkScratch(t *testing.T, kernels []Log) {
	t.Helper()
	const text, pool = "the next kernel has ", 4
	sum := 0
	for i, kernel := range kernels {
		scratch, ok := number(kernel, text, 0)
		kept, ok2 := number(kernel, text, 1)
		if !ok || !ok2 {
			t.Errorf("crossing %d does not say what is left of scratch", i+1)
			continue
		}
		if sum == 0 {
			sum = scratch + kept
		}
		if scratch+kept != sum {
			t.Errorf("crossing %d: %d MiB of scratch and %d MiB cut off it, want %d in all", i+1, scratch, kept, sum)
		}
		if scratch < sum-3*pool {
			t.Errorf("crossing %d: %d MiB of scratch are left of %d", i+1, scratch, sum)
		}
	}
}

func mean(all []int) float64 {
	sum := 0
	for _, n := range all {
		sum += n
	}
	return float64(sum) / float64(len(all))
}

// number returns one of the numbers after the text in the first line that has it,
// or with a column of -1 how much the second is more than the first.
func number(log Log, text string, column int) (int, bool) {
	line, _ := log.Find(text)
	_, rest, _ := strings.Cut(line, text)
	var all []int
	for _, m := range numbers.FindAllString(rest, max(column+1, 2)) {
		n, err := strconv.ParseInt(m, 0, 64)
		if err != nil {
			return 0, false
		}
		if strings.HasPrefix(m, "0x") {
			n >>= 20
		}
		all = append(all, int(n))
	}
	switch {
	case column < 0 && len(all) >= 2:
		return all[1] - all[0], true
	case column >= 0 && column < len(all):
		return all[column], true
	}
	return 0, false
}

var numbers = regexp.MustCompile(`0x[0-9a-f]+|[0-9]+`)

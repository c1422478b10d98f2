//go:build linux_e2e

package linux

import (
	"fmt"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
	"time"

	"ferry/linux/workload"
)

// TestUpstreamThroughFerry runs upstream's tests from Linux through Ferry into Linux, on every machine.
func TestUpstreamThroughFerry(t *testing.T) {
	t.Parallel()
	for _, row := range rows(len(upstream), 2, 2, 2) {
		test := upstream[row[0]]
		name, vm := machineOf(row[1:])
		t.Run(test.name+"/"+name, func(t *testing.T) {
			t.Parallel()
			log := run(t, vm, ferryTree(t, test.name), "")
			checkUpstream(t, log, test.passed)
			checkStage(t, log, crossed)
		})
	}
}

// TestHandoverPassesUntouched is the same with ferry.mode=pass: Ferry only starts the next kernel.
func TestHandoverPassesUntouched(t *testing.T) {
	t.Parallel()
	for _, row := range rows(2, 2, 2) {
		name, vm := machineOf(row)
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			log := run(t, vm, ferryTree(t, "luo_kexec_simple"), "ferry.mode=pass")
			checkUpstream(t, log, upstream[0].passed)
			checkStage(t, log, untouched)
		})
	}
}

// TestStageRunsWhereverKexecPutsIt makes scratch areas so that the stage fits into the one above 4 GiB only, or into the
// low one.
func TestStageRunsWhereverKexecPutsIt(t *testing.T) {
	t.Parallel()
	tests := []struct {
		name, scratch string
		low           bool
	}{
		{"below 4 GiB", "kho_scratch=192M,0,0", true},
		{"above 4 GiB", "kho_scratch=32M,256M,0", false},
	}
	for _, tt := range tests {
		for _, la57 := range []string{"off", "on"} {
			if !*whole && tt.low == (la57 == "on") {
				continue
			}
			t.Run(tt.name+"/la57="+la57, func(t *testing.T) {
				t.Parallel()
				vm := VM{CPUs: 2, Memory: "6G", CPU: "max,la57=" + la57, Timeout: 4 * time.Minute}
				r := Run{Route: same(t, 1), Plan: workload.Plan{Sessions: 3, Files: 3}}
				log := travel(t, vm, r, tt.scratch)
				judge(t, r, log)
				checkStage(t, log, crossed)
				for round := range 2 {
					want := fmt.Sprintf(" la57=%v", la57 == "on")
					if line, _ := log.Kernels()[round+1].Find(ReportPrefix + "machine "); !strings.HasSuffix(line, want) {
						t.Errorf("kernel %d says %q, want %q", round, line, want)
					}
				}
				at := match(t, log, `^ferry: stage at \[0x([0-9a-f]+)-`)
				if promised := match(t, log, `^stage .* room at \[0x([0-9a-f]+)-`); at != promised {
					t.Errorf("stage at %s, ferry load expected %s", at, promised)
				}
				if low := len(at) <= 8; low != tt.low {
					t.Errorf("stage below 4 GiB: %v, want %v: %s", low, tt.low, at)
				}
			})
		}
	}
}

// TestTenCrossingsInARow boots once and goes through Ferry ten times; every Linux preserves again for the next one. So
// does TestEndurance, with less state on one processor.
func TestTenCrossingsInARow(t *testing.T) {
	thorough(t)
	vm := smallest
	vm.CPUs = 2
	vm.Timeout = 10 * time.Minute
	r := Run{Route: same(t, 10), Plan: workload.Plan{Sessions: 40, Files: 20, Big: 16}}
	log := travel(t, vm, r, "")
	judge(t, r, log)
	checkStage(t, log, crossed)
}

// TestLoadRefusesWhatDoesNotFit gives the host less scratch than the stage takes. Nothing is loaded.
func TestLoadRefusesWhatDoesNotFit(t *testing.T) {
	t.Parallel()
	r := Run{Route: same(t, 1), Plan: workload.Plan{Sessions: 1, Files: 1}}
	log := travel(t, VM{}, r, "kho_scratch=32M,0,48M")
	if n := len(log.Kernels()) - 1; n != 1 {
		t.Errorf("%d kernels booted, want 1", n)
	}
	for _, want := range []string{"no room in scratch for the stage of 64 MiB", "kho_scratch=", ReportPrefix + "FAIL: round 0: /ferry load"} {
		if !log.Has(want) {
			t.Errorf("the host tool does not say %q", want)
		}
	}
}

// match returns what the group of the pattern matches in the first line that it matches.
func match(t *testing.T, log Log, pattern string) string {
	t.Helper()
	re := regexp.MustCompile(pattern)
	for _, line := range log.Lines {
		if m := re.FindStringSubmatch(line); m != nil {
			return m[1]
		}
	}
	t.Fatalf("no line matches %s", pattern)
	return ""
}

// ferryTree is the initrd of the first kernel: upstream's init and test, with the stage as the kernel to load and the
// payload as its initrd, which is all that init knows.
func ferryTree(t *testing.T, test string) Tree {
	t.Helper()
	return ferryTreeTo(t, test, built(t, "linux/bzImage"))
}

// ferryTreeTo is the same with another kernel behind the stage.
func ferryTreeTo(t *testing.T, test, kernel string) Tree {
	t.Helper()
	dir := t.TempDir()
	initrd, payload := filepath.Join(dir, "initrd"), filepath.Join(dir, "payload")
	if err := os.WriteFile(initrd, archive(t, upstreamTree(t, test)), 0o600); err != nil {
		t.Fatal(err)
	}
	pack(t, "--kernel", kernel, "--initrd", initrd, "--output", payload)
	tree := upstreamTree(t, test)
	add(t, tree, "/kernel", built(t, "ferry.bzimage"))
	add(t, tree, "/initrd.img", payload)
	return tree
}

// checkStage wants the stage to have run after each kernel but the last, to have done what it should with the handover,
// and its own words of the command line to end there.
func checkStage(t *testing.T, log Log, done string) {
	t.Helper()
	kernels := log.Kernels()[1:]
	for i, kernel := range kernels {
		if between := i+1 < len(kernels); between != kernel.Has(done) {
			t.Errorf("after kernel %d the stage says %q: %v, want %v", i, done, !between, between)
		}
		if i+1 < len(kernels) && kernel.Has(crossed) == kernel.Has(untouched) {
			t.Errorf("after kernel %d the stage says both or neither of %q and %q", i, crossed, untouched)
		}
		if line, ok := kernel.Find("Kernel command line:"); !ok || i > 0 && strings.Contains(line, "ferry.") {
			t.Errorf("kernel %d: command line with words for the stage: %q", i, line)
		}
	}
}

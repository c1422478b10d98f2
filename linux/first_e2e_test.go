//go:build linux_e2e

package linux

import (
	"errors"
	"strings"
	"testing"
	"time"

	"ferry/linux/workload"
)

// TestWhatTheStageKnowsFirst loads past ferry load what it would have refused. The stage, or the kernel that loads it,
// knows it before anything is lost, and names it once.
func TestWhatTheStageKnowsFirst(t *testing.T) {
	for _, tt := range []struct {
		name, series, words string
		fill                int    // bytes that the first kernel's command line has, 0 for what it has
		says                string // a line of the console
		stage               bool   // it is the stage's
		kernels             int
	}{
		{"a handover that nobody made", "6.18", "crossing.unmade=1 ferry.on-error=halt", 0, "no handover came in", true, 1},
		{"the same, to boot cold", "6.18", "crossing.unmade=1 ferry.on-error=cold", 0, "no handover came in", true, 2},
		{"a line that B does not take", "7.3", "", 2040, "invalid argument", false, 1},
	} {
		t.Run(tt.name, func(t *testing.T) {
			r := Run{Route: route(t, tt.series, tt.series)}
			if HasLUO(tt.series) {
				r.Plan = workload.Plan{Sessions: 1, Files: 1}
			}
			tree, err := r.Initrd(*build)
			if err != nil {
				t.Fatal(err)
			}
			words := r.Words() + " crossing.plain=1 " + tt.words
			if more := tt.fill - len(Cmdline) - 1 - len(words) - 1; more > 0 {
				words += " " + strings.Repeat("x", more)
			}
			log, err := start(t, VM{Memory: "1G", Kernel: built(t, Image(r.Release(0))), Timeout: 5 * time.Minute}, tree, words)
			if errors.Is(err, ErrTimeout) {
				t.Fatal(err)
			}
			if n := len(log.Kernels()) - 1; n != tt.kernels {
				t.Errorf("%d kernels booted, want %d", n, tt.kernels)
			}
			if line, ok := log.Find(tt.says); !ok || strings.HasPrefix(line, "ferry: ") != tt.stage {
				t.Errorf("no line of the stage (%v) says %q: %q", tt.stage, tt.says, line)
			}
			if log.Has("ferry: stage at ") != tt.stage {
				t.Errorf("the stage runs: %v, want %v", !tt.stage, tt.stage)
			}
			if log.Has(crossed) {
				t.Error("something crossed")
			}
		})
	}
}

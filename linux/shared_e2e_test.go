//go:build linux_e2e

package linux

import (
	"testing"

	"ferry/linux/workload"
)

// TestABrokenFileCostsNoOther damages two memfds in the memory of the first kernel. Linux alone says EINVAL for each and
// gives back all others, and so do the kernels behind every crossing.
func TestABrokenFileCostsNoOther(t *testing.T) {
	t.Parallel()
	for _, tt := range []way{
		{true, "6.19", "6.19", false}, {true, "7.3", "7.3", true},
		{false, "6.19", "6.19", false}, {false, "7.0", "7.0", false}, {false, "6.19", "7.1", true}, {false, "7.1", "7.2", true}, {false, "7.3", "7.3", false}, {false, "7.3", "6.19", true},
	} {
		carry(t, tt, workload.Plan{Broken: true})
	}
}

// A way is from one kernel to another, without Ferry or through it.
type way struct {
	direct   bool
	from, to string
	always   bool // also without -whole
}

// carry runs two kernels and wants the plan to come to what it says.
func carry(t *testing.T, w way, plan workload.Plan) {
	if !*whole && !w.always {
		return
	}
	name := w.from + " to " + w.to
	if w.direct {
		name += " without Ferry"
	}
	t.Run(name, func(t *testing.T) {
		t.Parallel()
		r := Run{Route: route(t, w.from, w.to), Plan: plan}
		r.Direct = w.direct
		judge(t, r, travel(t, smallest, r, ""))
	})
}

// TestSharedMemfds preserves memfds more than once, which Linux 6.19 and 7.0 allow. The first run is Linux alone: what it
// answers, and what it complains of, is what every crossing has to come to.
func TestSharedMemfds(t *testing.T) {
	t.Parallel()
	for _, tt := range []way{
		{true, "6.19", "6.19", true}, {true, "7.0", "7.0", false},
		{false, "6.19", "6.19", false}, {false, "6.19", "7.0", true}, {false, "7.0", "7.1", true}, {false, "6.19", "7.2", false}, {false, "6.19", "7.3", true},
	} {
		carry(t, tt, workload.Plan{Shared: true})
	}
}

//go:build linux_e2e

package linux

import (
	"testing"

	"ferry/linux/workload"
)

// TestABrokenFileCostsNoOther damages two memfds in the memory of the first kernel. Linux alone says EINVAL for each and
// gives back all others, and so do the kernels behind every crossing.
func TestABrokenFileCostsNoOther(t *testing.T) {
	for _, tt := range []struct {
		direct   bool
		from, to string
	}{
		{true, "6.19", "6.19"}, {true, "7.3", "7.3"},
		{false, "6.19", "6.19"}, {false, "7.0", "7.0"}, {false, "6.19", "7.1"}, {false, "7.1", "7.2"}, {false, "7.3", "7.3"}, {false, "7.3", "6.19"},
	} {
		carry(t, tt.direct, tt.from, tt.to, workload.Plan{Broken: true})
	}
}

// carry runs two kernels and wants the plan to come to what it says.
func carry(t *testing.T, direct bool, from, to string, plan workload.Plan) {
	name := from + " to " + to
	if direct {
		name += " without Ferry"
	}
	t.Run(name, func(t *testing.T) {
		t.Parallel()
		r := Run{Route: route(t, from, to), Plan: plan}
		r.Direct = direct
		judge(t, r, travel(t, machines[0].vm, r, ""))
	})
}

// TestSharedMemfds preserves memfds more than once, which Linux 6.19 and 7.0 allow. The first run is Linux alone: what it
// answers, and what it complains of, is what every crossing has to come to.
func TestSharedMemfds(t *testing.T) {
	for _, tt := range []struct {
		direct   bool
		from, to string
	}{
		{true, "6.19", "6.19"}, {true, "7.0", "7.0"},
		{false, "6.19", "6.19"}, {false, "6.19", "7.0"}, {false, "7.0", "7.1"}, {false, "6.19", "7.2"}, {false, "6.19", "7.3"},
	} {
		carry(t, tt.direct, tt.from, tt.to, workload.Plan{Shared: true})
	}
}

//go:build linux_e2e

package linux

import (
	"fmt"
	"strconv"
	"testing"
	"time"

	"ferry/linux/workload"
)

// TestMemoryThatOnlyTheCommandLineNames crosses with scratch, and what is preserved, in memory that no firmware's map
// calls RAM: a module of 1 GiB that was put into a slot, of which kernels know by memmap= alone. The control is a plain
// kexec.
func TestMemoryThatOnlyTheCommandLineNames(t *testing.T) {
	t.Parallel()
	vm := VM{Memory: "1G,slots=1,maxmem=3G", CPU: "max,la57=off", Timeout: 10 * time.Minute,
		Args: "-object memory-backend-ram,id=more,size=1G -device pc-dimm,id=dimm,memdev=more"}
	const words = "memmap=1G@4G kho_scratch=32M,0,192M"
	for _, tt := range []struct {
		name string
		way  Route
	}{
		{"direct", Route{Releases: same(t, 1).Releases, Rounds: 1, Direct: true}},
		{"through Ferry", Route{Releases: same(t, 1).Releases, Rounds: 3}},
		{"through Ferry", route(t, "6.19", "7.3", "7.1")},
	} {
		t.Run(fmt.Sprintf("%s/%v", tt.name, tt.way.Releases), func(t *testing.T) {
			t.Parallel()
			r := Run{Route: tt.way, Plan: workload.Plan{Mixed: true}, Region: true}
			log := travel(t, vm, r, words)
			judge(t, r, log)
			if tt.way.Direct {
				return
			}
			checkStage(t, log, crossed)
			at := match(t, log, `^ferry: stage at \[0x([0-9a-f]+)-`)
			if n, err := strconv.ParseUint(at, 16, 64); err != nil || n < 4<<30 {
				t.Errorf("the stage lies at %s, want it in the memory that the line names", at)
			}
		})
	}
}

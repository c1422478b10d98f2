//go:build linux_e2e && linux_hosts

package linux

import (
	"fmt"
	"strings"
	"testing"
	"time"

	"ferry/linux/workload"
)

// Kernels with a host's options, which linux/kernels.sh builds on request.
const (
	hostNew = "7.3-host"
	hostOld = "7.1-host"
)

// TestTwoMemoryNodes crosses on a machine of two memory nodes: each has a scratch area
// of its own, and the pool is cut off one of them. The control is a plain kexec.
func TestTwoMemoryNodes(t *testing.T) {
	vm := VM{CPUs: 2, Memory: "4G", CPU: "max,la57=off", Timeout: 10 * time.Minute,
		Args: "-smp sockets=2 -object memory-backend-ram,id=m0,size=2G -object memory-backend-ram,id=m1,size=2G -numa node,nodeid=0,cpus=0,memdev=m0 -numa node,nodeid=1,cpus=1,memdev=m1"}
	alone := route(t, hostNew)
	for _, way := range []Route{
		{Releases: alone.Releases, Rounds: 2, Direct: true},
		{Releases: alone.Releases, Rounds: 3},
		route(t, hostNew, hostOld, hostNew),
	} {
		r := Run{Route: way, Plan: workload.Plan{Sessions: 8, Files: 12, Big: 64, Plain: true}}
		name := "through Ferry"
		if way.Direct {
			name = "direct"
		}
		t.Run(fmt.Sprintf("%s/%s, %d times", name, strings.Join(way.Releases, "-"), way.Rounds), func(t *testing.T) {
			log := travel(t, vm, r, "kho_scratch=64M,0,192M")
			judge(t, r, log)
			if !way.Direct {
				checkStage(t, log, crossed)
			}
		})
	}
}

// TestMemoryAddedWhileItRuns lets the kernel of a host find 1 GiB of memory that its firmware does not name, in which
// what it preserves lies then. No kernel is told of it at a kexec, and dies of it: that is the control. Ferry load knows it,
// and whoever overrules it gets what the control gets; the stage, which is told, crosses. If the command line of the next
// kernel names the memory, then all of it arrives.
func TestMemoryAddedWhileItRuns(t *testing.T) {
	vm := VM{Memory: "1G,slots=1,maxmem=3G", CPU: "max,la57=off", Timeout: 4 * time.Minute, Kernel: built(t, Image(route(t, hostNew).Release(0))),
		Args: "-object memory-backend-ram,id=more,size=1G -device pc-dimm,id=dimm,memdev=more"}
	const told = "crossing.next=memmap=1G@4G"
	for _, tt := range []struct {
		name, words string
		direct      bool
		fate        Fate
		crosses     bool
	}{
		{"direct", "", true, Hung, false},
		{"direct, told", told, true, Kept, false},
		{"through Ferry", "", false, Damaged, false},
		{"through Ferry, forced", "crossing.force=1", false, Hung, true},
		{"through Ferry, told", told, false, Kept, true},
	} {
		t.Run(tt.name, func(t *testing.T) {
			r := Run{Route: Route{Releases: route(t, hostNew).Releases, Rounds: 1, Direct: tt.direct}, Plan: workload.Plan{Sessions: 4, Files: 8, Big: 64, Plain: true}}
			tree, err := r.Initrd(*build)
			if err != nil {
				t.Fatal(err)
			}
			log, err := start(t, vm, tree, r.Words()+" kho_scratch=64M,0,192M memhp_default_state=online "+tt.words)
			result := r.Result("added", log, err)
			t.Logf("%s: %q", result.Fate, result.Words)
			if result.Fate != tt.fate || log.Has(crossed) != tt.crosses {
				t.Errorf("%s, want %s; crosses: want %v", result.Fate, tt.fate, tt.crosses)
			}
			if refused := log.Has("of which the next kernel is not told, as after any kexec"); refused != (!tt.direct && tt.words != told) {
				t.Errorf("ferry load says so: %v", refused)
			}
			if at, _ := log.Find("ferry: stage at "); strings.Contains(at, "ferry.ram=0x") != (tt.crosses && tt.words != told) {
				t.Errorf("the stage is started so: %s", at)
			}
		})
	}
}

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
// what it preserves lies then. No kernel is told of it at a kexec: what becomes of the state is what becomes of it after a
// plain one, which is the control, and Ferry does not refuse it. If the next kernel's command line names the memory, then
// all of it arrives.
func TestMemoryAddedWhileItRuns(t *testing.T) {
	vm := VM{Memory: "1G,slots=1,maxmem=3G", CPU: "max,la57=off", Timeout: 4 * time.Minute, Kernel: built(t, Image(route(t, hostNew).Release(0))),
		Args: "-object memory-backend-ram,id=more,size=1G -device pc-dimm,id=dimm,memdev=more"}
	fates := map[string]Fate{}
	for _, direct := range []bool{true, false} {
		for _, next := range []string{"", "memmap=1G@4G"} {
			name := map[bool]string{true: "direct", false: "through Ferry"}[direct] + map[bool]string{true: ", told"}[next != ""]
			t.Run(name, func(t *testing.T) {
				r := Run{Route: Route{Releases: route(t, hostNew).Releases, Rounds: 1, Direct: direct}, Plan: workload.Plan{Sessions: 4, Files: 8, Big: 64, Plain: true}}
				tree, err := r.Initrd(*build)
				if err != nil {
					t.Fatal(err)
				}
				words := r.Words() + " kho_scratch=64M,0,192M memhp_default_state=online"
				if next != "" {
					words += " crossing.next=" + next
				}
				log, err := start(t, vm, tree, words)
				result := r.Result("added", log, err)
				fates[name] = result.Fate
				t.Logf("%s: %q", result.Fate, result.Words)
				if !direct && log.Kernels()[1].Has("ferry.ram=0x") != (next == "") {
					t.Error("the stage is told of the memory once too often, or not at all")
				}
				if !direct && (result.Fate == Refused || !log.Has(crossed)) {
					t.Error("Ferry does not cross")
				}
				if next != "" && result.Fate != Kept {
					t.Errorf("%s, want %s", result.Fate, Kept)
				}
			})
		}
	}
	if fates["direct"] != fates["through Ferry"] {
		t.Errorf("%q with Ferry, %q without", fates["through Ferry"], fates["direct"])
	}
}

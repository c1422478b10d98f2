//go:build linux_e2e && linux_hosts

package linux

import (
	"testing"
	"time"

	"ferry/linux/workload"
)

// Kernels with a host's options, which linux/kernels.sh builds on request.
const (
	hostNew = "7.3.4-host"
	hostOld = "7.1.13-host"
)

// TestTwoMemoryNodes crosses on a machine of two memory nodes: each has a scratch area
// of its own, and the pool is cut off one of them. The control is a plain kexec.
func TestTwoMemoryNodes(t *testing.T) {
	vm := VM{CPUs: 2, Memory: "4G", CPU: "max,la57=off", Timeout: 10 * time.Minute,
		Args: "-object memory-backend-ram,id=m0,size=2G -object memory-backend-ram,id=m1,size=2G -numa node,nodeid=0,cpus=0,memdev=m0 -numa node,nodeid=1,cpus=1,memdev=m1"}
	for _, route := range []Route{
		{Releases: []string{hostNew}, Rounds: 2, Direct: true},
		{Releases: []string{hostNew}, Rounds: 3},
		NewRoute(hostNew, hostOld, hostNew),
	} {
		r := Run{Route: route, Plan: workload.Plan{Sessions: 8, Files: 12, Big: 64, Plain: true}}
		name := "through Ferry"
		if route.Direct {
			name = "direct"
		}
		t.Run(name+" "+route.Words(), func(t *testing.T) {
			log := travel(t, vm, r, "kho_scratch=64M,0,192M")
			judge(t, r, log)
			if !route.Direct {
				checkStage(t, log, crossed)
			}
		})
	}
}

//go:build linux_e2e

package linux

import (
	"os"
	"strings"
	"testing"

	"ferry/linux/workload"
)

// TestChainWithoutFerry shows that linux/init and Linux alone keep everything over some crossings.
func TestChainWithoutFerry(t *testing.T) {
	t.Parallel()
	r := Run{Route: same(t, 3), Plan: workload.Plan{Sessions: 20, Files: 20, Big: 8}, Region: true}
	r.Direct = true
	judge(t, r, travel(t, smallest, r, ""))
}

// same is a route of so many crossings, all of the newest kernel.
func same(t *testing.T, rounds int) Route {
	t.Helper()
	release, err := os.ReadFile(built(t, "linux/release"))
	if err != nil {
		t.Fatal(err)
	}
	return Route{Releases: []string{strings.TrimSpace(string(release))}, Rounds: rounds}
}

// travel boots the first kernel of the run and returns what the machine said until it ended.
func travel(t *testing.T, vm VM, r Run, words string) Log {
	t.Helper()
	tree, err := r.Initrd(*build)
	if err != nil {
		t.Fatalf("%v: run make test-linux, which builds it", err)
	}
	vm.Kernel = built(t, Image(r.Release(0)))
	return run(t, vm, tree, r.Words()+" "+words)
}

// judge wants nothing to be wrong in the log of the run.
func judge(t *testing.T, r Run, log Log) {
	t.Helper()
	for _, wrong := range r.Judge(log) {
		t.Error(wrong)
	}
}

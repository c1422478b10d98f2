//go:build linux_e2e

package linux

import (
	"fmt"
	"strings"
	"testing"
)

// TestChainWithoutFerry shows that linux/init and Linux alone keep everything over some crossings.
func TestChainWithoutFerry(t *testing.T) {
	tree := Tree{}
	add(t, tree, InitPath, built(t, "linux/init"))
	add(t, tree, KernelPath, built(t, "linux/bzImage"))
	vm := machines[0].vm
	log := run(t, vm, tree, "crossing.direct=1 crossing.sessions=20 crossing.files=20 crossing.big=8 crossing.rounds=3")
	checkChain(t, log, 3, 20, 401)
}

// checkChain wants one kernel more than there were crossings, each reporting the same state, and no complaint.
func checkChain(t *testing.T, log Log, rounds, sessions, files int) {
	t.Helper()
	kernels := log.Kernels()[1:]
	if len(kernels) != rounds+1 {
		t.Fatalf("%d kernels booted, want %d", len(kernels), rounds+1)
	}
	var digest, initrd string
	for round, kernel := range kernels {
		for _, line := range kernel.Complaints() {
			t.Errorf("kernel %d complains: %s", round, line)
		}
		if round > 0 {
			want := fmt.Sprintf("%skept round=%d sessions=%d files=%d ", ReportPrefix, round, sessions, files)
			same(t, kernel, want, "digest=", &digest)
		}
		if round < rounds {
			same(t, kernel, fmt.Sprintf("%sinitrd round=%d ", ReportPrefix, round), "crc=", &initrd)
		}
	}
	if want := fmt.Sprintf("%sDONE rounds=%d", ReportPrefix, rounds); !kernels[rounds].Has(want) {
		t.Errorf("last kernel does not say %q", want)
	}
}

// same wants a line with the prefix, whose field is what it was in the kernel before.
func same(t *testing.T, kernel Log, prefix, field string, last *string) {
	t.Helper()
	line, ok := kernel.Find(prefix)
	if !ok {
		t.Errorf("no line %q", prefix)
		return
	}
	_, value, _ := strings.Cut(line, field)
	if *last != "" && value != *last {
		t.Errorf("%s%s, in the kernel before %s", field, value, *last)
	}
	*last = value
}

//go:build linux_e2e

package linux

import (
	"flag"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"ferry/internal/pairwise"
)

var build = flag.String("build", "../build", "folder with ferry, ferry.bzimage and linux/ (see linux/kernels.sh)")

// upstream's tests and the line that each prints at its end.
var upstream = []struct{ name, passed string }{
	{"luo_kexec_simple", "--- SIMPLE KEXEC TEST PASSED ---"},
	{"luo_multi_session", "--- MULTI-SESSION KEXEC TEST PASSED ---"},
	{"luo_stress_sessions", "--- MANY-SESSIONS KEXEC TEST PASSED (2000 sessions) ---"},
	{"luo_stress_files", "--- MANY-FILES KEXEC TEST PASSED (500 files) ---"},
}

// whole asks for every row of the tables below, as the nightly does. Without it they have a row for each pair of settings
// and one of each kind.
var whole = flag.Bool("whole", false, "run every row of every table")

// rows chooses from tables with so many values of each setting.
func rows(sizes ...int) [][]int {
	if *whole {
		return pairwise.All(sizes...)
	}
	return pairwise.Rows(sizes...)
}

// thorough skips, without -whole, a test whose every part another one has too.
func thorough(t *testing.T) {
	t.Helper()
	if !*whole {
		t.Skip("part of make test-linux-whole")
	}
}

// smallest is the machine of tests that do not depend on it.
var smallest = VM{CPUs: 1, Memory: "1G", CPU: "max,la57=off"}

// machineOf returns a machine by the numbers of its settings, and its name: one or two processors, 1 or 6 GiB, without
// and with a fifth level of page tables.
func machineOf(row []int) (string, VM) {
	vm := VM{CPUs: 1 + row[0], Memory: []string{"1G", "6G"}[row[1]]}
	la57 := []string{"off", "on"}[row[2]]
	vm.CPU = "max,la57=" + la57
	return fmt.Sprintf("smp=%d,mem=%s,la57=%s", vm.CPUs, vm.Memory, la57), vm
}

// TestUpstreamWithoutFerry runs upstream's tests from one kernel straight into the next. What fails here is no fault of
// Ferry's.
func TestUpstreamWithoutFerry(t *testing.T) {
	t.Parallel()
	for _, test := range upstream {
		t.Run(test.name, func(t *testing.T) {
			t.Parallel()
			b := upstreamTree(t, test.name)
			initrd := archive(t, b)
			a := upstreamTree(t, test.name)
			add(t, a, "/kernel", built(t, "linux/bzImage"))
			a["/initrd.img"] = File{Data: initrd, Mode: 0o600}
			vm := smallest
			vm.CPUs = 2
			log := run(t, vm, a, "")
			checkUpstream(t, log, test.passed)
		})
	}
}

// built returns the path of something that make built.
func built(t *testing.T, name string) string {
	t.Helper()
	path := filepath.Join(*build, name)
	if _, err := os.Stat(path); err != nil {
		t.Fatalf("%v: run make test-linux, which builds it", err)
	}
	return path
}

// upstreamTree is an initrd with upstream's init and one of its tests.
func upstreamTree(t *testing.T, test string) Tree {
	t.Helper()
	tree := Tree{}
	add(t, tree, "/init", built(t, "linux/selftests/init"))
	add(t, tree, "/test_binary", built(t, "linux/selftests/"+test))
	return tree
}

func add(t *testing.T, tree Tree, name, host string) {
	t.Helper()
	if err := tree.AddFile(name, host); err != nil {
		t.Fatal(err)
	}
}

func archive(t *testing.T, tree Tree) []byte {
	t.Helper()
	b, err := tree.Bytes()
	if err != nil {
		t.Fatal(err)
	}
	return b
}

// run boots the machine's kernel, the newest if it names none, on the tree, and wants the machine to end as Linux ends it.
func run(t *testing.T, vm VM, tree Tree, words string) Log {
	t.Helper()
	log, err := start(t, vm, tree, words)
	if err != nil {
		t.Fatal(err)
	}
	return log
}

// start boots the machine's kernel, the newest if it names none, on the tree. If the test fails, then the console is printed.
func start(t *testing.T, vm VM, tree Tree, words string) (Log, error) {
	t.Helper()
	vm.Script = "../qemu.sh"
	if vm.Kernel == "" {
		vm.Kernel = built(t, "linux/bzImage")
	}
	vm.Initrd = archive(t, tree)
	vm.Cmdline = strings.TrimSpace(Cmdline + " " + words)
	begin := time.Now()
	log, err := vm.Run(t.Context())
	t.Cleanup(func() {
		if t.Failed() {
			fmt.Printf("=== console of %s\n%s\n=== end of console\n", t.Name(), log)
		}
	})
	t.Logf("%.1f s", time.Since(begin).Seconds())
	return log, err
}

// checkUpstream wants two kernels, the test's last line in the second, and no complaint of either.
func checkUpstream(t *testing.T, log Log, passed string) {
	t.Helper()
	kernels := log.Kernels()[1:]
	if len(kernels) != 2 {
		t.Fatalf("%d kernels booted, want 2", len(kernels))
	}
	for i, kernel := range kernels {
		for _, line := range kernel.Complaints() {
			t.Errorf("kernel %c complains: %s", 'A'+i, line)
		}
	}
	b := kernels[1]
	for _, want := range []string{"KHO: found kexec handover data.", "luo: Retrieved live update data", passed,
		"INIT: Stage 2 completed successfully."} {
		if !b.Has(want) {
			t.Errorf("kernel B does not say %q", want)
		}
	}
}

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
)

var build = flag.String("build", "../build", "folder with ferry, ferry.bzimage and linux/ (see linux/kernels.sh)")

// upstream's tests and the line that each prints at its end.
var upstream = []struct{ name, passed string }{
	{"luo_kexec_simple", "--- SIMPLE KEXEC TEST PASSED ---"},
	{"luo_multi_session", "--- MULTI-SESSION KEXEC TEST PASSED ---"},
	{"luo_stress_sessions", "--- MANY-SESSIONS KEXEC TEST PASSED (2000 sessions) ---"},
	{"luo_stress_files", "--- MANY-FILES KEXEC TEST PASSED (500 files) ---"},
}

// A machine is one that the tests run on.
type machine struct {
	name string
	vm   VM
}

// machines is all of them: one and two processors, 1 and 6 GiB, with and without a fifth level of page tables.
var machines = func() (all []machine) {
	for _, cpus := range []int{1, 2} {
		for _, memory := range []string{"1G", "6G"} {
			for _, la57 := range []string{"off", "on"} {
				name := fmt.Sprintf("smp=%d,mem=%s,la57=%s", cpus, memory, la57)
				all = append(all, machine{name, VM{CPUs: cpus, Memory: memory, CPU: "max,la57=" + la57}})
			}
		}
	}
	return all
}()

// TestUpstreamWithoutFerry runs upstream's tests from one kernel straight into the next. What fails here is no fault of
// Ferry's.
func TestUpstreamWithoutFerry(t *testing.T) {
	for _, test := range upstream {
		t.Run(test.name, func(t *testing.T) {
			b := upstreamTree(t, test.name)
			initrd := archive(t, b)
			a := upstreamTree(t, test.name)
			add(t, a, "/kernel", built(t, "linux/bzImage"))
			a["/initrd.img"] = File{Data: initrd, Mode: 0o600}
			vm := machines[0].vm
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

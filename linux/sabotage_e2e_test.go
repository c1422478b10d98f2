//go:build linux_e2e

package linux

import (
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"ferry/linux/saboteur/damage"
)

// TestDamagedHandover breaks what a real Linux hands over, on its way to Ferry: Linux, saboteur, Ferry, Linux. Ferry must
// neither hang nor fault, must name what is wrong and where, and do what ferry.on-error= says.
//
// Every damage runs on the host as well, in the damage package, and under QEMU with every generation in `make test`. Here
// one of each kind of structure is enough: a chain, a count, a pointer, the root, the device tree.
func TestDamagedHandover(t *testing.T) {
	t.Parallel()
	always := []string{"cycle", "count-huge", "files-outside-ram", "feature-header", "truncated-fdt"}
	for _, d := range damage.All {
		if !*whole && !slices.Contains(always, d.Name) {
			continue
		}
		t.Run(d.Name+"/cold", func(t *testing.T) {
			t.Parallel()
			log := run(t, VM{Memory: "1G"}, sabotageTree(t, "ferry.on-error=cold"), sabotageWords(d.Name))
			checkNamed(t, log)
			kernels := log.Kernels()[1:]
			if len(kernels) != 2 {
				t.Fatalf("%d kernels booted, want 2", len(kernels))
			}
			for _, line := range kernels[1].Complaints() {
				t.Errorf("kernel B complains: %s", line)
			}
			if kernels[1].Has("KHO: found kexec handover data.") {
				t.Error("kernel B got a handover")
			}
			if !kernels[1].Has("INIT: Starting Stage 2") {
				t.Error("kernel B does not reach user space")
			}
		})
	}
	// What follows does not depend on the kind of damage: two kinds are enough, or one.
	two := []string{"cycle", "truncated-fdt"}
	if !*whole {
		two = two[:1]
	}
	for _, name := range two {
		t.Run(name+"/halt", func(t *testing.T) {
			t.Parallel()
			vm := VM{Memory: "1G"}
			log, err := start(t, vm, sabotageTree(t, "ferry.on-error=halt"), sabotageWords(name))
			if err == nil || !strings.Contains(err.Error(), "exit code 1") {
				t.Errorf("machine ended with %v, want Ferry's exit code 1", err)
			}
			checkNamed(t, log)
			if n := len(log.Kernels()) - 1; n != 1 {
				t.Errorf("%d kernels booted, want 1", n)
			}
			if !log.Has("; memory intact; do: ") {
				t.Error("Ferry does not say that memory is intact")
			}
		})
		t.Run(name+"/pass", func(t *testing.T) {
			t.Parallel()
			log := run(t, VM{Memory: "1G"}, sabotageTree(t, ""), sabotageWords(name))
			checkNamed(t, log)
			if n := len(log.Kernels()) - 1; n != 2 {
				t.Errorf("%d kernels booted, want 2", n)
			}
			if !slices.ContainsFunc(log.refusals(), func(line string) bool { return strings.HasPrefix(line, untouched) }) {
				t.Error("Ferry does not say what it hands on")
			}
		})
	}
}

// Two stages of 64 MiB and both payloads have to fit into one area.
func sabotageWords(name string) string {
	return "kho_scratch=32M,0,320M ferry.mode=pass sabotage.damage=" + name
}

// sabotageTree is upstream's simplest test whose /kernel is the saboteur, and whose /initrd.img is Ferry with its payload.
func sabotageTree(t *testing.T, words string) Tree {
	t.Helper()
	dir := t.TempDir()
	inner, outer := filepath.Join(dir, "inner"), filepath.Join(dir, "outer")
	initrd := filepath.Join(dir, "initrd")
	if err := os.WriteFile(initrd, archive(t, upstreamTree(t, "luo_kexec_simple")), 0o600); err != nil {
		t.Fatal(err)
	}
	pack(t, "--kernel", built(t, "linux/bzImage"), "--initrd", initrd, "--output", inner)
	pack(t, "--kernel", built(t, "ferry.bzimage"), "--generation", "F", "--initrd", inner, "--output", outer,
		"--cmdline", strings.TrimSpace(Cmdline+" luo_stage=2 "+words))
	tree := upstreamTree(t, "luo_kexec_simple")
	add(t, tree, "/kernel", built(t, "linux/saboteur.bzimage"))
	add(t, tree, "/initrd.img", outer)
	return tree
}

func pack(t *testing.T, args ...string) {
	t.Helper()
	cmd := exec.Command(built(t, "ferry"), append([]string{"pack"}, args...)...)
	if out, err := cmd.CombinedOutput(); err != nil {
		t.Fatalf("%v: %v\n%s", cmd, err, out)
	}
}

// checkNamed wants Ferry to name an address in the page that was damaged.
func checkNamed(t *testing.T, log Log) {
	t.Helper()
	at := match(t, log, `^saboteur: \S+ at 0x([0-9a-f]+)$`)
	page := "0x" + at[:len(at)-3]
	named := false
	for _, line := range log.Lines {
		named = named || strings.HasPrefix(line, "ferry: ") && strings.Contains(line, page)
	}
	if !named {
		t.Errorf("no line of Ferry's names the page of 0x%s", at)
	}
}

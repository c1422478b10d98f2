//go:build qemu

package metal

import (
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"ferry/crossing"
	"ferry/internal/oracle/standin"
	"ferry/internal/qemu"
	"ferry/linux"
	"ferry/linux/workload"
	"ferry/phys"
)

// releases are the names of the real kernels that were built, the oldest formats first.
func releases(t *testing.T) []string {
	t.Helper()
	all, err := linux.Kernels(*build)
	if err != nil || len(all) == 0 {
		t.Fatalf("no kernels in %s/linux (%v): run make kernels", *build, err)
	}
	return all
}

// generation is that of a kernel.
func generation(t *testing.T, release string) *standin.Generation {
	t.Helper()
	name := standin.EPrime.Name
	if !linux.IsEPrime(release) {
		name = crossing.ByRelease(release).Name
	}
	g, err := standin.ByName(name)
	if err != nil {
		t.Fatal(err)
	}
	return g
}

// route is a run of real kernels, with a bit of everything that both have.
func route(all ...string) linux.Run {
	r := linux.Run{Route: linux.NewRoute(all...), Region: true}
	if !slices.ContainsFunc(all, func(release string) bool { return !linux.HasLUO(release) }) {
		r.Plan = workload.Plan{Mixed: true}
	}
	return r
}

const linuxMemory = 1 << 30

// What ferry load says of where kexec will put the stage.
var room = regexp.MustCompile(`stage +64 MiB, room at \[0x([0-9a-f]+)-`)

// departLinux boots a real kernel of the route, lets it make its state and load
// Ferry, and stops the machine where Ferry starts.
func departLinux(t *testing.T, dir string, run linux.Run, words string) (*qemu.Running, *qemu.Debugger, *Dump) {
	t.Helper()
	if err := os.MkdirAll(dir, 0o700); err != nil {
		t.Fatal(err)
	}
	tree, err := run.Initrd(*build)
	if err != nil {
		t.Fatalf("%v: run make attack-metal, which builds it", err)
	}
	initrd, err := tree.Bytes()
	if err != nil {
		t.Fatal(err)
	}
	ram, err := qemu.NewRAM(filepath.Join(dir, "linux.ram"), linuxMemory)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { ram.Close(); os.Remove(ram.Path) })
	m := qemu.Machine{RAM: ram.Path, Kernel: filepath.Join(*build, linux.Image(run.Release(0))), Initrd: file(t, dir, "linux.initrd", initrd),
		Cmdline: strings.Join([]string{linux.Cmdline, run.Words(), words}, " "), CPU: "max,la57=off", Debug: true, Timeout: 5 * time.Minute}
	r, err := m.Start()
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(r.Kill)
	d, err := r.Attach()
	if err == nil {
		err = d.Continue()
	}
	if err != nil {
		t.Fatal(err)
	}
	match := r.Says(room)
	if match == nil {
		t.Fatalf("the machine has ended before it loaded Ferry:\n%s", r.Console())
	}
	at, err := strconv.ParseUint(string(match[1]), 16, 64)
	if err != nil {
		t.Fatal(err)
	}
	if err := d.Stop(); err != nil {
		t.Fatal(err)
	}
	if err := d.To(at + 0x200); err != nil {
		t.Fatalf("%v\n%s", err, r.Console())
	}
	zeroPage, err := d.Register(qemu.RSI)
	if err != nil {
		t.Fatal(err)
	}
	dump, err := Look(ram, Start{phys.Addr(at + 0x200), phys.Addr(zeroPage)})
	if err != nil || dump.Raw == nil {
		t.Fatalf("no handover: %v", err)
	}
	if dump.Tables, err = d.Tables(ram); err != nil {
		t.Fatal(err)
	}
	return r, d, dump
}

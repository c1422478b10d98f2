//go:build qemu

package metal

import (
	"bytes"
	"flag"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"ferry/boot/payload"
	"ferry/boot/payload/pack"
	"ferry/internal/oracle/standin"
	"ferry/internal/qemu"
	"ferry/internal/report"
)

var (
	build = flag.String("build", "../../build", "folder with the images that make builds")
	page  = flag.String("page", "", "document to write the result into, such as docs/reliability.md")
)

func stage() Image { return image("ferry", "stage") }
func probe() Image { return image("probe", "probe") }

func image(name, elf string) Image {
	return Image{filepath.Join(*build, name+".bzimage"), filepath.Join(*build, elf+".elf")}
}

// read returns an image that make built.
func read(t *testing.T, path string) []byte {
	t.Helper()
	b, err := os.ReadFile(path)
	if err != nil {
		t.Fatalf("%v: run make attack-metal, which builds it", err)
	}
	return b
}

// folder returns one for the memory of machines: in memory where that can be.
func folder(t *testing.T) string {
	t.Helper()
	parent := os.Getenv("TMPDIR")
	if info, err := os.Stat("/dev/shm"); parent == "" && err == nil && info.IsDir() {
		parent = "/dev/shm"
	}
	dir, err := os.MkdirTemp(parent, "ferry-attack")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { os.RemoveAll(dir) })
	return dir
}

// file writes a file into the folder and returns its path.
func file(t *testing.T, dir, name string, b []byte) string {
	t.Helper()
	path := filepath.Join(dir, name)
	if err := os.WriteFile(path, b, 0o600); err != nil {
		t.Fatal(err)
	}
	return path
}

// packed returns a payload.
func packed(t *testing.T, m payload.Manifest, f pack.Files) []byte {
	t.Helper()
	var b bytes.Buffer
	if err := pack.WriteFiles(&b, m, f); err != nil {
		t.Fatal(err)
	}
	return b.Bytes()
}

// manifest names the generations at both ends.
func manifest(from, to *standin.Generation) payload.Manifest {
	return payload.Manifest{Kernel: payload.KernelInfo{Release: "probe", Generation: to.Name}, From: from.Name}
}

// inner is the payload of a crossing to a probe, outer what the probe starts as
// Linux A: Ferry with that payload.
func inner(t *testing.T, from, to *standin.Generation) []byte {
	t.Helper()
	return packed(t, manifest(from, to), pack.Files{Kernel: read(t, probe().Path)})
}

// back is inner with a probe to go back to as well. The next kernel is told to
// expect what it does not get: only one of the two can be content.
func back(t *testing.T, from, to *standin.Generation) []byte {
	t.Helper()
	m := manifest(from, to)
	wrong := "probe.role=b probe.expect=cold"
	m.Cmdline = &wrong
	m.Rollback = &payload.Rollback{Kernel: payload.KernelInfo{Release: "probe", Generation: from.Name}}
	return packed(t, m, pack.Files{Kernel: read(t, probe().Path), RollbackKernel: read(t, probe().Path)})
}

func outer(t *testing.T, to *standin.Generation, inner []byte) []byte {
	t.Helper()
	return packed(t, manifest(to, to), pack.Files{Kernel: read(t, stage().Path), Initrd: inner})
}

const memory = 512 << 20

// depart boots the probe as Linux A with a payload for Ferry, and stops it where
// Ferry starts.
func depart(t *testing.T, dir string, from, to *standin.Generation, inner []byte, words string) (*qemu.Running, *qemu.Debugger, *Dump) {
	t.Helper()
	if err := os.MkdirAll(dir, 0o700); err != nil {
		t.Fatal(err)
	}
	name := from.Word() + "-" + to.Word()
	ram, err := qemu.NewRAM(filepath.Join(dir, name+".ram"), memory)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { ram.Close(); os.Remove(ram.Path) })
	m := qemu.Machine{RAM: ram.Path, Kernel: probe().Path, Initrd: file(t, dir, name+".cpio", outer(t, to, inner)), Debug: true, Timeout: 40 * time.Second,
		Cmdline: fmt.Sprintf("probe.from=%s probe.to=%s %s", from.Word(), to.Word(), words)}
	r, err := m.Start()
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(r.Kill)
	d, err := r.Attach()
	if err != nil {
		t.Fatal(err)
	}
	s, err := Leave(d, probe())
	if err != nil {
		t.Fatalf("%v\n%s", err, r.Console())
	}
	dump, err := Look(ram, s)
	if err == nil {
		dump.Tables, err = d.Tables(ram)
	}
	if err != nil {
		t.Fatal(err)
	}
	return r, d, dump
}

// words is a shape with all that a handover between the generations can hold.
func words(from, to *standin.Generation) string {
	w := "probe.regions=2 probe.order=5 probe.tests=4"
	if from.Sessions() && to.Sessions() {
		w += " probe.sessions=5 probe.files=6 probe.fill=2"
	} else {
		w += " probe.sessions=0 probe.files=0"
	}
	if from != to {
		w += " probe.plain"
	}
	return w
}

// result writes a section of the document, where one is named.
func result(t *testing.T, section, head string, table report.Table) {
	t.Helper()
	text := fmt.Sprintf("%s\n\n%s", strings.TrimSpace(head), table)
	t.Logf("%s", text)
	if *page == "" || t.Failed() {
		return
	}
	if err := report.Page(*page).Write(section, text); err != nil {
		t.Error(err)
	}
}

// today is the date of a run.
func today() string { return time.Now().UTC().Format("2006-01-02") }

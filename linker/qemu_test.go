//go:build qemu

package linker

import (
	"bytes"
	"encoding/binary"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"ferry/internal/qemu"
)

// boot runs an image with the settings of qemu.sh and returns what the serial
// port said and the exit code.
func boot(t *testing.T, image []byte, settings ...string) (string, int) {
	t.Helper()
	name := filepath.Join(t.TempDir(), "bzImage")
	if err := os.WriteFile(name, image, 0o644); err != nil {
		t.Fatal(err)
	}
	out, code, err := qemu.Script("../qemu.sh").Boot(name, append([]string{"APPEND=loaded by QEMU", "MEM=256M", "TIMEOUT=60"}, settings...))
	if err != nil {
		t.Fatal(err)
	}
	return out, code
}

// TestImageBoots runs the 16-bit, 32-bit and 64-bit entries in turn: QEMU starts
// the first. The probe prints the command line and exits with the number of
// entries in the memory map.
func TestImageBoots(t *testing.T) {
	image, err := Link(bytes.NewReader(probe(t)), Options{})
	if err != nil {
		t.Fatal(err)
	}
	for _, machine := range []string{"pc", "q35", "microvm"} {
		for _, cpu := range []string{"qemu64", "max"} {
			t.Run(machine+" "+cpu, func(t *testing.T) {
				t.Parallel()
				out, code := boot(t, image, "MACHINE="+machine, "CPU="+cpu)
				checkProbe(t, machine, out, code)
			})
		}
	}
}

// checkProbe wants the command line, and the number of entries in the memory map
// as exit code; the probe says 0 if it finds no image parameters.
func checkProbe(t *testing.T, where, out string, code int) {
	t.Helper()
	if code < 2 || code > 20 {
		t.Errorf("%s: exit code %d, want the number of memory map entries", where, code)
	}
	if !strings.Contains(out, "loaded by QEMU") {
		t.Errorf("%s: command line %q", where, out)
	}
}

// TestImageRunsWhereverItIsLoaded puts the protected-mode part at another address
// than QEMU's own and leaves nothing where QEMU loads it.
func TestImageRunsWhereverItIsLoaded(t *testing.T) {
	image, err := Link(bytes.NewReader(probe(t)), Options{})
	if err != nil {
		t.Fatal(err)
	}
	flat := filepath.Join(t.TempDir(), "flat")
	if err := os.WriteFile(flat, image[setupSize:], 0o644); err != nil {
		t.Fatal(err)
	}
	clear(image[setupSize:])
	for _, at := range []uint32{0x200000, 0x5001000, 0xb800000} {
		binary.LittleEndian.PutUint32(image[0x214:], at)
		out, code := boot(t, image, "MACHINE=pc", fmt.Sprintf("QEMU_ARGS=-device loader,file=%s,addr=%#x,force-raw=on", flat, at))
		checkProbe(t, fmt.Sprintf("at %#x", at), out, code)
	}
}

func TestImageSaysThatLongModeIsMissing(t *testing.T) {
	image, err := Link(bytes.NewReader(probe(t)), Options{})
	if err != nil {
		t.Fatal(err)
	}
	const want = "ferry: this CPU has no 64-bit mode"
	if out, _ := boot(t, image, "MACHINE=pc", "CPU=qemu32", "TIMEOUT=3"); !strings.Contains(out, want) {
		t.Errorf("serial port %q", out)
	}
}

// TestStockGoProgramLinks builds a Go program with the flags of the stage.
func TestStockGoProgramLinks(t *testing.T) {
	dir := t.TempDir()
	main, out := filepath.Join(dir, "main.go"), filepath.Join(dir, "main")
	if err := os.WriteFile(main, []byte("package main\nfunc main() { println(1) }\n"), 0o644); err != nil {
		t.Fatal(err)
	}
	cmd := exec.Command("go", "build", "-ldflags", fmt.Sprintf("-T %#x", testBase+PageSize), "-o", out, main)
	cmd.Env = append(os.Environ(), "GOOS=linux", "GOARCH=amd64", "CGO_ENABLED=0")
	if b, err := cmd.CombinedOutput(); err != nil {
		t.Fatalf("go build: %v\n%s", err, b)
	}
	f, err := os.Open(out)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	image, err := Link(f, Options{})
	if err != nil {
		t.Fatal(err)
	}
	p := readParams(t, image[setupSize:])
	if p.Base != testBase || len(p.Segments) < 3 || p.FileSize > 3<<20 {
		t.Errorf("parameters %#x", p)
	}
}

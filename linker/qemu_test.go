package linker

import (
	"bytes"
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"testing"
	"time"
)

func hexOf(n int) string { return "0x" + strconv.FormatInt(int64(n), 16) }

func number(t *testing.T, hex string) int {
	t.Helper()
	n, err := strconv.ParseUint(hex, 16, 32)
	if err != nil {
		t.Fatal(err)
	}
	return int(n)
}

// boot runs an image under QEMU and returns what the serial port said and the
// exit code. It ends QEMU where the output contains until.
func boot(t *testing.T, image []byte, until string, args ...string) (string, int) {
	t.Helper()
	if testing.Short() {
		t.Skip("boots a machine")
	}
	dir := t.TempDir()
	name := filepath.Join(dir, "bzImage")
	if err := os.WriteFile(name, image, 0o644); err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithTimeout(t.Context(), 60*time.Second)
	defer cancel()
	args = append([]string{"-kernel", name, "-append", "loaded by QEMU", "-display", "none", "-serial", "stdio",
		"-no-reboot", "-monitor", "none", "-nodefaults", "-device", "isa-debug-exit,iobase=0xf4,iosize=0x4"}, args...)
	out := &watched{until: until, found: cancel}
	cmd := exec.CommandContext(ctx, "qemu-system-x86_64", args...)
	cmd.Stdout, cmd.Stderr = out, out
	err := cmd.Run()
	var exit *exec.ExitError
	if err != nil && !errors.As(err, &exit) {
		t.Fatalf("QEMU (package qemu-system-x86): %v", err)
	}
	return out.seen.String(), cmd.ProcessState.ExitCode()
}

// watched is a buffer that calls found once it contains until.
type watched struct {
	seen  bytes.Buffer // a field: embedding would let its ReadFrom bypass Write
	until string
	found func()
}

func (w *watched) Write(b []byte) (int, error) {
	n, err := w.seen.Write(b)
	if w.until != "" && strings.Contains(w.seen.String(), w.until) {
		w.found()
	}
	return n, err
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
				out, code := boot(t, image, "", "-M", machine, "-cpu", cpu, "-m", "256M")
				checkProbe(t, machine, out, code)
			})
		}
	}
}

// checkProbe wants the command line, and the number of entries in the memory map
// as exit code; the probe says 0 where it finds no image parameters.
func checkProbe(t *testing.T, where, out string, code int) {
	t.Helper()
	if entries := (code - 1) / 2; code%2 != 1 || entries < 2 || entries > 20 {
		t.Errorf("%s: exit code %d, want 2n+1 for the number n of memory map entries", where, code)
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
		binary.LittleEndian.PutUint32(image[code32Start:], at)
		out, code := boot(t, image, "", "-M", "pc", "-m", "256M", "-device", fmt.Sprintf("loader,file=%s,addr=%#x,force-raw=on", flat, at))
		checkProbe(t, fmt.Sprintf("at %#x", at), out, code)
	}
}

func TestImageSaysThatLongModeIsMissing(t *testing.T) {
	image, err := Link(bytes.NewReader(probe(t)), Options{})
	if err != nil {
		t.Fatal(err)
	}
	const want = "ferry: this CPU has no 64-bit mode"
	if out, _ := boot(t, image, want, "-M", "pc", "-cpu", "qemu32", "-m", "256M"); !strings.Contains(out, want) {
		t.Errorf("serial port %q", out)
	}
}

// TestStockGoProgramLinks builds a Go program with the flags of the stage.
func TestStockGoProgramLinks(t *testing.T) {
	if testing.Short() {
		t.Skip("builds a program")
	}
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

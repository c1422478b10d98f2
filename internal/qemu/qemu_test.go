//go:build linux && !metal

package qemu

import (
	"encoding/binary"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"testing"

	"ferry/phys"
)

func newRAM(t *testing.T, size uint64) *RAM {
	t.Helper()
	r, err := NewRAM(filepath.Join(t.TempDir(), "ram"), size)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { r.Close() })
	return r
}

func write(t *testing.T, r *RAM, a phys.Addr, text string) {
	t.Helper()
	b, err := r.Edit(a, uint64(len(text)))
	if err != nil {
		t.Fatal(err)
	}
	copy(b, text)
}

func TestDifferNamesThePagesThatDiffer(t *testing.T) {
	a := newRAM(t, 16<<20)
	write(t, a, 0x1000, "same")
	write(t, a, 0x800ffe, "across two pages")
	path := filepath.Join(t.TempDir(), "copy")
	if err := a.Copy(path); err != nil {
		t.Fatal(err)
	}
	b, err := OpenRAM(path)
	if err != nil {
		t.Fatal(err)
	}
	defer b.Close()
	if got, err := Differ(a, b); err != nil || len(got) > 0 {
		t.Errorf("a copy differs in %v, %v", got, err)
	}
	if page, err := b.View(0x801000, 14); err != nil || string(page) != "ross two pages" {
		t.Errorf("the copy holds %q, %v", page, err)
	}
	write(t, b, 0x800ffe, "Across")  // one bit, in the first of two pages
	write(t, b, 0xffffff, "x")       // the last byte, in what a has a hole
	write(t, a, 0x400000, "\x00yes") // the other way round
	want := phys.NewRanges(phys.Block{Addr: 0x400000}.Range(), phys.Block{Addr: 0x800000}.Range(), phys.Block{Addr: 0xfff000}.Range())
	if got, err := Differ(a, b); err != nil || !slices.Equal(got, want) {
		t.Errorf("differ in %v, %v; want %v", got, err, want)
	}
}

func TestMemoryEndsWhereTheMapOfTheFirmwareSays(t *testing.T) {
	r := newRAM(t, 1<<20)
	r.Limit(phys.NewRanges(phys.Range{Start: 0x1000, End: 0x9000}))
	if _, err := r.View(0x1000, 0x8000); err != nil {
		t.Error(err)
	}
	for _, a := range []phys.Addr{0xfff, 0x1001} {
		if _, err := r.Edit(a, 0x8000); err == nil {
			t.Errorf("32 KiB at %v are RAM", a)
		}
	}
}

// TestStarterMapsMemoryWhereItStands follows the first instructions and the tables as a
// processor does; that it starts a kernel is what the attacks show.
func TestStarterMapsMemoryWhereItStands(t *testing.T) {
	rom := Starter(0x12345200, 0x6789000)
	le := binary.LittleEndian
	at := func(a uint64) []byte { return rom[a-starterBase:] }
	for _, a := range []uint64{0, 0x12345200, 0x7fffffff, 0xfffff000} {
		pdpt := le.Uint64(at(starterBase)) &^ 0xfff
		pd := le.Uint64(at(pdpt + a>>30*8))
		entry := le.Uint64(at(pd&^0xfff + a>>21%512*8))
		if got := entry&^0x1fffff + a%(2<<20); got != a || entry&0x81 != 0x81 {
			t.Errorf("%#x is mapped to %#x by entry %#x", a, got, entry)
		}
	}
	if rom[0xfff0] != 0xe9 || uint16(0xfff3)+le.Uint16(rom[0xfff1:]) != starterReal {
		t.Errorf("the reset vector holds % x", rom[0xfff0:0xfff3])
	}
}

// TestExitCodesAreThoseOfTheBoard: board/amd64 writes v and QEMU ends with 2v+1.
// qemu.sh, with a program in QEMU's place that ends in any way, says the same.
func TestExitCodesAreThoseOfTheBoard(t *testing.T) {
	program := filepath.Join(t.TempDir(), "qemu")
	script := func(status int) int {
		if err := os.WriteFile(program, fmt.Appendf(nil, "#!/bin/sh\nexit %d\n", status), 0o700); err != nil {
			t.Fatal(err)
		}
		_, code, err := Script("../../qemu.sh").Boot(os.DevNull, []string{"QEMU=" + program})
		if err != nil {
			t.Fatal(err)
		}
		return code
	}
	for code, v := range map[int]int{0: 96, 1: 97, 31: 127, 32: 16, 62: 46, 63: 47} {
		status := v<<1 | 1
		if got, sh := ExitCode(status), script(status); got != code || sh != code {
			t.Errorf("status %d is taken for %d, and by qemu.sh for %d; want %d", status, got, sh, code)
		}
	}
	for _, status := range []int{0, 1, 2, 31, 32, 97, 127, 191, 192, 194} {
		if got, sh := ExitCode(status), script(status); got != ExitReset || sh != ExitReset {
			t.Errorf("status %d is taken for %d, and by qemu.sh for %d; want %d", status, got, sh, ExitReset)
		}
	}
}

//go:build linux

package dump_test

import (
	"bytes"
	"debug/elf"
	"errors"
	"os"
	"path/filepath"
	"testing"

	"ferry/phys"
	"ferry/phys/dump"
	"ferry/phys/dump/dumptest"
)

func TestDumpShowsWhatItHolds(t *testing.T) {
	a, b := bytes.Repeat([]byte{1}, 0x2000), bytes.Repeat([]byte{2}, 0x1000)
	d, err := dump.Of(dumptest.ELF(elf.ET_CORE, []dumptest.Segment{{At: 0x100000, Data: a}, {At: 0x102000, Data: b}}), 0)
	if err != nil {
		t.Fatal(err)
	}
	defer d.Close()
	if got, err := d.View(0x100fff, 0x1001); err != nil || !bytes.Equal(got, a[:0x1001]) || cap(got) != len(got) {
		t.Errorf("%d bytes, %v", len(got), err)
	}
	if got, err := d.View(0x102fff, 1); err != nil || got[0] != 2 {
		t.Errorf("% x, %v", got, err)
	}
	if got, err := d.View(0x101fff, 2); err != nil || got[0] != 1 || got[1] != 2 {
		t.Errorf("over two segments: % x, %v", got, err)
	}
	for _, r := range []phys.Range{{Start: 0xfffff, End: 0x100001}, {Start: 0x102fff, End: 0x103001}} {
		if _, err := d.View(r.Start, r.Size()); !errors.Is(err, phys.ErrNotRAM) {
			t.Errorf("%v: %v", r, err)
		}
	}
	if _, err := d.View(0x101000, 1<<64-1); !errors.Is(err, phys.ErrNotRAM) {
		t.Errorf("a length that wraps: %v", err)
	}
	if _, err := d.Edit(0x101000, 1); !errors.Is(err, phys.ErrReadOnly) {
		t.Errorf("written to: %v", err)
	}
	if got, want := d.RAM().Size(), uint64(0x3000); got != want {
		t.Errorf("%#x bytes of RAM, want %#x", got, want)
	}
}

// TestBytesAsTheyAreBeginAtTheBase, in a file, which can be closed.
func TestBytesAsTheyAreBeginAtTheBase(t *testing.T) {
	name := filepath.Join(t.TempDir(), "ram")
	if err := os.WriteFile(name, []byte("0123456789"), 0o600); err != nil {
		t.Fatal(err)
	}
	d, err := dump.Open(name, 0x5000)
	if err != nil {
		t.Fatal(err)
	}
	if b, err := d.View(0x5003, 4); err != nil || string(b) != "3456" {
		t.Errorf("%q, %v", b, err)
	}
	if _, err := d.View(0x5003, 8); !errors.Is(err, phys.ErrNotRAM) {
		t.Errorf("beyond the end: %v", err)
	}
	if err := d.Close(); err != nil {
		t.Error(err)
	}
	for _, bad := range []string{t.TempDir(), name + "-none"} {
		if _, err := dump.Open(bad, 0); err == nil {
			t.Errorf("%s was opened", bad)
		}
	}
	if _, err := dump.Of([]byte("123"), ^phys.Addr(0)); err == nil {
		t.Error("memory that wraps")
	}
}

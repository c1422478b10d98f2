//go:build linux

package dump_test

import (
	"bytes"
	"debug/elf"
	"encoding/binary"
	"errors"
	"os"
	"path/filepath"
	"testing"

	"ferry/phys"
	"ferry/phys/dump"
)

// core is an ELF core of segments at physical addresses.
func core(segments map[phys.Addr][]byte, order ...phys.Addr) []byte {
	var head, body bytes.Buffer
	offset := 64 + 56*len(order)
	binary.Write(&head, binary.LittleEndian, elf.Header64{
		Ident: [16]byte{0x7f, 'E', 'L', 'F', byte(elf.ELFCLASS64), byte(elf.ELFDATA2LSB), byte(elf.EV_CURRENT)},
		Type:  uint16(elf.ET_CORE), Machine: uint16(elf.EM_X86_64), Version: uint32(elf.EV_CURRENT),
		Phoff: 64, Ehsize: 64, Phentsize: 56, Phnum: uint16(len(order)), Shentsize: 64})
	for _, at := range order {
		data := segments[at]
		binary.Write(&head, binary.LittleEndian, elf.Prog64{Type: uint32(elf.PT_LOAD), Paddr: uint64(at),
			Off: uint64(offset + body.Len()), Filesz: uint64(len(data)), Memsz: uint64(len(data))})
		body.Write(data)
	}
	return append(head.Bytes(), body.Bytes()...)
}

func TestDumpShowsWhatItHolds(t *testing.T) {
	a, b := bytes.Repeat([]byte{1}, 0x2000), bytes.Repeat([]byte{2}, 0x1000)
	d, err := dump.Of(core(map[phys.Addr][]byte{0x100000: a, 0x102000: b}, 0x100000, 0x102000), 0)
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
	for _, r := range []phys.Range{{Start: 0xfffff, End: 0x100001}, {Start: 0x102fff, End: 0x103001}, {Start: 0x101000, End: 0x102001}} {
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

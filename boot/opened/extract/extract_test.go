package extract_test

import (
	"bytes"
	"encoding/binary"
	"errors"
	"os"
	"os/exec"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"ferry/boot"
	"ferry/boot/opened"
	"ferry/boot/opened/extract"
	"ferry/boot/opened/openedtest"
	"ferry/boot/vmlinux"
)

var le = binary.LittleEndian

func TestOpenMakesWhatTheDecompressorWouldLeave(t *testing.T) {
	image := openedtest.BzImage(openedtest.ELF())
	compression, file, err := vmlinux.Decompress(image)
	if err != nil || compression != "none" {
		t.Fatalf("%s, %v", compression, err)
	}
	got, err := extract.Open(image, file)
	if err != nil {
		t.Fatal(err)
	}
	want := openedtest.Image(func(i *opened.Image) { le.PutUint32(i.Setup[0x24c-0x1f1:], uint32(len(file))) })
	if !bytes.Equal(got.Bytes, want.Bytes) {
		t.Errorf("image of %d bytes differs", len(got.Bytes))
	}
	got.Bytes, want.Bytes = nil, nil
	if d := cmp.Diff(want, got); d != "" {
		t.Errorf("(-want +got):\n%s", d)
	}
}

// A kernel that was not built to be moved has no table.
func TestOpenTakesAKernelWithoutRelocations(t *testing.T) {
	file := openedtest.ELF()
	file = file[:len(file)-4*(2+6+5)]
	image := openedtest.BzImage(file, func(b []byte) { clear(b[1024+0x100 : 1024+0x200]) })
	i, err := extract.Open(image, file)
	if err != nil {
		t.Fatal(err)
	}
	if i.Space != opened.FixedSpace || len(i.Wide)+len(i.Narrow) != 0 {
		t.Errorf("%d relocations in %d MiB", len(i.Wide)+len(i.Narrow), i.Space>>20)
	}
}

func TestOpenRefuses(t *testing.T) {
	const headers, table = 64, 4 * (2 + 6 + 5)
	u16 := func(off int, v uint16) func([]byte) []byte {
		return func(b []byte) []byte { le.PutUint16(b[off:], v); return b }
	}
	u32 := func(off int, v uint32) func([]byte) []byte {
		return func(b []byte) []byte { le.PutUint32(b[off:], v); return b }
	}
	u64 := func(off int, v uint64) func([]byte) []byte {
		return func(b []byte) []byte { le.PutUint64(b[off:], v); return b }
	}
	good := openedtest.ELF()
	end := len(good) - table // of the ELF file
	for _, c := range []struct {
		name, want string
		image      func([]byte)
		file       func([]byte) []byte
	}{
		{"not relocatable", "not relocatable", func(b []byte) { b[0x234] = 0 }, nil},
		{"four levels alone", "XLF_5LEVEL", func(b []byte) { b[0x236] = 0x03 }, nil},
		{"a header that names another place", "header names 0x1200000", func(b []byte) { le.PutUint64(b[0x258:], 18<<20) }, nil},
		{"moves itself, without a table", "moves itself", nil, func(b []byte) []byte { return b[:end] }},
		{"cut short", "cut short", nil, func(b []byte) []byte { return b[:60] }},
		{"no ELF file", "no executable", nil, u32(0, 0x464c457e)},
		{"32 bits", "no executable", nil, func(b []byte) []byte { b[4] = 1; return b }},
		{"big endian", "no executable", nil, func(b []byte) []byte { b[5] = 2; return b }},
		{"another machine", "no executable", nil, u16(18, 3)},
		{"a shared object", "no executable", nil, u16(16, 3)},
		{"no program headers", "0 program headers", nil, u16(56, 0)},
		{"too many", "17 program headers", nil, u16(56, 17)},
		{"of another size", "of 64", nil, u16(54, 64)},
		{"behind the end", "program headers at", nil, u64(32, uint64(len(good)))},
		{"sections behind the end", "section headers", nil, u64(40, uint64(len(good)))},
		{"an end that wraps", "section headers", nil, u64(40, ^uint64(0)-32)},
		{"no sections", "section headers", nil, u16(60, 0)},
		{"an entry before the kernel", "entry", nil, u64(24, openedtest.Link-1)},
		{"an entry in a hole", "entry", nil, u64(24, openedtest.Link+1<<20)},
		{"an entry in .bss", "entry", nil, u64(24, openedtest.Link+4<<20)},
		{"a segment aligned to a page", "aligned to 0x1000", nil, u64(headers+48, 4096)},
		{"a segment of no alignment", "aligned to 0x0", nil, u64(headers+48, 0)},
		{"more in the file than in memory", "segment 1 has", nil, u64(headers+56+40, 100)},
		{"a segment behind the end", "segment 0 lies at", nil, u64(headers+8, uint64(end))},
		{"a segment that wraps", "segment 0 lies at", nil, u64(headers+8, ^uint64(0))},
		{"a segment behind the first GiB", "below 1 GiB", nil, func(b []byte) []byte {
			le.PutUint64(b[headers+56+24:], 1<<30)
			return u64(headers+56+16, 0xffffffff80000000+1<<30)(b)
		}},
		{"a segment too large", "below 1 GiB", nil, u64(headers+56+40, 1<<30)},
		{"a segment far from the others", "are in none", nil, func(b []byte) []byte {
			le.PutUint64(b[headers+56+24:], openedtest.Link+128<<20)
			return u64(headers+56+16, 0xffffffff80000000+openedtest.Link+128<<20)(b)
		}},
		{"segments on top of each other", "segment 1 lies at physical", nil, func(b []byte) []byte {
			le.PutUint64(b[headers+56+24:], openedtest.Link)
			return u64(headers+56+16, 0xffffffff80000000+openedtest.Link)(b)
		}},
		{"addresses that do not belong together", "do not belong together", nil, u64(headers+16, 0xffffffff81200000)},
		{"nothing to load", "nothing to load", nil, func(b []byte) []byte { le.PutUint32(b[headers:], 4); return u32(headers+56, 4)(b) }},
		{"a table cut short", "no table", nil, func(b []byte) []byte { return b[:len(b)-1] }},
		{"a list without end", "list of 64-bit relocations has no end", nil, u32(end, 0x81000000)},
		{"one list", "list of 64-bit relocations has no end", nil, func(b []byte) []byte { return append(b[:end], 0, 0, 0, 0) }},
		{"three lists", "4 bytes lie between", nil, func(b []byte) []byte { return append(b[:end:end], append(make([]byte, 4), b[end:]...)...) }},
		{"an address before the kernel", "of 0x80ffffff lies outside", nil, u32(len(good)-4, 0x80ffffff)},
		{"an address in the lower half", "of 0x1000000 lies outside", nil, u32(len(good)-4, 0x1000000)},
		{"an address in a hole", "lies outside", nil, u32(len(good)-4, 0x81100000)},
		{"an address half in a hole", "lies outside", nil, u32(end+4, 0x81000000+3*4096+100-7)},
		{"an address in .bss", "lies outside", nil, u32(len(good)-4, 0x81400000)},
		{"an address twice", "64-bit relocation", nil, func(b []byte) []byte { copy(b[end+4:end+8], b[end+8:]); return b }},
	} {
		t.Run(c.name, func(t *testing.T) {
			file := bytes.Clone(good)
			if c.file != nil {
				file = c.file(file)
			}
			image := openedtest.BzImage(good)
			if c.image != nil {
				c.image(image)
			}
			_, err := extract.Open(image, file)
			if !errors.Is(err, extract.ErrOpen) || !strings.Contains(err.Error(), c.want) {
				t.Errorf("error %v, want %q", err, c.want)
			}
		})
	}
	if _, err := extract.Open([]byte("ELF"), good); !errors.Is(err, boot.ErrKernel) {
		t.Errorf("no bzImage: %v", err)
	}
}

// FuzzOpen: what is opened is taken, and says where each of its addresses lies.
func FuzzOpen(f *testing.F) {
	file := openedtest.ELF()
	image := openedtest.BzImage(file)
	f.Add(file)
	f.Add(file[:len(file)-4*(2+6+5)])
	f.Fuzz(func(t *testing.T, file []byte) {
		i, err := extract.Open(image, file)
		if err != nil {
			if !errors.Is(err, extract.ErrOpen) {
				t.Errorf("error without a rule: %v", err)
			}
			return
		}
		part, err := i.Part()
		if err != nil {
			t.Fatalf("what was opened is not taken: %v", err)
		}
		k, err := opened.Parse(part)
		if err != nil || k.Image != uint64(len(i.Bytes)) || k.Relocations() != len(i.Wide)+len(i.Narrow) {
			t.Fatalf("%+v, %v", k, err)
		}
	})
}

// The package brings decompressors along.
func TestTheStageDoesNotOpenKernels(t *testing.T) {
	cmd := exec.Command("go", "list", "-deps", "-tags", "metal", "ferry/cmd/stage")
	cmd.Env = append(os.Environ(), "GOOS=linux", "GOARCH=amd64", "CGO_ENABLED=0")
	out, err := cmd.Output()
	if err != nil {
		t.Fatal(err)
	}
	if strings.Contains(string(out), "ferry/boot/opened/extract\n") {
		t.Error("the stage links extract")
	}
}

//go:build linux

package dump_test

import (
	"bytes"
	"debug/elf"
	"encoding/binary"
	"errors"
	"fmt"
	"math/rand/v2"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"ferry/phys"
	"ferry/phys/dump"
	"ferry/phys/dump/dumptest"
	"ferry/phys/phystest"
)

// memory is a machine's: pages that pack well, badly, not at all, and of zeros.
func memory() []dumptest.Segment {
	r := rand.New(rand.NewPCG(1, 2))
	low, high := make([]byte, 9*phys.PageSize), make([]byte, 20*phys.PageSize)
	for i := range low[:3*phys.PageSize] {
		low[i] = byte(r.Uint32())
	}
	for i := 5 * phys.PageSize; i < 7*phys.PageSize; i++ {
		low[i] = byte(i / 100)
	}
	copy(high[10*phys.PageSize:], bytes.Repeat([]byte("ferry "), 1000))
	high[len(high)-1] = 1
	return []dumptest.Segment{{At: 0x1000, Data: low}, {At: 0x10_0000, Data: high}}
}

func TestEveryFormShowsTheSameMemory(t *testing.T) {
	all := memory()
	for _, form := range dumptest.Forms {
		t.Run(form.Name, func(t *testing.T) {
			m, err := dump.Of(form.Make(all), 0)
			if err != nil {
				t.Fatal(err)
			}
			if m.Form() != form.Name {
				t.Errorf("form %q", m.Form())
			}
			var ram phys.Ranges
			for _, s := range all {
				r, _ := phys.Span(s.At, uint64(len(s.Data)))
				ram = ram.Add(r)
				for _, w := range [][2]int{{0, len(s.Data)}, {1, len(s.Data) - 2}, {4095, 2}, {0x2100, 0x3456}, {0x5000, 0x1000}, {17, 4}, {len(s.Data) - 1, 1}} {
					got, err := m.View(s.At+phys.Addr(w[0]), uint64(w[1]))
					if err != nil || !bytes.Equal(got, s.Data[w[0]:w[0]+w[1]]) || cap(got) != len(got) {
						t.Errorf("%#x bytes at %#x of %v: %d bytes of capacity %d, %v", w[1], w[0], s.At, len(got), cap(got), err)
					}
				}
			}
			if got, want := fmt.Sprint(m.RAM()), fmt.Sprint(ram); got != want {
				t.Errorf("RAM %v, want %v", got, want)
			}
			for _, at := range []phys.Addr{0, 0xfff, 0xa000, 0xf_ffff, 0x11_4000} {
				if _, err := m.View(at, 1); !errors.Is(err, phys.ErrNotRAM) {
					t.Errorf("%v: %v", at, err)
				}
			}
			stored := m.Stored()
			if left := stored.Sub(m.RAM()...); left.Size() != 0 {
				t.Errorf("%v is stored and no RAM", left)
			}
			for _, r := range m.RAM().Sub(stored...) {
				if b, err := m.View(r.Start, r.Size()); err != nil || len(bytes.Trim(b, "\x00")) > 0 {
					t.Errorf("%v is not stored and not zero, %v", r, err)
				}
				if _, err := m.Scan().View(r.Start, 1); !errors.Is(err, phys.ErrNotRAM) {
					t.Errorf("a scan looks at %v: %v", r, err)
				}
			}
			if strings.Contains(form.Name, "kdump") && stored.Size() != 8*phys.PageSize {
				t.Errorf("%v are stored, want the 8 pages that are not zero", stored)
			}
		})
	}
}

// TestEveryCutIsNoticed cuts each form at every place where something else begins, and at
// many others. Memory as it is has no end of its own.
func TestEveryCutIsNoticed(t *testing.T) {
	for _, form := range dumptest.Forms {
		file := form.Make(memory())
		for n := 16; n < len(file); n += 1 + n/16 {
			for _, n := range []int{n, len(file) - n} {
				if form.Name == "LiME" && n == 32+9*phys.PageSize || n < 16 {
					continue
				}
				if _, err := dump.Of(file[:n:n], 0); !errors.Is(err, dump.ErrTruncated) || !strings.Contains(err.Error(), "cut short") {
					t.Errorf("%s: %d of %d bytes: %v", form.Name, n, len(file), err)
				}
			}
		}
	}
}

// TestWhatIsNoDumpIsNamed tells what was found, and does not take it for memory.
func TestWhatIsNoDumpIsNamed(t *testing.T) {
	all := memory()
	kdump := func(off int, v uint32) []byte {
		b := dumptest.Kdump(all, "zlib")
		binary.LittleEndian.PutUint32(b[off:], v)
		return b
	}
	class := dumptest.ELF(elf.ET_CORE, all)
	class[4] = 1
	machine := dumptest.ELF(elf.ET_CORE, all)
	machine[18] = byte(elf.EM_AARCH64)
	flat := dumptest.Flat([]byte("something else"))
	lime := dumptest.LiME(all)
	lime[4] = 2
	for _, c := range []struct {
		want string
		err  error
		file []byte
	}{
		{"gzip", dump.ErrFormat, []byte("\x1f\x8b\x08\x00")},
		{"zstd", dump.ErrFormat, []byte("\x28\xb5\x2f\xfd\x00")},
		{"QEMU migrate", dump.ErrFormat, []byte("QEVM\x00\x00\x00\x03")},
		{"virsh", dump.ErrFormat, []byte("LibvirtQemudSave")},
		{"AVML", dump.ErrFormat, []byte("EVML\x02\x00\x00\x00")},
		{"diskdump", dump.ErrFormat, []byte("DISKDUMP")},
		{"ET_EXEC", dump.ErrFormat, dumptest.ELF(elf.ET_EXEC, all)},
		{"ELFCLASS32", dump.ErrFormat, class},
		{"EM_AARCH64", dump.ErrFormat, machine},
		{"holds no memory", dump.ErrDamaged, dumptest.ELF(elf.ET_CORE, nil)},
		{"flattened form with 73 6f", dump.ErrFormat, flat},
		{"version 2", dump.ErrDamaged, lime},
		{"version 9", dump.ErrFormat, kdump(8, 9)},
		{"blocks of 65536", dump.ErrFormat, kdump(428, 65536)},
		{"incomplete", dump.ErrTruncated, kdump(424, 8)},
		{"--reassemble", dump.ErrFormat, kdump(4096+12, 1)},
		{"bitmaps for", dump.ErrDamaged, kdump(4096+96, 1<<30)},
	} {
		if _, err := dump.Of(c.file, 0); !errors.Is(err, c.err) || !strings.Contains(err.Error(), c.want) {
			t.Errorf("error %v, want %v with %q", err, c.err, c.want)
		}
	}
}

// TestDamagedPagesAreNamed leaves all others readable.
func TestDamagedPagesAreNamed(t *testing.T) {
	all := memory()
	for _, c := range []struct {
		packing string
		flags   uint32 // of the last descriptor
		want    string
	}{
		{"zlib", 2, "lzo"}, {"zlib", 4, "snappy"}, {"zlib", 0x20, "zstd"}, {"zlib", 0, "bytes unpacked"},
		{"snappy", 1, "zlib"}, {"zlib", 0x10, "makedumpfile -e"}, {"zlib", 3, "not known"}, {"zlib", 0x40, "not known"},
	} {
		file := dumptest.Kdump(all, c.packing)
		table := 2*phys.PageSize + 2*phys.PageSize // one block of each bitmap
		binary.LittleEndian.PutUint32(file[table+28*24+12:], c.flags)
		m, err := dump.Of(file, 0)
		if err != nil {
			t.Fatal(err)
		}
		if _, err := m.View(0x11_3ffe, 1); !errors.Is(err, dump.ErrDamaged) || !strings.Contains(err.Error(), c.want) {
			t.Errorf("flags %#x: %v, want %q", c.flags, err, c.want)
		}
		if _, err := m.View(0x11_2000, 0x2000); !errors.Is(err, dump.ErrDamaged) {
			t.Errorf("flags %#x in a larger window: %v", c.flags, err)
		}
		if b, err := m.View(0x10_a000, 5); err != nil || string(b) != "ferry" {
			t.Errorf("a sound page: %q, %v", b, err)
		}
	}
}

// TestNoDamageOfAPackedPageIsFatal damages what the libraries unpack.
func TestNoDamageOfAPackedPageIsFatal(t *testing.T) {
	r := rand.New(rand.NewPCG(3, 4))
	page := bytes.Repeat([]byte("0123456789abcdef-"), 241)[:phys.PageSize]
	for flags, packing := range map[uint32]string{1: "zlib", 2: "lzo", 4: "snappy", 0x20: "zstd"} {
		sound, _ := dumptest.Pack(page, packing)
		for range 500 {
			packed := bytes.Clone(sound)[:1+r.IntN(len(sound))]
			for range 1 + r.IntN(3) {
				packed[r.IntN(min(len(packed), 64))] ^= byte(1 + r.IntN(255))
			}
			read(t, dumptest.Packed(packed, flags))
		}
	}
}

// TestPagesThatWereLeftOutAreNotZero: nobody knows what they were.
func TestPagesThatWereLeftOutAreNotZero(t *testing.T) {
	file := dumptest.Kdump(memory(), "zlib")
	binary.LittleEndian.PutUint32(file[phys.PageSize+8:], 31)
	file[2*phys.PageSize] |= 1 // RAM, and not in the dump
	core := dumptest.ELF(elf.ET_CORE, []dumptest.Segment{{At: 0x1000, Data: make([]byte, 0x1000)}})
	binary.LittleEndian.PutUint64(core[64+24:], 0xfffff000) // one page before
	binary.LittleEndian.PutUint64(core[64+40:], 0x3000)     // of three
	for _, c := range []struct {
		file []byte
		at   phys.Addr
		want string
	}{{file, 0, "-d 31"}, {core, 0x1_0000_0000, "none of it"}} {
		m, err := dump.Of(c.file, 0)
		if err != nil {
			t.Fatal(err)
		}
		for _, n := range []uint64{1, 0x1001} {
			if _, err := m.View(c.at, n); !errors.Is(err, dump.ErrLeftOut) || !errors.Is(err, phys.ErrNotRAM) || !strings.Contains(err.Error(), c.want) {
				t.Errorf("%#x bytes: %v, want %v with %q", n, err, dump.ErrLeftOut, c.want)
			}
		}
		if _, hit := m.Stored().Overlaps(phys.Range{Start: c.at, End: c.at + 1}); hit {
			t.Errorf("%v is in %v", c.at, m.Stored())
		}
	}
}

// TestSparseDumpsAreReadAtOnce takes 4 GiB, of which next to nothing holds data.
func TestSparseDumpsAreReadAtOnce(t *testing.T) {
	const size = 4 << 30
	dir := t.TempDir()
	sparse := func(name string, head []byte, at int64) string {
		name = filepath.Join(dir, name)
		f, err := os.Create(name)
		if err != nil {
			t.Fatal(err)
		}
		defer f.Close()
		f.Write(head)
		if _, err := f.WriteAt([]byte("here"), at+3<<30); err != nil {
			t.Fatal(err)
		}
		if err := f.Truncate(at + size); err != nil {
			t.Fatal(err)
		}
		return name
	}
	core := dumptest.ELF(elf.ET_CORE, []dumptest.Segment{{}})
	binary.LittleEndian.PutUint64(core[64+32:], size)
	binary.LittleEndian.PutUint64(core[64+40:], size)
	lime := dumptest.LiME([]dumptest.Segment{{}})
	binary.LittleEndian.PutUint64(lime[16:], size-1)
	packed := filepath.Join(dir, "kdump")
	zeros := make([]byte, 1<<30)
	page := bytes.Repeat([]byte("here"), 1024)
	if err := os.WriteFile(packed, dumptest.Kdump([]dumptest.Segment{{At: 0, Data: zeros}, {At: 1 << 30, Data: zeros}, {At: 2 << 30, Data: zeros},
		{At: 3 << 30, Data: page}, {At: 3<<30 + 4096, Data: zeros[4096:]}}, "zlib"), 0o600); err != nil {
		t.Fatal(err)
	}
	for _, name := range []string{sparse("raw", nil, 0), sparse("core", core, int64(len(core))), sparse("lime", lime, int64(len(lime))), packed} {
		took := time.Hour
		for range 3 { // other processes take time too
			start := time.Now()
			m, err := dump.Open(name, 0)
			if err != nil {
				t.Fatal(err)
			}
			took = min(took, time.Since(start))
			m.Close()
		}
		phystest.Bounded(t, 1<<20, func() {
			m, err := dump.Open(name, 0)
			if err != nil {
				t.Fatal(err)
			}
			defer m.Close()
			if m.RAM().Size() != size || m.Stored().Size() > 1<<20 || !m.Stored().Contains(phys.Range{Start: 3 << 30, End: 3<<30 + 4}) {
				t.Errorf("%s: %#x bytes of RAM, stored %v", name, m.RAM().Size(), m.Stored())
			}
			for _, r := range m.Stored() {
				if _, err := m.Scan().View(r.Start, r.Size()); err != nil {
					t.Error(err)
				}
			}
			if b, err := m.View(3<<30, 4); err != nil || string(b) != "here" {
				t.Errorf("%s: %q, %v", name, b, err)
			}
		})
		if took > time.Second {
			t.Errorf("%s: %v", name, took)
		}
	}
}

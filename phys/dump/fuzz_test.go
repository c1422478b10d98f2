//go:build linux

package dump_test

import (
	"debug/elf"
	"runtime"
	"testing"

	"ferry/phys"
	"ferry/phys/dump"
	"ferry/phys/dump/dumptest"
)

// read opens a dump and looks at the ends of its memory and of what it stores: nothing
// panics, no window is other than what was asked for, and what is taken from the heap
// stays in proportion to the file.
func read(t *testing.T, file []byte) {
	var before, after runtime.MemStats
	runtime.ReadMemStats(&before)
	m, err := dump.Of(file, 0)
	if err == nil {
		for _, r := range append(m.RAM()[:min(8, len(m.RAM()))], m.Stored()[:min(8, len(m.Stored()))]...) {
			n := min(r.Size(), 3*phys.PageSize)
			for _, at := range []phys.Addr{r.Start, r.End - phys.Addr(n), r.Start + phys.Addr(n/2)} {
				want := min(n, uint64(r.End-at))
				b, err := m.View(at, want)
				if err == nil && uint64(len(b)) != want {
					t.Errorf("%d bytes at %v, want %d", len(b), at, want)
				}
			}
		}
	}
	runtime.ReadMemStats(&after)
	if got, most := after.TotalAlloc-before.TotalAlloc, uint64(len(file))*160+8<<20; got > most {
		t.Errorf("%d bytes taken from the heap for a file of %d", got, len(file))
	}
}

// small is memory whose dumps mutate fast.
func small() []dumptest.Segment {
	data := make([]byte, 3*phys.PageSize)
	copy(data[phys.PageSize:], "ferry")
	return []dumptest.Segment{{At: 0x2000, Data: data}}
}

func FuzzELF(f *testing.F) {
	f.Add(dumptest.ELF(elf.ET_CORE, small()))
	f.Add(dumptest.ELF(elf.ET_CORE, append(small(), small()...)))
	f.Fuzz(func(t *testing.T, file []byte) { read(t, append([]byte(elf.ELFMAG), file[min(len(file), 4):]...)) })
}

func FuzzLiME(f *testing.F) {
	f.Add(dumptest.LiME(small()))
	f.Add(dumptest.LiME(memory())[:100])
	f.Fuzz(func(t *testing.T, file []byte) { read(t, append([]byte("EMiL"), file[min(len(file), 4):]...)) })
}

func FuzzKdump(f *testing.F) {
	for _, packing := range []string{"", "zlib", "lzo", "snappy", "zstd"} {
		f.Add(dumptest.Kdump(small(), packing))
	}
	f.Fuzz(func(t *testing.T, file []byte) { read(t, append([]byte("KDUMP   "), file[min(len(file), 8):]...)) })
}

// FuzzPage damages a packed page itself, behind sound headers.
func FuzzPage(f *testing.F) {
	page := append([]byte("ferry"), make([]byte, phys.PageSize-5)...)
	for flag, packing := range map[uint32]string{0: "", 1: "zlib", 2: "lzo", 4: "snappy", 0x20: "zstd"} {
		packed, _ := dumptest.Pack(page, packing)
		f.Add(flag, packed)
	}
	f.Fuzz(func(t *testing.T, flags uint32, packed []byte) { read(t, dumptest.Packed(packed, flags)) })
}

func FuzzFlattened(f *testing.F) {
	f.Add(dumptest.Flat(dumptest.ELF(elf.ET_CORE, small())))
	f.Add(dumptest.Flat(dumptest.Kdump(small(), "zlib")))
	f.Fuzz(func(t *testing.T, file []byte) {
		read(t, append([]byte("makedumpfile\x00\x00\x00\x00"), file[min(len(file), 16):]...))
	})
}

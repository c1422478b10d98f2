//go:build linux

// Package dumptest makes memory dumps of tests' memory, in every form that package dump
// reads. Nothing outside tests imports it.
package dumptest

import (
	"bytes"
	"compress/zlib"
	"debug/elf"
	"encoding/binary"
	"fmt"
	"slices"

	"github.com/klauspost/compress/snappy"
	"github.com/klauspost/compress/zstd"

	"ferry/phys"
)

// Segment is a piece of memory at a physical address. In kdump-compressed dumps it
// consists of whole pages.
type Segment struct {
	At   phys.Addr
	Data []byte
}

// Segments returns what mem has in these ranges.
func Segments(mem phys.Memory, ranges phys.Ranges) (all []Segment, err error) {
	for _, r := range ranges {
		b, err := mem.View(r.Start, r.Size())
		if err != nil {
			return nil, err
		}
		all = append(all, Segment{r.Start, b})
	}
	return all, nil
}

// Forms are the dumps of one machine: a name, and what makes the dump of the memory.
var Forms = []struct {
	Name string
	Make func([]Segment) []byte
}{
	{"ELF core", func(s []Segment) []byte { return ELF(elf.ET_CORE, s) }},
	{"LiME", LiME},
	{"kdump-compressed", func(s []Segment) []byte { return Kdump(s, "") }},
	{"kdump-compressed, zlib", func(s []Segment) []byte { return Kdump(s, "zlib") }},
	{"kdump-compressed, lzo", func(s []Segment) []byte { return Kdump(s, "lzo") }},
	{"kdump-compressed, snappy", func(s []Segment) []byte { return Kdump(s, "snappy") }},
	{"kdump-compressed, zstd", func(s []Segment) []byte { return Kdump(s, "zstd") }},
	{"ELF core, flattened", func(s []Segment) []byte { return Flat(ELF(elf.ET_CORE, s)) }},
	{"kdump-compressed, zlib, flattened", func(s []Segment) []byte { return Flat(Kdump(s, "zlib")) }},
}

var le = binary.LittleEndian

// ELF returns an ELF file of this type with a segment for each piece.
func ELF(typ elf.Type, segments []Segment) []byte {
	var head, body bytes.Buffer
	offset := 64 + 56*len(segments)
	binary.Write(&head, le, elf.Header64{
		Ident: [16]byte{0x7f, 'E', 'L', 'F', byte(elf.ELFCLASS64), byte(elf.ELFDATA2LSB), byte(elf.EV_CURRENT)},
		Type:  uint16(typ), Machine: uint16(elf.EM_X86_64), Version: uint32(elf.EV_CURRENT),
		Phoff: 64, Ehsize: 64, Phentsize: 56, Phnum: uint16(len(segments)), Shentsize: 64})
	for _, s := range segments {
		binary.Write(&head, le, elf.Prog64{Type: uint32(elf.PT_LOAD), Paddr: uint64(s.At),
			Off: uint64(offset + body.Len()), Filesz: uint64(len(s.Data)), Memsz: uint64(len(s.Data))})
		body.Write(s.Data)
	}
	return append(head.Bytes(), body.Bytes()...)
}

// LiME returns a dump as LiME writes it.
func LiME(segments []Segment) (file []byte) {
	for _, s := range segments {
		file = append(file, "EMiL\x01\x00\x00\x00"...)
		file = le.AppendUint64(file, uint64(s.At))
		file = le.AppendUint64(file, uint64(s.At)+uint64(len(s.Data))-1)
		file = append(append(file, make([]byte, 8)...), s.Data...)
	}
	return file
}

// Kdump returns a dump as makedumpfile writes it, its pages packed by "zlib", "lzo",
// "snappy" or "zstd", or by "" as they are. All pages of zeros share the first data.
func Kdump(segments []Segment, packing string) []byte {
	segments = slices.Clone(segments)
	slices.SortFunc(segments, func(a, b Segment) int { return int(a.At.PFN()) - int(b.At.PFN()) })
	last := segments[len(segments)-1]
	n := uint64((last.At + phys.Addr(len(last.Data))).PFN())
	blocks := (n + phys.PageSize*8 - 1) / (phys.PageSize * 8)
	head := make([]byte, 2*phys.PageSize)
	copy(head, "KDUMP   ")
	for off, v := range map[int]uint64{8: 6, 428: phys.PageSize, 432: 1, 436: 2 * blocks, 440: n, 460: 1} {
		le.PutUint32(head[off:], uint32(v))
	}
	sub := head[phys.PageSize:]
	le.PutUint64(sub[96:], n)
	bitmap := make([]byte, blocks*phys.PageSize)
	count := 0
	for _, s := range segments {
		for i := range len(s.Data) / phys.PageSize {
			pfn := uint64(s.At.PFN()) + uint64(i)
			bitmap[pfn/8] |= 1 << (pfn % 8)
			count++
		}
	}
	file := append(append(head, bitmap...), bitmap...)
	at := len(file) + count*24
	var table, data []byte
	put := func(off int, size, flags uint32) {
		table = le.AppendUint64(table, uint64(off))
		table = le.AppendUint32(table, size)
		table = le.AppendUint32(table, flags)
		table = le.AppendUint64(table, 0)
	}
	zero, zeroFlags := Pack(make([]byte, phys.PageSize), packing)
	data = append(data, zero...)
	var none [phys.PageSize]byte
	for _, s := range segments {
		for i := 0; i < len(s.Data); i += phys.PageSize {
			page := s.Data[i : i+phys.PageSize]
			if bytes.Equal(page, none[:]) {
				put(at, uint32(len(zero)), zeroFlags)
				continue
			}
			packed, flags := Pack(page, packing)
			put(at+len(data), uint32(len(packed)), flags)
			data = append(data, packed...)
		}
	}
	return append(append(file, table...), data...)
}

// Pack packs a page, and returns the flags of its descriptor. One that does not become
// smaller stays as it is, as makedumpfile leaves it, but for "lzo": that is written here
// as literals alone.
func Pack(page []byte, packing string) (packed []byte, flags uint32) {
	switch packing {
	case "zlib":
		var b bytes.Buffer
		z := zlib.NewWriter(&b)
		z.Write(page)
		z.Close()
		packed, flags = b.Bytes(), 1
	case "lzo":
		return literals(page), 2
	case "snappy":
		packed, flags = snappy.Encode(nil, page), 4
	case "zstd":
		z, err := zstd.NewWriter(nil, zstd.WithEncoderConcurrency(1), zstd.WithEncoderLevel(zstd.SpeedFastest))
		if err != nil {
			panic(err)
		}
		packed, flags = z.EncodeAll(page, nil), 0x20
		z.Close()
	case "":
		return page, 0
	default:
		panic(fmt.Sprintf("no packing %q", packing))
	}
	if len(packed) >= len(page) {
		return page, 0
	}
	return packed, flags
}

// literals is an LZO1X stream that copies all of b: a run of 18 literals and more, and the
// end. Source: Documentation/staging/lzo.rst of Linux.
func literals(b []byte) (s []byte) {
	s = append(s, 0)
	rest := len(b) - 18
	for ; rest > 255; rest -= 255 {
		s = append(s, 0)
	}
	s = append(append(s, byte(rest)), b...)
	return append(s, 0x11, 0, 0)
}

// Flat returns the file in makedumpfile's flattened form: in pieces that are out of
// order, and some of them written twice, first with something else.
func Flat(file []byte) []byte {
	const piece = 3000
	be := binary.BigEndian
	out := make([]byte, 4096)
	copy(out, "makedumpfile")
	be.PutUint64(out[16:], 1)
	be.PutUint64(out[24:], 1)
	put := func(at int, b []byte) {
		out = be.AppendUint64(out, uint64(at))
		out = append(be.AppendUint64(out, uint64(len(b))), b...)
	}
	put(0, bytes.Repeat([]byte{0xa5}, min(len(file), piece/2)))
	for start := 0; start < 2; start++ {
		for at := start * piece; at < len(file); at += 2 * piece {
			if at%7 == 0 {
				put(at, bytes.Repeat([]byte{0x5a}, min(len(file)-at, piece)))
			}
			put(at, file[at:min(at+piece, len(file))])
		}
	}
	return append(out, bytes.Repeat([]byte{0xff}, 16)...)
}

// Packed returns a kdump-compressed dump of one page at 0, which is these bytes, whatever
// they are, under these flags.
func Packed(packed []byte, flags uint32) []byte {
	const data = 4*phys.PageSize + 24
	file := Kdump([]Segment{{0, append([]byte{1}, make([]byte, phys.PageSize-1)...)}}, "")[:data]
	le.PutUint64(file[data-24:], data)
	le.PutUint32(file[data-16:], uint32(len(packed)))
	le.PutUint32(file[data-12:], flags)
	return append(file, packed...)
}

package linker

import (
	"bytes"
	"debug/elf"
	_ "embed"
	"encoding/binary"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"ferry/linker/header"
)

//go:embed testdata/probe64.lst
var probe64 string

const testBase = 1 << 46

// seg is one program header of a hand-made ELF file.
type seg struct {
	typ    elf.ProgType
	vaddr  uint64
	flags  elf.ProgFlag
	bytes  []byte
	memsz  uint64
	header bool // maps the file from offset 0, as the Go linker's first segment does
}

// file makes an ELF executable without sections.
func file(entry uint64, segs ...seg) []byte {
	const headers = 64 + 80*56
	h := elf.Header64{
		Ident: [16]byte{0x7f, 'E', 'L', 'F', byte(elf.ELFCLASS64), byte(elf.ELFDATA2LSB), byte(elf.EV_CURRENT)},
		Type:  uint16(elf.ET_EXEC), Machine: uint16(elf.EM_X86_64), Version: uint32(elf.EV_CURRENT),
		Entry: entry, Phoff: 64, Ehsize: 64, Phentsize: 56, Phnum: uint16(len(segs)), Shentsize: 64,
	}
	var head, body bytes.Buffer
	binary.Write(&head, binary.LittleEndian, h)
	for _, s := range segs {
		p := elf.Prog64{Type: uint32(s.typ), Flags: uint32(s.flags), Vaddr: s.vaddr, Off: uint64(headers + body.Len()),
			Filesz: uint64(len(s.bytes)), Memsz: max(s.memsz, uint64(len(s.bytes))), Align: PageSize}
		if s.header {
			p.Off = 0
		}
		binary.Write(&head, binary.LittleEndian, p)
		body.Write(s.bytes)
	}
	head.Write(make([]byte, headers-head.Len()))
	return append(head.Bytes(), body.Bytes()...)
}

const (
	rx = elf.PF_R | elf.PF_X
	rw = elf.PF_R | elf.PF_W
)

// probe is a program of one segment that the QEMU tests run.
func probe(t *testing.T) []byte {
	t.Helper()
	code, err := assemble(probe64, 0)
	if err != nil {
		t.Fatal(err)
	}
	return file(testBase+PageSize, seg{typ: elf.PT_LOAD, vaddr: testBase + PageSize, flags: rx, bytes: code})
}

func TestLinkPlacesSegmentsAtTheirDistanceFromTheBase(t *testing.T) {
	text := bytes.Repeat([]byte{0xcc}, 300)
	data := bytes.Repeat([]byte{0xdd}, PageSize+1)
	image, err := Link(bytes.NewReader(file(testBase+PageSize+7,
		seg{typ: elf.PT_LOAD, vaddr: testBase + PageSize, flags: rx, bytes: text},
		seg{typ: elf.PT_LOAD, vaddr: testBase + 3*PageSize, flags: rw, bytes: data, memsz: 5 * PageSize},
	)), Options{InitSize: 8 << 20, Version: "1.2.3"})
	if err != nil {
		t.Fatal(err)
	}
	flat := image[setupSize:]
	want := make([]byte, 5*PageSize)
	copy(want, flat[:PageSize])
	copy(want[PageSize:], text)
	copy(want[3*PageSize:], data)
	if !bytes.Equal(flat, want) {
		t.Error("the protected-mode part is not the program's memory image")
	}
	if got := readParams(t, flat); !cmp.Equal(got, Params{Base: testBase, InitSize: 8 << 20, FileSize: 5 * PageSize,
		Segments: []header.Segment{
			{Start: testBase + PageSize, FileEnd: testBase + PageSize + 300, MemEnd: testBase + PageSize + 300, Flags: header.Read | header.Exec},
			{Start: testBase + 3*PageSize, FileEnd: testBase + 4*PageSize + 1, MemEnd: testBase + 8*PageSize, Flags: header.Read | header.Write},
		}}) {
		t.Errorf("parameters %#x", got)
	}
	if d := int32(binary.LittleEndian.Uint32(flat[header.Entry64+1:])); flat[header.Entry64] != 0xe9 || header.Entry64+5+d != PageSize+7 {
		t.Errorf("64-bit entry %x does not jump to the program's entry", flat[header.Entry64:header.Entry64+5])
	}
	if !bytes.Contains(image[:setupSize], []byte("1.2.3\x00")) {
		t.Error("the version is not in the setup part")
	}
}

func TestTrustIsTheEndOfTheHeaderPage(t *testing.T) {
	var segs []seg
	for i := range uint64(header.MaxSegments) {
		segs = append(segs, seg{typ: elf.PT_LOAD, vaddr: testBase + (1+i)*PageSize, flags: rx, bytes: []byte{0xf4}})
	}
	image, err := Link(bytes.NewReader(file(testBase+PageSize, segs...)), Options{})
	if err != nil {
		t.Fatal(err)
	}
	area, err := Trust(image)
	if err != nil || len(area) != header.TrustSize || !bytes.Equal(area, make([]byte, header.TrustSize)) {
		t.Fatalf("area % x, %v, of an image with as many segments as there may be", area, err)
	}
	if &area[0] != &image[setupSize+0xfa0] {
		t.Error("the area is not at 0xfa0 of the header page")
	}
	for name, bad := range map[string][]byte{
		"no image": nil, "cut short": image[:setupSize+PageSize-1], "no stage": append(make([]byte, setupSize+header.Params+1), image...),
	} {
		if _, err := Trust(bad); err == nil {
			t.Errorf("%s: accepted", name)
		}
	}
}

// readParams decodes what put wrote, as the board does.
func readParams(t *testing.T, flat []byte) (p Params) {
	t.Helper()
	word := func(i int) uint64 { return binary.LittleEndian.Uint64(flat[0x800+8*i:]) }
	if word(0) != header.Magic || !bytes.HasPrefix(flat[0x800:], []byte("FERRYIMG")) {
		t.Fatalf("magic %#x", word(0))
	}
	p = Params{Base: word(1), InitSize: word(2), FileSize: word(3)}
	for i := range int(word(4)) {
		p.Segments = append(p.Segments, header.Segment{Start: word(5 + 4*i), FileEnd: word(6 + 4*i), MemEnd: word(7 + 4*i), Flags: word(8 + 4*i)})
	}
	return p
}

func TestLinkReplacesTheELFHeaderPage(t *testing.T) {
	b := file(testBase+PageSize, seg{typ: elf.PT_LOAD, vaddr: testBase, flags: rx, header: true, bytes: make([]byte, PageSize+64)})
	image, err := Link(bytes.NewReader(b), Options{})
	if err != nil {
		t.Fatal(err)
	}
	p := readParams(t, image[setupSize:])
	want := []header.Segment{{Start: testBase + PageSize, FileEnd: testBase + PageSize + 64, MemEnd: testBase + PageSize + 64, Flags: header.Read | header.Exec}}
	if p.Base != testBase || !cmp.Equal(p.Segments, want) {
		t.Errorf("base %#x, segments %#x, want the header page left out", p.Base, p.Segments)
	}
	if bytes.Contains(image, []byte("\x7fELF")) {
		t.Error("the ELF header is still in the image")
	}
}

func TestLinkIsReproducible(t *testing.T) {
	a, err := Link(bytes.NewReader(probe(t)), Options{})
	if err != nil {
		t.Fatal(err)
	}
	b, err := Link(bytes.NewReader(probe(t)), Options{})
	if err != nil || !bytes.Equal(a, b) {
		t.Errorf("two builds of one program differ (%v)", err)
	}
}

// TestHeaderSatisfiesKexec repeats what kexec_file_load asks of an image:
// arch/x86/kernel/kexec-bzimage64.c, bzImage64_probe and bzImage64_load.
func TestHeaderSatisfiesKexec(t *testing.T) {
	image, err := Link(bytes.NewReader(probe(t)), Options{})
	if err != nil {
		t.Fatal(err)
	}
	le := binary.LittleEndian
	for _, c := range []struct {
		claim string
		ok    bool
	}{
		{"boot flag", le.Uint16(image[0x1fe:]) == 0xaa55},
		{"magic", string(image[0x202:0x206]) == "HdrS"},
		{"protocol at least 2.15", le.Uint16(image[0x206:]) >= 0x20f},
		{"loaded high", image[0x211]&1 != 0},
		{"64-bit entry", le.Uint16(image[0x236:])&1 != 0},
		{"may lie above 4 GiB", le.Uint16(image[0x236:])&2 != 0},
		{"five levels", le.Uint16(image[0x236:])&0x60 == 0x60},
		{"relocatable", image[0x234] == 1},
		{"header ends before the stub", 0x202+int(image[0x201]) == 0x26c},
		{"2 MiB alignment", le.Uint32(image[0x230:]) == 2<<20},
		{"preferred address aligned", le.Uint64(image[0x258:])%(2<<20) == 0},
		{"init size default", le.Uint32(image[0x260:]) == 64<<20},
		{"command line of Linux' length", le.Uint32(image[0x238:]) == 2047},
		{"setup part ends where the flat image starts", (int(image[0x1f1])+1)*512 == setupSize},
		{"system size", int(le.Uint32(image[0x1f4:]))*16 == len(image)-setupSize},
		{"payload not compressed", le.Uint64(image[0x248:]) == 0},
		{"kernel_info", string(image[setupSize+int(le.Uint32(image[0x268:])):][:4]) == "LToP"},
	} {
		if !c.ok {
			t.Errorf("%s: not so", c.claim)
		}
	}
}

func TestLinkRefuses(t *testing.T) {
	code := seg{typ: elf.PT_LOAD, vaddr: testBase + PageSize, flags: rx, bytes: []byte{0xf4}}
	at := func(vaddr uint64, flags elf.ProgFlag) seg {
		return seg{typ: elf.PT_LOAD, vaddr: vaddr, flags: flags, bytes: []byte{1}}
	}
	pie := file(testBase+PageSize, code)
	pie[16] = byte(elf.ET_DYN)
	arm := file(testBase+PageSize, code)
	arm[18] = byte(elf.EM_AARCH64)
	var many []seg
	for i := range uint64(header.MaxSegments + 1) {
		many = append(many, at(testBase+PageSize*(i+1), rx))
	}
	for _, c := range []struct {
		name, want string
		file       []byte
		o          Options
	}{
		{"no ELF", "not an ELF file", []byte("#!/bin/sh\n"), Options{}},
		{"position independent", "ET_EXEC", pie, Options{}},
		{"another machine", "want a 64-bit little endian x86-64", arm, Options{}},
		{"nothing to load", "no loadable segment", file(testBase), Options{}},
		{"dynamic", "must be static", file(testBase+PageSize, code, seg{typ: elf.PT_INTERP}), Options{}},
		{"unaligned", "does not start on a page", file(testBase+PageSize, at(testBase+PageSize+8, rx)), Options{}},
		{"overlap", "overlaps or precedes", file(testBase+PageSize, code, at(testBase+PageSize, rw)), Options{}},
		{"overlap by zeroed memory", "overlaps or precedes", file(testBase+PageSize,
			seg{typ: elf.PT_LOAD, vaddr: testBase + PageSize, flags: rx, bytes: []byte{1}, memsz: PageSize + 1},
			at(testBase+2*PageSize, rw)), Options{}},
		{"descending", "overlaps or precedes", file(testBase+PageSize, code, at(testBase-PageSize, rw)), Options{}},
		{"writable code", "both writable and executable", file(testBase+PageSize, at(testBase+PageSize, rx|rw)), Options{}},
		{"address space ends", "pass the end", file(testBase+PageSize, at(^uint64(PageSize-1), rx)), Options{}},
		{"far apart", "after the image base", file(testBase+PageSize, code, at(testBase*2, rw)), Options{}},
		{"no page below", "no page below", file(0, at(0, rx)), Options{}},
		{"many segments", "want at most", file(testBase+PageSize, many...), Options{}},
		{"entry outside", "not in an executable segment", file(testBase, code), Options{}},
		{"entry in data", "not in an executable segment", file(testBase+2*PageSize, code, at(testBase+2*PageSize, rw)), Options{}},
		{"only a header", "nothing beyond the header page", file(testBase,
			seg{typ: elf.PT_LOAD, vaddr: testBase, flags: rx, header: true, bytes: make([]byte, 64)}), Options{}},
		{"init size small", "too small", file(testBase+PageSize, code), Options{InitSize: 1 << 20}},
		{"init size odd", "want a multiple", file(testBase+PageSize, code), Options{InitSize: 64<<20 + 1}},
		{"init size huge", "want a multiple", file(testBase+PageSize, code), Options{InitSize: 1 << 32}},
		{"long version", "do not fit", file(testBase+PageSize, code), Options{Version: strings.Repeat("x", 4000)}},
	} {
		t.Run(c.name, func(t *testing.T) {
			_, err := Link(bytes.NewReader(c.file), c.o)
			if err == nil || !strings.Contains(err.Error(), c.want) {
				t.Errorf("error %v, want one that says %q", err, c.want)
			}
		})
	}
}

// FuzzLink: no input may panic or allocate beyond the bound of the image.
func FuzzLink(f *testing.F) {
	f.Add(file(testBase+PageSize, seg{typ: elf.PT_LOAD, vaddr: testBase + PageSize, flags: rx, bytes: []byte{0xf4}}))
	f.Fuzz(func(t *testing.T, b []byte) {
		image, err := Link(bytes.NewReader(b), Options{})
		if err == nil && len(image)%PageSize != 0 {
			t.Errorf("image of %d bytes", len(image))
		}
	})
}

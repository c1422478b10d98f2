package opened_test

import (
	"bytes"
	"encoding/binary"
	"errors"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"ferry/boot/opened"
	"ferry/boot/opened/openedtest"
	"ferry/phys"
	"ferry/phys/phystest"
)

var le = binary.LittleEndian

// parse is Parse of a part that is whole.
func parse(t testing.TB, part []byte) *opened.Kernel {
	t.Helper()
	k, err := opened.Parse(part)
	if err != nil {
		t.Fatal(err)
	}
	return k
}

func TestPartIsReadAsItWasMade(t *testing.T) {
	i := openedtest.Image()
	part, err := i.Part()
	if err != nil {
		t.Fatal(err)
	}
	k := parse(t, part)
	want := opened.Image{Link: i.Link, Memory: i.Memory, Entry: i.Entry, Alignment: i.Alignment, Space: i.Space, Setup: i.Setup, Release: i.Release}
	got := opened.Image{Link: k.Link, Memory: k.Memory, Entry: k.Entry, Alignment: k.Alignment, Space: k.Space, Setup: k.Setup, Release: k.Release}
	if d := cmp.Diff(want, got); d != "" {
		t.Errorf("(-made +read):\n%s", d)
	}
	if k.Image != uint64(len(i.Bytes)) || k.Relocations() != len(i.Wide)+len(i.Narrow) {
		t.Errorf("image of %d bytes, %d relocations", k.Image, k.Relocations())
	}
	if &k.Setup[0] != &part[256] {
		t.Error("the setup header is no window on the part")
	}
	if most := 9*phys.PageSize + len(i.Bytes)/phys.PageSize; len(part) > most {
		t.Errorf("part of %d bytes, want at most %d: pages of zeros take no room", len(part), most)
	}
}

// relocated is what the decompressor makes of an image.
func relocated(i *opened.Image, slide uint64) []byte {
	b := bytes.Clone(i.Bytes)
	for _, at := range i.Wide {
		le.PutUint64(b[at:], le.Uint64(b[at:])+slide)
	}
	for _, at := range i.Narrow {
		le.PutUint32(b[at:], le.Uint32(b[at:])+uint32(slide))
	}
	return b
}

func TestWriteRelocatesEachAddressAndNothingElse(t *testing.T) {
	i := openedtest.Image()
	k := parse(t, openedtest.Part())
	for _, slide := range []uint64{0, 2 << 20, 0x3e800000, 1<<30 - 2<<20} {
		pages := (len(i.Bytes) + 4095) &^ 4095
		to := bytes.Repeat([]byte{0xff}, pages+8)
		k.Write(to, slide)
		if !bytes.Equal(to[:len(i.Bytes)], relocated(i, slide)) {
			t.Errorf("slide %#x: the image differs", slide)
		}
		if !bytes.Equal(to[len(i.Bytes):pages], make([]byte, pages-len(i.Bytes))) {
			t.Errorf("slide %#x: behind the image its last page is not zero", slide)
		}
		if string(to[pages:]) != "\xff\xff\xff\xff\xff\xff\xff\xff" {
			t.Errorf("slide %#x: memory behind the image's pages was written to", slide)
		}
	}
}

func TestEveryPatternOfPagesIsWritten(t *testing.T) {
	i := openedtest.Image(func(i *opened.Image) {
		i.Bytes, i.Wide, i.Narrow, i.Entry = make([]byte, 10*phys.PageSize-5), nil, nil, 0
	})
	for pattern := range 1 << 10 {
		for n := range 10 {
			i.Bytes[n*phys.PageSize+17] = byte(pattern >> n & 1)
		}
		part, err := i.Part()
		if err != nil {
			t.Fatal(err)
		}
		to := bytes.Repeat([]byte{0xff}, 10*phys.PageSize)
		parse(t, part).Write(to, 0)
		if !bytes.Equal(to[:len(i.Bytes)], i.Bytes) {
			t.Fatalf("pages %010b: the image differs", pattern)
		}
	}
}

func TestParseRefuses(t *testing.T) {
	u64 := func(off int, v uint64) func([]byte) []byte {
		return func(b []byte) []byte { le.PutUint64(b[off:], v); return b }
	}
	u32 := func(off int, v uint32) func([]byte) []byte {
		return func(b []byte) []byte { le.PutUint32(b[off:], v); return b }
	}
	good := openedtest.Part()
	size := uint64(len(good))
	present, tables := le.Uint64(good[88:]), le.Uint64(good[96:])
	wides, narrows := le.Uint64(good[64:]), le.Uint64(good[72:])
	image := le.Uint64(good[24:])
	for _, c := range []struct {
		name, want string
		edit       func([]byte) []byte
	}{
		{"nothing", "at least 4096", func([]byte) []byte { return nil }},
		{"less than a header", "at least 4096", func(b []byte) []byte { return b[:4095] }},
		{"another magic", "FERRYVMX", u32(0, 0x464c457f)},
		{"another version", "version 2", u32(8, 2)},
		{"a longer header", "header length", u32(12, 8192)},
		{"no place to be linked for", "physical address 0x0", u64(16, 0)},
		{"linked for half an alignment", "physical address", u64(16, 0x1100000)},
		{"linked for what cannot be mapped", "physical address", u64(16, 1<<30)},
		{"no image", "image 0", u64(24, 0)},
		{"an image larger than its memory", "image", u64(24, 6<<20+1)},
		{"an image of the whole address space", "image", u64(24, ^uint64(0))},
		{"one page more than there are bits for", "tables at", u64(24, image+8*4096)},
		{"no memory", "memory 0", u64(32, 0)},
		{"memory that is not whole 2 MiB", "memory", u64(32, 6<<20+4096)},
		{"memory beyond what can be mapped", "memory", u64(32, 1<<30-14<<20)},
		{"an entry behind the image", "entry", u64(40, image)},
		{"an alignment of a page", "alignment 4096", u64(48, 4096)},
		{"an alignment that is no power of two", "alignment", u64(48, 6<<20)},
		{"an alignment of half of everything", "alignment", u64(48, 1<<63)},
		{"another size of virtual memory", "virtual memory", u64(56, 1<<31)},
		{"relocations of a kernel that does not move", "not randomised", u64(56, 512<<20)},
		{"one 64-bit address more", "tables of", u64(64, wides+1)},
		{"one 32-bit address less", "tables of", u64(72, narrows-1)},
		{"counts that wrap", "tables of", u64(64, 1<<62+wides)},
		{"the image somewhere else", "image at", u64(80, 8192)},
		{"bits inside a page", "whole pages", u64(88, present+1)},
		{"bits before the image", "whole pages", u64(88, 0)},
		{"bits behind the end", "whole pages", u64(88, size+4096-size%4096)},
		{"a page more than there is", "bits for", func(b []byte) []byte { b[present+1] |= 1; return b }},
		{"a page less", "bits for", func(b []byte) []byte { b[present] &^= 1; return b }},
		{"bits behind the last page", "behind the last page", func(b []byte) []byte {
			b[tables-1] = b[tables-1]&^4 | 8 // of 515 pages the last three bits of a byte are in use
			return b
		}},
		{"bytes behind the image", "behind the image", func(b []byte) []byte { b[present-1] = 1; return b }},
		{"tables inside the bits", "tables at", u64(96, tables-4)},
		{"tables elsewhere", "tables at", u64(96, tables+4)},
		{"tables behind the end", "tables at", u64(96, size)},
		{"a setup header elsewhere", "setup header at", u64(104, 512)},
		{"a setup header longer than the page", "setup header and release", u64(112, 4096)},
		{"a setup header without end", "setup header and release", u64(112, ^uint64(0))},
		{"a release elsewhere", "release at", u64(120, 256)},
		{"a release without end", "setup header and release", u64(128, ^uint64(0))},
		{"a byte more", "tables of", func(b []byte) []byte { return append(b, 0) }},
		{"an entry less", "tables of", func(b []byte) []byte { return b[:len(b)-4] }},
		{"no tables", "tables at", func(b []byte) []byte { return b[:present+1] }},
		{"addresses in no order", "64-bit relocation 1", u32(int(tables)+4, 8)},
		{"addresses on top of each other", "64-bit relocation 1", u32(int(tables)+4, 15)},
		{"an address behind the image", "64-bit relocation 5", u32(int(tables)+20, uint32(image)-7)},
		{"an address of 32 bits behind the image", "32-bit relocation 4", u32(int(size)-4, uint32(image)-3)},
		{"an address beyond everything", "32-bit relocation 4", u32(int(size)-4, 1<<32-1)},
	} {
		t.Run(c.name, func(t *testing.T) {
			_, err := opened.Parse(c.edit(bytes.Clone(good)))
			if !errors.Is(err, opened.ErrPart) || !strings.Contains(err.Error(), c.want) {
				t.Errorf("error %v, want %q", err, c.want)
			}
		})
	}
}

func TestSmallestImages(t *testing.T) {
	for _, c := range []struct {
		size         int
		wide, narrow []uint32
		ok           bool
	}{
		{1, nil, nil, true}, {3, nil, []uint32{0}, false}, {4, nil, []uint32{0}, true}, {7, []uint32{0}, nil, false}, {8, []uint32{0}, nil, true},
		{4096, []uint32{4088}, []uint32{4092}, true}, {4096, []uint32{4089}, nil, false},
	} {
		i := openedtest.Image(func(i *opened.Image) {
			i.Bytes, i.Wide, i.Narrow, i.Entry = make([]byte, c.size), c.wide, c.narrow, 0
		})
		if _, err := i.Part(); (err == nil) != c.ok {
			t.Errorf("%d bytes with addresses at %d and %d: %v", c.size, c.wide, c.narrow, err)
		}
	}
}

// FuzzPart: what is taken writes to its own memory alone, and every choice lies in
// what is free.
func FuzzPart(f *testing.F) {
	f.Add(openedtest.Part())
	f.Add(openedtest.Part(func(i *opened.Image) { i.Bytes, i.Wide, i.Narrow = i.Bytes[:5000], i.Wide[:2], nil; i.Entry = 1 }))
	f.Add(openedtest.Part(func(i *opened.Image) { i.Space, i.Wide, i.Narrow = 512<<20, nil, nil }))
	to := make([]byte, 16<<20)
	f.Fuzz(func(t *testing.T, part []byte) {
		phystest.Bounded(t, 2*phys.PageSize, func() { opened.Parse(part) }) // the release, or what is wrong
		k, err := opened.Parse(part)
		if err != nil {
			if !errors.Is(err, opened.ErrPart) {
				t.Errorf("error without a rule: %v", err)
			}
			return
		}
		if k.Image > k.Memory || k.Entry >= k.Image || uint64(k.Link)+k.Memory > k.Space {
			t.Fatalf("image of %d bytes in memory of %d, entry at %d", k.Image, k.Memory, k.Entry)
		}
		free := []phys.Range{{Start: 0x1234567, End: 0x7654321}, {Start: 1 << 30, End: 3 << 30}}
		at, slide := k.Choose(free, func(b []byte) { copy(b, part[len(part)-16:]) })
		if at.Empty() != (k.Places(free) == 0) || !at.Empty() && (!at.Start.Aligned(k.Alignment) || at.Size() != k.Memory ||
			!free[0].Contains(at) && !free[1].Contains(at)) || slide%k.Alignment != 0 || uint64(k.Link)+slide+k.Memory > k.Space {
			t.Fatalf("at %v, slide %#x", at, slide)
		}
		pages := (k.Image + phys.PageSize - 1) &^ (phys.PageSize - 1)
		if pages > uint64(len(to)) {
			return
		}
		k.Write(to[:pages:pages], slide)
	})
}

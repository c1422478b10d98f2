package memfd_test

import (
	"bytes"
	"encoding/binary"
	"errors"
	"fmt"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"ferry/blockset"
	"ferry/kho"
	"ferry/memfd"
	"ferry/phys"
	"ferry/phys/phystest"
)

// A machine of 128 MiB with scratch at its beginning.
const base phys.Addr = 0x10000000

var areas = []kho.ScratchArea{{Addr: base, Size: 4 << 20}, {Addr: base}, {Addr: base + 4<<20, Size: 4 << 20}}

// first begins the handover of a first kernel.
func first(t testing.TB) *kho.Draft {
	t.Helper()
	ram := phys.Range{Start: base, End: base + 128<<20}
	d, err := kho.New(phystest.New(t, ram), phys.NewRanges(ram), base, areas, nil)
	if err != nil {
		t.Fatal(err)
	}
	return d
}

// commit makes d the handover and opens it.
func commit(t testing.TB, d *kho.Draft) (*kho.Handover, *blockset.Checker) {
	t.Helper()
	data, err := d.Commit()
	if err != nil {
		t.Fatal(err)
	}
	h, err := kho.Open(d.Memory(), data)
	if err != nil {
		t.Fatal(err)
	}
	return h, blockset.NewChecker(d.Memory(), h.Map, h.Scratch)
}

// folios takes memory for a file: one folio of each order, behind each other. A
// negative order is a hole of that many pages without an entry, 100 an entry
// without memory. Each page holds its index in the file.
func folios(t testing.TB, d *kho.Draft, orders ...int) (fs []memfd.Folio, pages uint64) {
	t.Helper()
	for _, o := range orders {
		switch {
		case o < 0:
			pages += uint64(-o)
			continue
		case o == 100:
			fs = append(fs, memfd.Folio{Index: pages})
			pages++
			continue
		}
		a, b, err := d.AllocBlock(phys.Order(o))
		if err != nil {
			t.Fatal(err)
		}
		f := memfd.Folio{Block: phys.Block{Addr: a, Order: phys.Order(o)}, Index: pages, Flags: memfd.Dirty | memfd.UpToDate}
		for i := range f.Block.Order.Pages() {
			binary.LittleEndian.PutUint64(b[i*phys.PageSize:], pages+i+1)
		}
		fs, pages = append(fs, f), pages+f.Block.Order.Pages()
	}
	return fs, pages
}

func repeat(n, order int) []int {
	s := make([]int, n)
	for i := range s {
		s[i] = order
	}
	return s
}

func TestWhatIsWrittenIsRead(t *testing.T) {
	for _, tt := range []struct {
		name   string
		orders []int
		cut    uint64 // bytes by which the file ends before its last page
		meta   memfd.Meta
	}{
		{"empty", nil, 0, memfd.Meta{Pos: 7}},
		{"one page", []int{0}, 0, memfd.Meta{Pos: 4096, Seals: 0x3f}},
		{"one byte", []int{0}, 4095, memfd.Meta{}},
		{"an array of exactly one page", repeat(256, 0), 1, memfd.Meta{Seals: memfd.SealSeal}},
		{"an array of two pages", repeat(257, 0), 0, memfd.Meta{}},
		{"large folios", []int{9, 9, 2, 1, 0, -1, 1}, 100, memfd.Meta{}},
		{"a large folio beyond the end", []int{9}, 511 * 4096, memfd.Meta{}},
		{"holes", []int{0, -3, 0, 100, 100, -3, 1, 100}, 0, memfd.Meta{}},
		{"a hole at the beginning", []int{-8, 3}, 5000, memfd.Meta{}},
		{"only holes", []int{100, 100}, 0, memfd.Meta{}},
	} {
		t.Run(tt.name, func(t *testing.T) {
			d := first(t)
			fs, pages := folios(t, d, tt.orders...)
			tt.meta.Size = pages*phys.PageSize - tt.cut
			a, err := memfd.Write(d, tt.meta, fs)
			if err != nil {
				t.Fatal(err)
			}
			h, c := commit(t, d)
			f, err := memfd.Open(h, c, a)
			if err != nil {
				t.Fatal(err)
			}
			if f.Meta != tt.meta || f.Folios != uint64(len(fs)) || f.Addr != a {
				t.Errorf("%+v with %d folios at %v, want %+v with %d at %v", f.Meta, f.Folios, f.Addr, tt.meta, len(fs), a)
			}
			var got []memfd.Folio
			if err := f.Walk(func(f memfd.Folio) error { got = append(got, f); return nil }); err != nil {
				t.Fatal(err)
			}
			if diff := cmp.Diff(fs, got); diff != "" {
				t.Errorf("folios (-written +read):\n%s", diff)
			}
			if err := f.Check(c); err != nil {
				t.Error(err)
			}
			checkContents(t, f, fs)
		})
	}
}

// checkContents proves that the contents of f are whole, in order, and those
// that folios wrote.
func checkContents(t *testing.T, f *memfd.File, fs []memfd.Folio) {
	t.Helper()
	mapped := make(map[uint64]bool) // pages that have memory
	for _, folio := range fs {
		for i := range folio.Block.Order.Pages() {
			mapped[folio.Index+i] = !folio.Hole()
		}
	}
	next := uint64(0)
	err := f.Contents(func(off, n uint64, data []byte) error {
		if off != next || n == 0 {
			return fmt.Errorf("%d bytes at %d, want some at %d", n, off, next)
		}
		next += n
		for p := off / phys.PageSize; p*phys.PageSize < off+n; p++ {
			if mapped[p] != (data != nil) {
				return fmt.Errorf("page %d has memory: %v", p, data != nil)
			}
			if i := p*phys.PageSize - off; data != nil && i+8 <= n && binary.LittleEndian.Uint64(data[i:]) != p+1 {
				return fmt.Errorf("page %d holds other contents", p)
			}
		}
		if data != nil && uint64(len(data)) != n {
			return fmt.Errorf("%d bytes of data for %d", len(data), n)
		}
		return nil
	})
	if err != nil {
		t.Error(err)
	}
	if next != f.Size {
		t.Errorf("contents of %d bytes, want %d", next, f.Size)
	}
}

func TestWalkingAllocatesNothing(t *testing.T) {
	d := first(t)
	fs, pages := folios(t, d, repeat(2000, 0)...)
	a, err := memfd.Write(d, memfd.Meta{Size: pages * phys.PageSize}, fs)
	if err != nil {
		t.Fatal(err)
	}
	h, c := commit(t, d)
	f, err := memfd.Open(h, c, a)
	if err != nil {
		t.Fatal(err)
	}
	if n := testing.AllocsPerRun(5, func() { f.Walk(func(memfd.Folio) error { return nil }) }); n != 0 {
		t.Errorf("%v allocations for 2000 folios", n)
	}
}

func TestWriteRefusesWhatReadersWould(t *testing.T) {
	d := first(t)
	fs, _ := folios(t, d, 0, 0, 1)
	for _, tt := range []struct {
		name   string
		meta   memfd.Meta
		folios []memfd.Folio
		want   error
	}{
		{"contents without size", memfd.Meta{}, fs, memfd.ErrStruct},
		{"size without contents", memfd.Meta{Size: 1}, nil, memfd.ErrStruct},
		{"a file too short", memfd.Meta{Size: 8192}, fs, memfd.ErrStruct},
		{"a folio behind the end", memfd.Meta{Size: 8193}, fs[1:], nil},
		{"descending folios", memfd.Meta{Size: 16384}, []memfd.Folio{fs[1], fs[0]}, memfd.ErrFolio},
		{"a folio at an odd index", memfd.Meta{Size: 16384}, []memfd.Folio{{Block: fs[2].Block, Index: 1}}, memfd.ErrFolio},
		{"a folio that is not preserved", memfd.Meta{Size: 1}, []memfd.Folio{{Block: phys.Block{Addr: base + 9<<20}}}, kho.ErrPreserved},
		{"unknown seals", memfd.Meta{Seals: 0x40}, nil, memfd.ErrStruct},
	} {
		if _, err := memfd.Write(d, tt.meta, tt.folios); !errors.Is(err, tt.want) {
			t.Errorf("%s: %v, want %v", tt.name, err, tt.want)
		}
	}
}

func TestOpenRejects(t *testing.T) {
	type broken struct {
		structure, array, chunk []byte
		at                      phys.Addr // of the structure
		fs                      []memfd.Folio
	}
	put := binary.LittleEndian.PutUint64
	for _, tt := range []struct {
		name string
		do   func(*broken)
		want error
		text string
	}{
		{"structure outside RAM", func(b *broken) { b.at = 1 << 44 }, phys.ErrNotRAM, "structure 0x100000000000"},
		{"structure not page aligned", func(b *broken) { b.at += 8 }, blockset.ErrUnaligned, ""},
		{"structure in scratch", func(b *broken) { b.at = base + 0x2000 }, blockset.ErrScratch, ""},
		{"structure not preserved", func(b *broken) { b.at = base + 8<<20 }, blockset.ErrNotPreserved, ""},
		{"structure is a folio of order 1", func(b *broken) { b.at = b.fs[2].Block.Addr }, blockset.ErrNotPreserved, ""},
		{"negative size", func(b *broken) { b.structure[15] = 0x80 }, memfd.ErrStruct, "size 0x8"},
		{"negative position", func(b *broken) { b.structure[7] = 0xff }, memfd.ErrStruct, "position 0xff"},
		{"unknown seal", func(b *broken) { b.structure[16] = 0x40 }, memfd.ErrStruct, "seals 0x40, want seals 0x3f at most"},
		{"flags", func(b *broken) { b.structure[20] = 1 }, memfd.ErrStruct, "flags 0x1, want 0"},
		{"more folios than pages", func(b *broken) { b.structure[24] = 6 }, memfd.ErrStruct, "6 folios for 20480 bytes, want 1..5"},
		{"no folios for contents", func(b *broken) { b.structure[24] = 0 }, memfd.ErrStruct, "0 folios"},
		{"folios for no contents", func(b *broken) { put(b.structure[8:], 0) }, memfd.ErrStruct, "4 folios for 0 bytes"},
		{"an array without folios", func(b *broken) { put(b.structure[8:], 0); put(b.structure[24:], 0) }, memfd.ErrStruct, "array without folios"},
		{"an array too long", func(b *broken) { b.structure[40] = 2 }, memfd.ErrStruct, "array of 2 pages, want 1 for 4 folios"},
		{"an array of large pages", func(b *broken) { b.structure[46] = 9 }, kho.ErrVmalloc, "folio array"},
		{"an array without chunks", func(b *broken) { put(b.structure[32:], 0) }, kho.ErrVmalloc, "folio array"},
		{"a chunk that is not preserved", func(b *broken) { put(b.structure[32:], uint64(base)+8<<20) }, kho.ErrPreserved, "folio array: vmalloc chunk"},
		{"a chunk that is the structure", func(b *broken) {
			clear(b.structure[:8]) // next
			put(b.structure[32:], uint64(b.at))
		}, kho.ErrPreserved, "vmalloc chunk"},
		{"an array that is its own chunk", func(b *broken) { put(b.chunk[8:], u64(b.structure[32:])) }, blockset.ErrShared, "folio array"},
		{"an array that is the structure", func(b *broken) { put(b.chunk[8:], uint64(b.at)) }, blockset.ErrShared, "folio array"},
		{"a folio that is not preserved", func(b *broken) { put(b.array, u64(b.array)+0x4000) }, kho.ErrPreserved, "folio 0"},
		{"a folio outside memory", func(b *broken) { put(b.array[16:], 3<<52|0xfffffffffffff) }, kho.ErrPreserved, "folio 1"},
		{"the tail of a folio", func(b *broken) { put(b.array[32:], u64(b.array[32:])+1) }, kho.ErrPreserved, "folio 2"},
		{"unknown folio flags", func(b *broken) { b.array[7] |= 0x80 }, memfd.ErrFolio, "folio 0: entry 0x17"},
		{"a folio at an odd index", func(b *broken) { put(b.array[40:], 3) }, memfd.ErrFolio, "index 3, want a multiple of its 2 pages"},
		{"two folios at one index", func(b *broken) { put(b.array[24:], 0) }, memfd.ErrFolio, "index 0, want 1 or above"},
		{"a folio behind the end", func(b *broken) { put(b.array[56:], 5) }, memfd.ErrFolio, "index 5, want below 5"},
		{"a folio at the end of the number range", func(b *broken) { put(b.array[56:], ^uint64(0)) }, memfd.ErrFolio, "index 18446744073709551615"},
		{"one folio twice", func(b *broken) { put(b.array[16:], u64(b.array)) }, blockset.ErrShared, "folio 1"},
		{"a folio that is the structure", func(b *broken) { put(b.array, 3<<52|uint64(b.at)>>12) }, blockset.ErrShared, "folio 0"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			d := first(t)
			fs, pages := folios(t, d, 0, 0, 1, 0)
			a, err := memfd.Write(d, memfd.Meta{Size: pages * phys.PageSize}, fs)
			if err != nil {
				t.Fatal(err)
			}
			h, c := commit(t, d)
			f, err := memfd.Open(h, c, a)
			if err == nil {
				err = f.Check(c)
			}
			if err != nil {
				t.Fatalf("before it was broken: %v", err)
			}
			edit := func(a phys.Addr) []byte {
				b, err := d.Memory().Edit(a, phys.PageSize)
				if err != nil {
					t.Fatal(err)
				}
				return b
			}
			b := &broken{structure: edit(a), at: a, fs: fs}
			b.chunk = edit(phys.Addr(u64(b.structure[32:])))
			b.array = edit(phys.Addr(u64(b.chunk[8:])))
			tt.do(b)
			c = blockset.NewChecker(d.Memory(), h.Map, h.Scratch)
			if f, err = memfd.Open(h, c, b.at); err == nil {
				err = f.Check(c)
			}
			var e *phys.Error
			if !errors.Is(err, tt.want) || !errors.As(err, &e) || !strings.HasPrefix(err.Error(), "memfd") || !strings.Contains(err.Error(), tt.text) {
				t.Errorf("got %v, want %v with %q", err, tt.want, tt.text)
			}
		})
	}
}

func TestFolioOfTwoFilesIsRefused(t *testing.T) {
	d := first(t)
	fs, _ := folios(t, d, 0, 0)
	var addrs [2]phys.Addr
	for i := range addrs {
		var err error
		if addrs[i], err = memfd.Write(d, memfd.Meta{Size: 4096}, []memfd.Folio{{Block: fs[0].Block}}); err != nil {
			t.Fatal(err)
		}
	}
	h, c := commit(t, d)
	for i, want := range []error{nil, blockset.ErrShared} {
		f, err := memfd.Open(h, c, addrs[i])
		if err != nil {
			t.Fatal(err)
		}
		if err := f.Check(c); !errors.Is(err, want) {
			t.Errorf("file %d: %v, want %v", i, err, want)
		}
	}
	if _, err := memfd.Open(h, c, addrs[0]); !errors.Is(err, blockset.ErrShared) {
		t.Errorf("the same structure again: %v, want ErrShared", err)
	}
}

func u64(b []byte) uint64 { return binary.LittleEndian.Uint64(b) }

// FuzzOpen lets the fuzzer write structure, chunk and array of a file.
func FuzzOpen(f *testing.F) {
	seed := func(orders ...int) []byte {
		d := first(f)
		fs, pages := folios(f, d, orders...)
		a, err := memfd.Write(d, memfd.Meta{Size: pages * phys.PageSize}, fs)
		if err != nil {
			f.Fatal(err)
		}
		view := func(a phys.Addr, n uint64) []byte {
			b, err := d.Memory().View(a, n)
			if err != nil {
				f.Fatal(err)
			}
			return b
		}
		b := bytes.Clone(view(a, 48))
		chunk := view(phys.Addr(u64(b[32:])), 16)
		b = append(b, chunk...)
		return append(b, view(phys.Addr(u64(chunk[8:])), uint64(16*len(fs)))...)
	}
	f.Add(seed(0, 0, 1, 0))
	f.Add(seed(2))
	f.Fuzz(func(t *testing.T, data []byte) {
		d := first(t)
		fs, pages := folios(t, d, 0, 0, 1, 0)
		a, err := memfd.Write(d, memfd.Meta{Size: pages * phys.PageSize}, fs)
		if err != nil {
			t.Fatal(err)
		}
		h, c := commit(t, d)
		edit := func(a phys.Addr, n int) {
			b, err := d.Memory().Edit(a, phys.PageSize)
			if err != nil {
				return
			}
			n = min(n, len(data))
			copy(b, data[:n])
			data = data[n:]
		}
		structure, err := d.Memory().View(a, 48)
		if err != nil {
			t.Fatal(err)
		}
		chunkAt := phys.Addr(u64(structure[32:]))
		chunk, err := d.Memory().View(chunkAt, 16)
		if err != nil {
			t.Fatal(err)
		}
		arrayAt := phys.Addr(u64(chunk[8:]))
		edit(a, 48)
		edit(chunkAt, 16)
		edit(arrayAt, 4096)
		file, err := memfd.Open(h, c, a)
		if err != nil {
			return
		}
		if file.Check(c) != nil {
			return
		}
		next := uint64(0)
		err = file.Contents(func(off, n uint64, _ []byte) error {
			if off != next || n == 0 {
				return fmt.Errorf("%d bytes at %d, want some at %d", n, off, next)
			}
			next += n
			return nil
		})
		if err != nil || next != file.Size {
			t.Fatalf("an accepted file has %d of %d bytes: %v", next, file.Size, err)
		}
	})
}

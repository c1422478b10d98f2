package memfd_test

import (
	"encoding/binary"
	"errors"
	"strings"
	"testing"

	"ferry/kho"
	"ferry/memfd"
	"ferry/own"
	"ferry/phys"
)

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
		{"unknown seals", memfd.Meta{Seals: 0x40}, nil, memfd.ErrStruct},
	} {
		if _, err := memfd.Write(d, memfd.V2, tt.meta, tt.folios); !errors.Is(err, tt.want) {
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
		{"structure not page aligned", func(b *broken) { b.at += 8 }, own.ErrPlace, ""},
		{"structure in scratch", func(b *broken) { b.at = base + 0x2000 }, own.ErrPlace, ""},
		{"structure not preserved", func(b *broken) { b.at = base + 8<<20 }, own.ErrPreserved, ""},
		{"structure is a folio of order 1", func(b *broken) { b.at = b.fs[2].Block.Addr }, own.ErrPreserved, ""},
		{"negative size", func(b *broken) { b.structure[15] = 0x80 }, memfd.ErrStruct, "size 0x8"},
		{"unknown seal", func(b *broken) { b.structure[16] = 0x40 }, memfd.ErrStruct, "seals 0x40, want seals 0x3f at most"},
		{"more folios than pages", func(b *broken) { b.structure[24] = 6 }, memfd.ErrStruct, "6 folios for 20480 bytes, want 1..5"},
		{"no folios for contents", func(b *broken) { b.structure[24] = 0 }, memfd.ErrStruct, "0 folios"},
		{"folios for no contents", func(b *broken) { put(b.structure[8:], 0) }, memfd.ErrStruct, "4 folios for 0 bytes"},
		{"an array too long", func(b *broken) { b.structure[40] = 2 }, memfd.ErrStruct, "array of 2 pages, want 1 for 4 folios"},
		{"an array of large pages", func(b *broken) { b.structure[46] = 9 }, kho.ErrVmalloc, "folio array"},
		{"an array without chunks", func(b *broken) { put(b.structure[32:], 0) }, kho.ErrVmalloc, "folio array"},
		{"a chunk that is not preserved", func(b *broken) { put(b.structure[32:], uint64(base)+8<<20) }, own.ErrPreserved, "folio array: vmalloc area 0x"},
		{"a chunk that is the structure", func(b *broken) {
			clear(b.structure[:8]) // next
			put(b.structure[32:], uint64(b.at))
		}, own.ErrShared, ": chunk 0x"},
		{"an array that is its own chunk", func(b *broken) { put(b.chunk[8:], u64(b.structure[32:])) }, own.ErrShared, "folio array"},
		{"an array that is the structure", func(b *broken) { put(b.chunk[8:], uint64(b.at)) }, own.ErrShared, "folio array"},
		{"a folio at an odd index", func(b *broken) { put(b.array[40:], 3) }, memfd.ErrFolio, "index 3, want a multiple of its 2 pages"},
		{"two folios at one index", func(b *broken) { put(b.array[24:], 0) }, memfd.ErrFolio, "index 0, want 1 or above"},
		{"a folio behind the end", func(b *broken) { put(b.array[56:], 5) }, memfd.ErrFolio, "index 5, want below 5"},
		{"a folio at the end of the number range", func(b *broken) { put(b.array[56:], ^uint64(0)) }, memfd.ErrFolio, "index 18446744073709551615"},
		{"one folio twice", func(b *broken) { put(b.array[16:], u64(b.array)) }, own.ErrShared, "folio 1"},
		{"a folio that is the structure", func(b *broken) { put(b.array, 3<<52|uint64(b.at)>>12) }, own.ErrShared, "folio 0"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			d := first(t)
			fs, pages := folios(t, d, 0, 0, 1, 0)
			a, err := memfd.Write(d, memfd.V2, memfd.Meta{Size: pages * phys.PageSize}, fs)
			if err != nil {
				t.Fatal(err)
			}
			h, c := commit(t, d)
			f, err := memfd.Open(c, memfd.Ref{Format: memfd.V2, Addr: a})
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
			c = h.Ledger()
			if f, err = memfd.Open(c, memfd.Ref{Format: memfd.V2, Addr: b.at}); err == nil {
				err = f.Check(c)
			}
			var e *phys.Error
			if !errors.Is(err, tt.want) || !errors.As(err, &e) || !strings.HasPrefix(err.Error(), "memfd") || !strings.Contains(err.Error(), tt.text) {
				t.Errorf("got %v, want %v with %q", err, tt.want, tt.text)
			}
		})
	}
}

// TestOpenRejectsV1 breaks what lies elsewhere in the format without seals.
func TestOpenRejectsV1(t *testing.T) {
	put := binary.LittleEndian.PutUint64
	for _, tt := range []struct {
		name string
		do   func(structure []byte)
		want error
		text string
	}{
		{"negative size", func(b []byte) { b[15] = 0x80 }, memfd.ErrStruct, "size 0x8"},
		{"more folios than pages", func(b []byte) { b[16] = 3 }, memfd.ErrStruct, "3 folios for 8192 bytes, want 1..2"},
		{"seals in the place of folios", func(b []byte) { put(b[16:], 6) }, memfd.ErrStruct, "6 folios"},
		{"no folios for contents", func(b []byte) { b[16] = 0 }, memfd.ErrStruct, "0 folios"},
		{"an array too long", func(b []byte) { b[32] = 2 }, memfd.ErrStruct, "array of 2 pages"},
		{"an array without chunks", func(b []byte) { put(b[24:], 0) }, kho.ErrVmalloc, "folio array"},
		{"an array of the format with seals", func(b []byte) { copy(b[32:], b[24:40]); put(b[24:], 0) }, memfd.ErrStruct, "array of"},
	} {
		d := first(t)
		fs, pages := folios(t, d, 0, 0)
		a, err := memfd.Write(d, memfd.V1, memfd.Meta{Size: pages * phys.PageSize}, fs)
		if err != nil {
			t.Fatal(err)
		}
		h, c := commit(t, d)
		page, err := d.Memory().Edit(a, phys.PageSize)
		if err != nil {
			t.Fatal(err)
		}
		if _, err := memfd.Open(h.Ledger(), memfd.Ref{Format: memfd.V1, Addr: a}); err != nil {
			t.Fatalf("before it was broken: %v", err)
		}
		tt.do(page)
		_, err = memfd.Open(c, memfd.Ref{Format: memfd.V1, Addr: a})
		var e *phys.Error
		if !errors.Is(err, tt.want) || !errors.As(err, &e) || !strings.Contains(err.Error(), tt.text) {
			t.Errorf("%s: got %v, want %v with %q", tt.name, err, tt.want, tt.text)
		}
	}
	if _, err := memfd.Write(first(t), memfd.V1, memfd.Meta{Seals: memfd.SealWrite}, nil); !errors.Is(err, memfd.ErrFormat) {
		t.Errorf("seals that the format has no room for: %v", err)
	}
}

func TestFolioOfTwoFilesIsRefused(t *testing.T) {
	d := first(t)
	fs, _ := folios(t, d, 0, 0)
	var addrs [2]phys.Addr
	for i := range addrs {
		var err error
		if addrs[i], err = memfd.Write(d, memfd.V2, memfd.Meta{Size: 4096}, []memfd.Folio{{Block: fs[0].Block}}); err != nil {
			t.Fatal(err)
		}
	}
	_, c := commit(t, d)
	for i, want := range []error{nil, own.ErrShared} {
		f, err := memfd.Open(c, memfd.Ref{Format: memfd.V2, Addr: addrs[i]})
		if err != nil {
			t.Fatal(err)
		}
		if err := f.Check(c); !errors.Is(err, want) {
			t.Errorf("file %d: %v, want %v", i, err, want)
		}
	}
	if _, err := memfd.Open(c, memfd.Ref{Format: memfd.V2, Addr: addrs[0]}); !errors.Is(err, own.ErrShared) {
		t.Errorf("the same structure again: %v, want ErrShared", err)
	}
}

package kho_test

import (
	"encoding/binary"
	"errors"
	"slices"
	"testing"

	"github.com/google/go-cmp/cmp"

	"ferry/kho"
	"ferry/own"
	"ferry/phys"
	"ferry/phys/phystest"
)

// areaAt is where the tests say that they read a descriptor; nothing lies there.
const areaAt = phys.Addr(0x5020)

// vmalloced commits an area of n blocks of order o in the fixture.
func vmalloced(f *fixture, n int, o phys.Order) (kho.Vmalloc, []phys.Addr) {
	f.Helper()
	_, d := f.draft()
	var blocks []phys.Addr
	for range n {
		a, _, err := d.AllocBlock(o)
		f.check(err)
		blocks = append(blocks, a)
	}
	v, err := d.Vmalloc(kho.VmallocAlloc, o, blocks)
	f.check(err)
	f.data, err = d.Commit()
	f.check(err)
	return v, blocks
}

func TestVmallocAreasAreReadAsWritten(t *testing.T) {
	for _, c := range []struct {
		blocks int
		order  phys.Order
		chunks int
	}{
		{1, 0, 1}, {3, 9, 1}, {510, 0, 1},
		{511, 0, 2}, // a full chunk has an empty successor
		{512, 0, 2}, {1022, 0, 3}, {1600, 1, 4},
	} {
		f := newFixture(t)
		v, blocks := vmalloced(f, c.blocks, c.order)
		parsed := kho.ParseVmalloc(v.Append(nil))
		if parsed != v || len(v.Append(nil)) != kho.VmallocSize || v.Pages != uint32(c.blocks)<<c.order {
			t.Errorf("%+v parsed as %+v", v, parsed)
		}
		area, err := kho.OpenVmalloc(f.open().Ledger().As("area", areaAt), areaAt, parsed)
		f.check(err)
		var got []phys.Addr
		for i := range area.Len() {
			b := area.Block(i)
			bytes, err := area.View(i)
			f.check(err)
			if b.Order != c.order || uint64(len(bytes)) != c.order.Bytes() {
				t.Fatalf("block %d: %v, %d bytes", i, b, len(bytes))
			}
			got = append(got, b.Addr)
		}
		if diff := cmp.Diff(blocks, got); diff != "" || len(area.Chunks()) != c.chunks {
			t.Errorf("%d blocks of order %d: %d chunks, want %d (-written +read):\n%s", c.blocks, c.order, len(area.Chunks()), c.chunks, diff)
		}
	}
}

func TestVmallocAcceptsAFullChunkWithoutSuccessor(t *testing.T) {
	f := newFixture(t)
	v, _ := vmalloced(f, 511, 0)
	f.setWord(v.First, 0)
	area, err := kho.OpenVmalloc(f.open().Ledger().As("area", areaAt), areaAt, v)
	if err != nil || len(area.Chunks()) != 1 || area.Len() != 511 {
		t.Errorf("%+v, %v", area, err)
	}
}

func TestVmallocRefuses(t *testing.T) {
	second := func(f *fixture, v *kho.Vmalloc) phys.Addr { return phys.Addr(f.word(v.First)) }
	for _, c := range []struct {
		name   string
		damage func(f *fixture, v *kho.Vmalloc, blocks []phys.Addr) phys.Addr
		rule   error
		object string
	}{
		{"order too large", func(f *fixture, v *kho.Vmalloc, _ []phys.Addr) phys.Addr {
			v.Order, v.Pages = 11, 1<<11
			return areaAt + 14
		}, kho.ErrVmalloc, "area"},
		{"order of another size", func(f *fixture, v *kho.Vmalloc, _ []phys.Addr) phys.Addr {
			v.Order, v.Pages = 0, 600
			return v.First + 8
		}, own.ErrPreserved, "slot 0"},
		{"pages not whole blocks", func(f *fixture, v *kho.Vmalloc, _ []phys.Addr) phys.Addr { v.Pages++; return areaAt + 8 }, kho.ErrVmalloc, "area"},
		{"no pages", func(f *fixture, v *kho.Vmalloc, _ []phys.Addr) phys.Addr { v.Pages = 0; return areaAt + 8 }, kho.ErrVmalloc, "area"},
		{"one block too many", func(f *fixture, v *kho.Vmalloc, _ []phys.Addr) phys.Addr {
			v.Pages -= 2
			return second(f, v) + 8*(600-511)
		}, kho.ErrVmalloc, "slot 88"},
		{"one block too few", func(f *fixture, v *kho.Vmalloc, _ []phys.Addr) phys.Addr { v.Pages += 2; return second(f, v) }, kho.ErrVmalloc, "link"},
		{"as many pages as can be said", func(f *fixture, v *kho.Vmalloc, _ []phys.Addr) phys.Addr { v.Pages = ^uint32(1); return second(f, v) }, kho.ErrVmalloc, "link"},
		{"no chunk", func(f *fixture, v *kho.Vmalloc, _ []phys.Addr) phys.Addr { v.First = 0; return areaAt }, kho.ErrVmalloc, "area"},
		{"chunk outside RAM", func(f *fixture, v *kho.Vmalloc, _ []phys.Addr) phys.Addr {
			v.First = phys.Addr(outside)
			return areaAt
		}, own.ErrPreserved, "link"},
		{"chunk not preserved", func(f *fixture, v *kho.Vmalloc, _ []phys.Addr) phys.Addr { v.First = loneBlock + 4096; return areaAt }, own.ErrPreserved, "link"},
		{"chunk inside a larger block", func(f *fixture, v *kho.Vmalloc, _ []phys.Addr) phys.Addr { v.First = hugeBlock; return areaAt }, own.ErrPreserved, "link"},
		{"chunk unaligned", func(f *fixture, v *kho.Vmalloc, _ []phys.Addr) phys.Addr { v.First += 8; return areaAt }, own.ErrPreserved, "link"},
		{"chunk in scratch", func(f *fixture, v *kho.Vmalloc, _ []phys.Addr) phys.Addr { v.First = scratch0; return areaAt }, own.ErrPreserved, "link"},
		{"chunk that follows itself", func(f *fixture, v *kho.Vmalloc, _ []phys.Addr) phys.Addr {
			f.setWord(v.First, uint64(v.First))
			return v.First
		}, kho.ErrVmalloc, "link"},
		{"last chunk that follows itself", func(f *fixture, v *kho.Vmalloc, _ []phys.Addr) phys.Addr {
			f.setWord(second(f, v), uint64(second(f, v)))
			return second(f, v)
		}, kho.ErrVmalloc, "link"},
		{"chunks short of one", func(f *fixture, v *kho.Vmalloc, _ []phys.Addr) phys.Addr {
			f.setWord(v.First, 0)
			return v.First
		}, kho.ErrVmalloc, "link"},
		{"gap in a chunk", func(f *fixture, v *kho.Vmalloc, _ []phys.Addr) phys.Addr {
			f.setWord(v.First+8*5, 0)
			return v.First + 8*6
		}, kho.ErrVmalloc, "slot 5"},
		{"gap in a chunk with the right number of blocks", func(f *fixture, v *kho.Vmalloc, _ []phys.Addr) phys.Addr {
			f.setWord(v.First+8*5, 0)
			v.Pages -= 2
			return v.First + 8*6
		}, kho.ErrVmalloc, "slot 5"},
		{"middle chunk not full", func(f *fixture, v *kho.Vmalloc, _ []phys.Addr) phys.Addr {
			f.setWord(v.First+8*511, 0)
			return v.First
		}, kho.ErrVmalloc, "link"},
		{"block not preserved", func(f *fixture, v *kho.Vmalloc, _ []phys.Addr) phys.Addr {
			f.setWord(v.First+8*7, uint64(loneBlock)+0x10000)
			return v.First + 8*7
		}, own.ErrPreserved, "slot 6"},
		{"block of another order", func(f *fixture, v *kho.Vmalloc, _ []phys.Addr) phys.Addr {
			f.setWord(v.First+8*7, uint64(loneBlock))
			return v.First + 8*7
		}, own.ErrPreserved, "slot 6"},
	} {
		t.Run(c.name, func(t *testing.T) {
			f := newFixture(t)
			v, blocks := vmalloced(f, 600, 1)
			at := c.damage(f, &v, blocks)
			_, err := kho.OpenVmalloc(f.open().Ledger().As("area", areaAt), areaAt, v)
			refusedAs(t, err, c.rule, at, c.object)
		})
	}
}

// TestVmallocFollowsNoLoop: a list of chunks that lead back to one of them costs as
// much as there are chunks, however many pages the descriptor claims.
func TestVmallocFollowsNoLoop(t *testing.T) {
	for n := 1; n <= 5; n++ { // chunks
		for to := range n { // where the last one leads to
			f := newFixture(t)
			v, _ := vmalloced(f, 511*n, 0)
			chunks := []phys.Addr{v.First}
			for len(chunks) < n {
				chunks = append(chunks, phys.Addr(f.word(chunks[len(chunks)-1])))
			}
			f.setWord(chunks[n-1], uint64(chunks[to]))
			h := f.open()
			for _, pages := range []uint32{uint32(511 * n), ^uint32(0)} {
				v.Pages = pages
				var err error
				phystest.Bounded(t, 12<<10, func() { _, err = kho.OpenVmalloc(h.Ledger().As("area", areaAt), areaAt, v) })
				if !errors.Is(err, kho.ErrVmalloc) && !errors.Is(err, own.ErrShared) {
					t.Errorf("%d chunks, the last leads to number %d: %v", n, to, err)
				}
			}
		}
	}
}

// TestReadersPassOverWhatNoKernelWrites: kho_restore_vmalloc knows two flags, and stops
// at the first empty slot of a chunk.
func TestReadersPassOverWhatNoKernelWrites(t *testing.T) {
	second := func(f *fixture, v *kho.Vmalloc) phys.Addr { return phys.Addr(f.word(v.First)) }
	for _, c := range []struct {
		name   string
		damage func(f *fixture, v *kho.Vmalloc, blocks []phys.Addr) phys.Addr
		rule   error
		object string
	}{
		{"flags unknown", func(f *fixture, v *kho.Vmalloc, _ []phys.Addr) phys.Addr { v.Flags = 4; return areaAt + 12 }, kho.ErrVmalloc, "area"},
		{"a block after the end of the list", func(f *fixture, v *kho.Vmalloc, b []phys.Addr) phys.Addr {
			f.setWord(second(f, v)+8*(1+600-511+1), uint64(b[0]))
			return second(f, v) + 8*(1+600-511+1)
		}, kho.ErrVmalloc, "slot 90"},
		{"a word in the last slot of all", func(f *fixture, v *kho.Vmalloc, b []phys.Addr) phys.Addr {
			f.setWord(second(f, v)+8*511, 1)
			return second(f, v) + 8*511
		}, kho.ErrVmalloc, "slot 510"},
	} {
		t.Run(c.name, func(t *testing.T) {
			f := newFixture(t)
			v, blocks := vmalloced(f, 600, 1)
			at := c.damage(f, &v, blocks)
			area, err := kho.OpenVmalloc(f.open().Ledger().As("area", areaAt), areaAt, v)
			if err != nil || area.Len() != 600 {
				t.Fatal(err)
			}
			refusedAs(t, area.Odd(), c.rule, at, c.object)
		})
	}
}

func TestVmallocWriterRefuses(t *testing.T) {
	f := newFixture(t)
	_, d := f.draft()
	if _, err := d.Vmalloc(0, 0, nil); err == nil {
		t.Error("an area of no blocks was written")
	}
	if _, err := d.Vmalloc(0, 11, make([]phys.Addr, 1)); err == nil {
		t.Error("an area of order 11 was written")
	}
	if phystest.OnMetal { // the heap there has a few dozen MiB
		return
	}
	if _, err := d.Vmalloc(0, 10, make([]phys.Addr, 1<<22)); !errors.Is(err, kho.ErrVmalloc) {
		t.Errorf("an area of 2^32 pages: %v, want %v", err, kho.ErrVmalloc)
	}
}

func TestPayloadRoundTrips(t *testing.T) {
	d := kho.Data{FDT: 0x1111, FDTSize: 0x2222, Scratch: 0x3333, ScratchSize: 0x4444}
	b := d.Append(nil)
	if got := []uint64{binary.LittleEndian.Uint64(b), binary.LittleEndian.Uint64(b[8:]), binary.LittleEndian.Uint64(b[16:]), binary.LittleEndian.Uint64(b[24:])}; !slices.Equal(got, []uint64{0x1111, 0x2222, 0x3333, 0x4444}) {
		t.Errorf("bytes %x", b)
	}
	if got, err := kho.ParseData(0x1000, b); got != d || err != nil {
		t.Errorf("%+v, %v, want %+v", got, err, d)
	}
	for _, n := range []int{0, 16, 31} {
		_, err := kho.ParseData(0x1000, b[:n])
		refusedAs(t, err, kho.ErrPayload, 0x1000, "payload")
	}
	_, err := kho.ParseData(0x1000, append(b, 0))
	refusedAs(t, err, kho.ErrPayload, 0x1000, "payload")
}

package kho_test

import (
	"encoding/binary"
	"errors"
	"math/rand/v2"
	"slices"
	"testing"

	"github.com/google/go-cmp/cmp"

	"ferry/kho"
	"ferry/own"
	"ferry/phys"
)

// listed is an element of a list as the kernels' arithmetic finds it, in the
// test's own words.
type listed struct {
	at, bitmap phys.Addr
	bit        uint64
}

// element finds what the list says of b: bitmaps have 8 times size bits.
func (f *fixture) element(b phys.Block, size uint64) listed {
	f.Helper()
	for chunk := f.root(); chunk != 0; chunk = phys.Addr(f.word(chunk)) {
		head := f.edit(chunk, 16)
		if binary.LittleEndian.Uint32(head[8:]) != uint32(b.Order) {
			continue
		}
		for i := range phys.Addr(binary.LittleEndian.Uint32(head[12:])) {
			at := chunk + 16 + 16*i
			start := f.word(at)
			if n := (uint64(b.Addr) - start) >> (12 + b.Order); uint64(b.Addr) >= start && n < 8*size {
				return listed{at, phys.Addr(f.word(at + 8)), n}
			}
		}
	}
	f.Fatalf("no element for %v", b)
	return listed{}
}

// flip changes the bit of b.
func (f *fixture) flip(b phys.Block, size uint64) {
	e := f.element(b, size)
	f.edit(e.bitmap+phys.Addr(e.bit/8), 1)[0] ^= 1 << (e.bit % 8)
}

func sizeOf(f *kho.Format) uint64 {
	if f == kho.V1 {
		return 4096
	}
	return 512
}

// lists are the formats of the version string kho-v1, the newest first.
var lists = slices.DeleteFunc(kho.Formats(), func(f *kho.Format) bool { return f.Compatible() != kho.V1.Compatible() })

func TestListsHaveTheLayoutOfLinux(t *testing.T) {
	for _, format := range lists {
		f := fixtureAs(t, format)
		size := sizeOf(format)
		for _, b := range []phys.Block{{Addr: loneBlock}, {Addr: pairBlock, Order: 1}, {Addr: hugeBlock, Order: 9}, {Addr: f.blob}, {Addr: f.data.FDT}} {
			e := f.element(b, size)
			if f.edit(e.bitmap, size)[e.bit/8]>>(e.bit%8)&1 != 1 || !e.bitmap.Aligned(size) || f.word(e.at)%(size*8<<(12+b.Order)) != 0 {
				t.Errorf("%v: bit of %v is clear in %+v, or that is unaligned", format, b, e)
			}
		}
		// Orders ascend, as do the elements of an order.
		last, start := -1, uint64(0)
		for chunk := f.root(); chunk != 0; chunk = phys.Addr(f.word(chunk)) {
			order := int(binary.LittleEndian.Uint32(f.edit(chunk+8, 4)))
			n := binary.LittleEndian.Uint32(f.edit(chunk+12, 4))
			if order < last || n == 0 || n > 255 {
				t.Errorf("%v: chunk of order %d with %d elements after one of order %d", format, order, n, last)
			}
			if order > last {
				start = 0
			}
			for i := range phys.Addr(n) {
				if s := f.word(chunk + 16 + 16*i); s < start {
					t.Errorf("%v: element from %#x on after %#x", format, s, start)
				} else {
					start = s
				}
			}
			last = order
		}
	}
}

func TestOpenRefusesBadLists(t *testing.T) {
	lone := phys.Block{Addr: loneBlock}
	for _, format := range lists {
		size := sizeOf(format)
		header := func(off phys.Addr, v uint32) func(f *fixture) phys.Addr {
			return func(f *fixture) phys.Addr {
				binary.LittleEndian.PutUint32(f.edit(f.root()+off, 4), v)
				return f.root() + off
			}
		}
		// pointer sets a field of the element of lone; the error is to name the value.
		pointer := func(off phys.Addr, v uint64) func(f *fixture) phys.Addr {
			return func(f *fixture) phys.Addr {
				f.setWord(f.element(lone, size).at+off, v)
				return phys.Addr(v).Page()
			}
		}
		// field is pointer where the error is to name the element.
		field := func(off phys.Addr, v uint64) func(f *fixture) phys.Addr {
			return func(f *fixture) phys.Addr {
				at := f.element(lone, size).at
				f.setWord(at+off, v)
				return at
			}
		}
		link := func(v uint64) func(f *fixture) phys.Addr {
			return func(f *fixture) phys.Addr { f.setWord(f.root(), v); return phys.Addr(v) }
		}
		reach := size * 8 << 12
		t.Run(format.String(), func(t *testing.T) {
			runAs(t, format, []corruption{
				{"order over all", header(8, 38), kho.ErrMap, "header"},
				{"order that is no order", header(8, ^uint32(0)), kho.ErrMap, "header"},
				{"more elements than fit", header(12, 256), kho.ErrMap, "header"},
				{"elements without end", header(12, ^uint32(0)), kho.ErrMap, "header"},
				{"an element of nothing", func(f *fixture) phys.Addr {
					n := binary.LittleEndian.Uint32(f.edit(f.root()+12, 4))
					header(12, n+1)(f)
					return 0
				}, own.ErrPlace, "element"},
				{"link to itself, a cycle", func(f *fixture) phys.Addr { f.setWord(f.root(), uint64(f.root())); return f.root() }, kho.ErrMap, "link"},
				{"link to the first from the last, a cycle", func(f *fixture) phys.Addr {
					last := f.root()
					for f.word(last) != 0 {
						last = phys.Addr(f.word(last))
					}
					f.setWord(last, uint64(f.root()))
					return last
				}, kho.ErrMap, "link"},
				{"link outside RAM", link(outside), phys.ErrNotRAM, "link"},
				{"link into scratch", link(uint64(scratch2)), own.ErrPlace, "link"},
				{"link into the first MiB", link(0x9000), own.ErrPlace, "link"},
				{"link unaligned", link(uint64(hugeBlock) + 512), own.ErrPlace, "link"},
				{"link past all memory", link(^uint64(4095)), phys.ErrNotRAM, "link"},
				{"list outside RAM", func(f *fixture) phys.Addr {
					f.setWord(f.value("preserved-memory-map"), outside)
					return phys.Addr(outside)
				}, phys.ErrNotRAM, "preserved-memory map: chunk"},
				{"bitmap at 0", pointer(8, 0), own.ErrPlace, "element"},
				{"bitmap outside RAM", pointer(8, outside), phys.ErrNotRAM, "element"},
				{"bitmap in scratch", pointer(8, uint64(scratch2)+4096-size), own.ErrPlace, "element"},
				{"bitmap in the first MiB", pointer(8, 0x9000), own.ErrPlace, "element"},
				{"bitmap unaligned", field(8, uint64(hugeBlock)+256), own.ErrPlace, "element"},
				{"bitmap in a chunk", func(f *fixture) phys.Addr {
					at := f.element(lone, size).at
					f.setWord(at+8, uint64(f.root())+4096-size)
					return at
				}, kho.ErrMap, "element"},
				{"bitmap in preserved memory", func(f *fixture) phys.Addr {
					pointer(8, uint64(hugeBlock)+0x3000)(f)
					return hugeBlock
				}, kho.ErrOverlap, "block"},
				{"start unaligned", field(0, uint64(ramStart)&^(reach-1)+4<<20), kho.ErrMap, "element"},
				{"start past RAM", field(0, 0x4000_0000), kho.ErrMap, "element"},
				{"start past all memory", field(0, ^uint64(0)&^(reach-1)), kho.ErrMap, "element"},
				{"an order larger than RAM", func(f *fixture) phys.Addr {
					header(8, 30)(f)
					f.setWord(f.root()+16, 0)
					return f.root() + 16
				}, kho.ErrMap, "element"},
				{"one bitmap named twice", func(f *fixture) phys.Addr {
					e, one := f.element(lone, size), f.element(phys.Block{Addr: pairBlock, Order: 1}, size)
					f.setWord(one.at+8, uint64(e.bitmap))
					return one.at
				}, kho.ErrMap, "element"},
				{"two bitmaps of one window", func(f *fixture) phys.Addr {
					e := f.element(lone, size)
					n := phys.Addr(binary.LittleEndian.Uint32(f.edit(e.at.Page()+12, 4)))
					binary.LittleEndian.PutUint32(f.edit(e.at.Page()+12, 4), uint32(n)+1)
					f.setWord(e.at.Page()+16+16*n, f.word(e.at))
					f.setWord(e.at.Page()+24+16*n, uint64(loneBlock+0x20000))
					return e.at.Page() + 16 + 16*n
				}, kho.ErrMap, "element"},
				{"block after RAM", func(f *fixture) phys.Addr {
					e := f.element(lone, size)
					f.setWord(e.at, uint64(ramEnd)&^(reach-1))
					binary.LittleEndian.PutUint32(f.edit(e.at.Page()+12, 4), 1) // nothing else is of order 0
					f.setWord(f.root()+16, f.word(e.at))
					f.setWord(f.root()+24, uint64(e.bitmap))
					clear(f.edit(e.bitmap, size))
					bit := (uint64(ramEnd) - uint64(ramEnd)&^(reach-1)) >> 12
					f.edit(e.bitmap+phys.Addr(bit/8), 1)[0] |= 1 << (bit % 8)
					return ramEnd
				}, own.ErrPlace, "block"},
				{"block in scratch", func(f *fixture) phys.Addr {
					e := f.element(phys.Block{Addr: hugeBlock, Order: 9}, size)
					bit := e.bit - uint64(hugeBlock-scratch2)>>21
					f.edit(e.bitmap+phys.Addr(bit/8), 1)[0] |= 1 << (bit % 8)
					return scratch2
				}, own.ErrPlace, "block"},
				{"block inside another", func(f *fixture) phys.Addr { f.flip(phys.Block{Addr: pairBlock + 4096}, size); return pairBlock + 4096 }, kho.ErrOverlap, "block"},
				{"block over a chunk", func(f *fixture) phys.Addr {
					f.flip(phys.Block{Addr: f.root()}, size)
					return f.root()
				}, kho.ErrOverlap, "block"},
				{"the device tree not preserved", func(f *fixture) phys.Addr { f.flip(phys.Block{Addr: f.data.FDT}, size); return f.data.FDT }, own.ErrPreserved, "root device tree"},
			})
		})
	}
}

// TestAListMayBeWrittenInAnyWay: readers need neither full chunks nor order.
func TestAListMayBeWrittenInAnyWay(t *testing.T) {
	for _, format := range lists {
		f := fixtureAs(t, format)
		want := members(t, f.open().Map())
		r := rand.New(rand.NewPCG(1, 1))
		type entry struct {
			order  uint32
			start  uint64
			bitmap uint64
		}
		var all []entry
		for chunk := f.root(); chunk != 0; chunk = phys.Addr(f.word(chunk)) {
			for i := range phys.Addr(binary.LittleEndian.Uint32(f.edit(chunk+12, 4))) {
				all = append(all, entry{binary.LittleEndian.Uint32(f.edit(chunk+8, 4)), f.word(chunk + 16 + 16*i), f.word(chunk + 24 + 16*i)})
			}
		}
		r.Shuffle(len(all), func(i, j int) { all[i], all[j] = all[j], all[i] })
		at := loneBlock + 0x30000
		f.setWord(f.value("preserved-memory-map"), uint64(at))
		for i := range 2 * len(all) { // every second one is empty
			chunk := f.edit(at, 4096)
			if clear(chunk); i%2 == 0 {
				e := all[i/2]
				binary.LittleEndian.PutUint32(chunk[8:], e.order)
				binary.LittleEndian.PutUint32(chunk[12:], 1)
				binary.LittleEndian.PutUint64(chunk[16:], e.start)
				binary.LittleEndian.PutUint64(chunk[24:], e.bitmap)
			} else {
				binary.LittleEndian.PutUint32(chunk[8:], uint32(i))
			}
			for j := 32; j < 4096; j++ {
				chunk[j] = 0xee // behind the last element
			}
			if at += 0x1000; i < 2*len(all)-1 {
				binary.LittleEndian.PutUint64(chunk, uint64(at))
			}
		}
		if diff := cmp.Diff(want, members(t, f.open().Map())); diff != "" {
			t.Errorf("%v (-in order +shuffled):\n%s", format, diff)
		}
	}
}

// TestAListThatNeverEndsCostsNoMoreThanRAM: chunks that say nothing, as many as
// there is memory for.
func TestAListThatNeverEndsCostsNoMoreThanRAM(t *testing.T) {
	for _, format := range lists {
		f := fixtureAs(t, format)
		for a := ramStart + 0x0100_0000; a < ramEnd-0x100_0000; a += 4096 {
			f.setWord(a, uint64(a)+4096)
		}
		f.setWord(f.root(), uint64(ramStart+0x0100_0000))
		_, err := kho.Open(f.mem, f.data, format)
		var e *phys.Error
		if !errors.Is(err, kho.ErrMap) || !errors.As(err, &e) || e.Addr > ramStart+0x0110_0000 {
			t.Errorf("%v: %v, want %v within the first chunks", format, err, kho.ErrMap)
		}
	}
}

// TestChangesOfAnyDraftAreWhatTheNextKernelReads makes random changes while the
// format changes too, and holds them against a model.
func TestChangesOfAnyDraftAreWhatTheNextKernelReads(t *testing.T) {
	formats := kho.Formats()
	for seed := range uint64(12) {
		r := rand.New(rand.NewPCG(seed, 9))
		f := fixtureAs(t, formats[r.IntN(len(formats))])
		model := members(t, f.open().Map())
		pool := random(r, 300)
		for range 6 {
			h := f.open()
			to := formats[r.IntN(len(formats))]
			d, err := h.Draft(to, nil)
			f.check(err)
			if to.MaxRestore() == 10 {
				d.DropSubtree(kho.MetadataName)
				if s, ok := h.Subtree("thing"); ok && !s.FDT {
					d.DropSubtree("thing")
				}
			}
			delete(model, phys.Block{Addr: h.Data().FDT})
			for range 100 {
				switch b := pool[r.IntN(len(pool))]; {
				case r.IntN(8) == 0:
					a, _, err := d.Alloc()
					f.check(err)
					model[phys.Block{Addr: a}] = true
				case model[b]:
					f.check(d.Retire(b))
					delete(model, b)
				default:
					f.check(d.Preserve(b))
					model[b] = true
				}
			}
			f.data, err = d.Commit()
			f.check(err)
			model[phys.Block{Addr: f.data.FDT}] = true
			f.hint = to
			if diff := cmp.Diff(model, members(t, f.open().Map())); diff != "" {
				t.Fatalf("seed %d: %v to %v (-model +read):\n%s", seed, h.Format(), to, diff)
			}
			if diff := cmp.Diff(d.Map().Nodes(), f.open().Map().Nodes()); diff != "" {
				t.Fatalf("seed %d: %v to %v: nodes (-draft +read):\n%s", seed, h.Format(), to, diff)
			}
		}
	}
}

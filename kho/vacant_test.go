package kho_test

import (
	"encoding/binary"
	"errors"
	"slices"
	"testing"

	"ferry/kho"
	"ferry/phys"
)

// planted is free memory for nodes of the map.
const planted = loneBlock + 0x10000

// plant hangs empty nodes into a slot of a node of the given level: one of each level
// below, page after page from planted on, each named by the middle slot of the one
// before.
func (f *fixture) plant(slot phys.Addr, level int) {
	for i := range level {
		page := planted + phys.Addr(i)<<12
		f.setWord(slot, uint64(page))
		slot = page + 8*256
	}
}

// TestBitmapsOfMemoryThatIsGoneCross: Linux leaves empty bitmaps behind where it gave a
// block up, and memory that was plugged in is not in the table of a handover.
func TestBitmapsOfMemoryThatIsGoneCross(t *testing.T) {
	for name, hang := range map[string]func(f *fixture, at phys.Addr){
		"just above RAM":     func(f *fixture, at phys.Addr) { f.plant(at.Page()+8*5, 1) },
		"far above RAM":      func(f *fixture, at phys.Addr) { f.plant(phys.Addr(f.word(f.root()+8*2)).Page()+8*17, 4) },
		"above 256 TiB":      func(f *fixture, at phys.Addr) { f.plant(f.root()+8*3, 5) },
		"a node and no leaf": func(f *fixture, at phys.Addr) { f.setWord(f.root()+8*3, uint64(planted)) },
	} {
		t.Run(name, func(t *testing.T) {
			f := newFixture(t)
			before := f.open().Map()
			slots, _, _ := f.path(phys.Block{Addr: loneBlock})
			hang(f, slots[1])
			h := f.open()
			if h.Map().Count() != before.Count() || !slices.Contains(h.Map().Nodes(), phys.Addr(planted).PFN()) || slices.Contains(before.Nodes(), phys.Addr(planted).PFN()) {
				t.Fatalf("%d blocks with nodes %v, want %d", h.Map().Count(), h.Map().Nodes(), before.Count())
			}
			for _, to := range []*kho.Format{kho.V3, kho.V4, kho.V1} {
				d, err := h.Draft(to, nil)
				f.check(err)
				if err := d.Preserve(phys.Block{Addr: planted}); !errors.Is(err, kho.ErrOverlap) {
					t.Errorf("to %v: a node can be preserved: %v", to, err)
				}
				d.DropSubtree("thing") // no device tree
				d.DropSubtree(kho.MetadataName)
				data, err := d.Commit()
				f.check(err)
				out, err := kho.OpenAs(f.mem, data, to)
				f.check(err)
				stays := to != kho.V1
				if got := slices.Contains(out.Map().Nodes(), phys.Addr(planted).PFN()); got != stays {
					t.Errorf("to %v: the empty node stays: %v, want %v", to, got, stays)
				}
				if !out.Map().Preserved(phys.Block{Addr: loneBlock}) || !out.Map().Preserved(phys.Block{Addr: hugeBlock, Order: 9}) {
					t.Errorf("to %v: blocks are lost", to)
				}
			}
			// The same page as a block is a node that is preserved.
			f.setBit(phys.Block{Addr: planted})
			f.refused(kho.ErrOverlap, planted, "block")
		})
	}
}

// TestAListOfMemoryThatIsGoneCrosses is the same of a list with bitmaps of a page.
func TestAListOfMemoryThatIsGoneCrosses(t *testing.T) {
	f := fixtureAs(t, kho.V1)
	e := f.element(phys.Block{Addr: loneBlock}, 4096)
	n := phys.Addr(binary.LittleEndian.Uint32(f.edit(e.at.Page()+12, 4)))
	for i, start := range []uint64{0x4000_0000, 0x40_0000_0000} {
		at := e.at.Page() + 16 + 16*(n+phys.Addr(i))
		f.setWord(at, start)
		f.setWord(at+8, uint64(planted)+uint64(i)<<12)
	}
	binary.LittleEndian.PutUint32(f.edit(e.at.Page()+12, 4), uint32(n)+2)
	h := f.open()
	for _, to := range []*kho.Format{kho.V1, kho.V4, kho.V1Small} {
		d, err := h.Draft(to, nil)
		f.check(err)
		if err := d.Preserve(phys.Block{Addr: planted}); !errors.Is(err, kho.ErrOverlap) {
			t.Errorf("to %v: a bitmap can be preserved: %v", to, err)
		}
		data, err := d.Commit()
		f.check(err)
		out, err := kho.OpenAs(f.mem, data, to)
		f.check(err)
		if !out.Map().Preserved(phys.Block{Addr: loneBlock}) || slices.Contains(out.Map().Nodes(), phys.Addr(planted).PFN()) {
			t.Errorf("to %v: blocks are lost, or the empty bitmap stays", to)
		}
	}
	f.edit(planted+4096+4095, 1)[0] = 0x80
	f.refused(kho.ErrMap, e.at.Page()+16+16*(n+1), "element")
}

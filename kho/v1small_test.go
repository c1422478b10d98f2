package kho_test

import (
	"bytes"
	"strings"
	"testing"

	"ferry/kho"
	"ferry/kho/khotest"
	"ferry/phys"
)

// TestWhatTellsListsApart follows what is known of the two formats of one
// version string. Memory decides where it can.
func TestWhatTellsListsApart(t *testing.T) {
	for _, c := range []struct {
		name   string
		letter string
		change func(f *fixture)
		hint   *kho.Format
		want   *kho.Format // nil: ambiguous
	}{
		{"live update", "C", nil, nil, kho.V1},
		{"bitmaps that share pages", "A", nil, nil, kho.V1Small},
		{"bitmaps that share pages, a hint", "A", nil, kho.V1Small, kho.V1Small},
		{"nothing", "B", nil, nil, nil},
		{"nothing, a hint", "B", nil, kho.V1, kho.V1},
		{"nothing, a hint that cannot be", "B", nil, kho.V4, nil},
		{"one bitmap in a page that it shares", "B", func(f *fixture) {
			e := f.element(phys.Block{Addr: f.data.FDT}, 4096)
			f.setWord(e.at+8, uint64(e.bitmap)+512)
			copy(f.edit(e.bitmap+512, 512), f.edit(e.bitmap, 512))
		}, nil, kho.V1Small},
		{"one bitmap of memory that the larger ones do not start at", "B", func(f *fixture) {
			e := f.element(phys.Block{Addr: f.data.FDT}, 4096)
			clear(f.edit(e.bitmap, 4096))
			n := (f.data.FDT % (16 << 20)) >> 12
			f.edit(e.bitmap+n/8, 1)[0] |= 1 << (n % 8)
			f.setWord(e.at, uint64(f.data.FDT)&^(16<<20-1)|16<<20)
		}, nil, kho.V1Small},
	} {
		t.Run(c.name, func(t *testing.T) {
			v := khotest.Generation(t, c.letter)
			f := &fixture{TB: t, mem: v.Memory, data: v.Data, hint: c.hint}
			if c.change != nil {
				c.change(f)
			}
			h, err := kho.Open(f.mem, f.data, c.hint)
			if c.want == nil {
				refusedAs(t, err, kho.ErrAmbiguous, f.data.FDT+60, "root node")
				if err == nil || !strings.Contains(err.Error(), "say which release") {
					t.Errorf("%v does not say what to do", err)
				}
				return
			}
			if err == nil && h.Format() != c.want {
				t.Errorf("read as %v, want %v", h.Format(), c.want)
			}
			if err != nil && (c.change == nil || strings.Contains(err.Error(), "4096")) {
				t.Error(err)
			}
		})
	}
}

// TestMemoryAndHintThatContradictEachOtherAreRefused: one flipped bit must not make
// another format of a list, nor may a wrong hint.
func TestMemoryAndHintThatContradictEachOtherAreRefused(t *testing.T) {
	for _, c := range []struct {
		name   string
		letter string
		hint   *kho.Format
		damage func(f *fixture) phys.Addr // of what contradicts the hint
		object string
	}{
		{"a bitmap that is not a page", "B", kho.V1, func(f *fixture) phys.Addr {
			e := f.element(phys.Block{Addr: f.data.FDT}, 4096)
			f.setWord(e.at+8, uint64(e.bitmap)^512)
			return e.at
		}, "element"},
		{"memory that no page of bits starts at", "B", kho.V1, func(f *fixture) phys.Addr {
			e := f.element(phys.Block{Addr: f.data.FDT}, 4096)
			f.setWord(e.at, f.word(e.at)^16<<20)
			return e.at
		}, "element"},
		{"live update before there was any", "D", kho.V1Small, func(f *fixture) phys.Addr {
			page := f.edit(f.data.FDT, phys.PageSize)
			return f.data.FDT + phys.Addr(bytes.Index(page, []byte("LUO\x00")))
		}, `node "LUO"`},
	} {
		t.Run(c.name, func(t *testing.T) {
			v := khotest.Generation(t, c.letter)
			f := &fixture{TB: t, mem: v.Memory, data: v.Data, hint: c.hint}
			at := c.damage(f)
			f.refused(kho.ErrAmbiguous, at, c.object)
			_, err := kho.Open(f.mem, f.data, c.hint)
			for _, name := range []string{kho.V1.String() + ",", kho.V1Small.String(), "ferry pack --from"} {
				if err == nil || !strings.Contains(err.Error(), name) {
					t.Errorf("%v does not name %s", err, name)
				}
			}
		})
	}
}

// TestTheWrongOneOfTwoListsIsFound: what the reader of one format makes of the
// other is no sound handover.
func TestTheWrongOneOfTwoListsIsFound(t *testing.T) {
	f := fixtureAs(t, kho.V1)
	e := f.element(phys.Block{Addr: f.data.FDT}, 4096)
	if e.bit < 4096 {
		t.Fatalf("the device tree has bit %d, which both formats have", e.bit)
	}
	f.hint = kho.V1Small
	f.refused(kho.ErrPreserved, f.data.FDT, "root device tree")
}

// TestAPieceOffItsPlaceIsNoPage: a bitmap of 512 bytes in an otherwise empty
// page, but not where a leaf has that part.
func TestAPieceOffItsPlaceIsNoPage(t *testing.T) {
	for _, off := range []phys.Addr{0, 512, 2048, 3584} {
		f := fixtureAs(t, kho.V1Small)
		e := f.element(phys.Block{Addr: hugeBlock, Order: 9}, 512)
		at := loneBlock + 0x40000 + off
		copy(f.edit(at, 512), f.edit(e.bitmap, 512))
		f.setWord(e.at+8, uint64(at))
		h := f.open()
		if !h.Map.Preserved(phys.Block{Addr: hugeBlock, Order: 9}) {
			t.Fatalf("a bitmap at %v is not read", at)
		}
		for _, to := range kho.Formats() {
			d, err := h.Draft(to, nil)
			f.check(err)
			next := commitAndOpen(t, f.mem, d)
			same(t, to.String(), h, next)
			place := (uint64(hugeBlock) >> (24 + 9) % 8) * 512 // of the part in its leaf
			if kept := nodesOf(next.Map)[at.PFN()]; kept != (to == kho.V1Small || uint64(off) == place) {
				t.Errorf("%v: the bitmap at %v serves on: %v", to, at, kept)
			}
		}
	}
}

func TestLeavesInPiecesAreJoinedAndPagesAreSplit(t *testing.T) {
	for _, g := range generations {
		_, h := g.open(t, g.format)
		small, _ := cross(t, h, kho.V1Small)
		// From pages to pieces and back: the pages serve again.
		pages, _ := cross(t, small, kho.V4)
		first := nodesOf(h.Map)
		shared := 0
		for n := range nodesOf(pages.Map) {
			if first[n] {
				shared++
			}
		}
		if g.format != kho.V1Small && shared < 2 {
			t.Errorf("%s: %d bitmaps of the first map serve in the third", g.letter, shared)
		}
		// Pieces that lie as the kernel laid them are shared between lists of pieces.
		again, stats := cross(t, small, kho.V1Small)
		same(t, "pieces", small, again)
		if stats.NodesKept < 2 {
			t.Errorf("%s: %d pages of bitmaps kept between two lists", g.letter, stats.NodesKept)
		}
	}
}

package kho_test

import (
	"bytes"
	"errors"
	"slices"
	"strings"
	"testing"

	"ferry/kho"
	"ferry/kho/khotest"
	"ferry/own"
	"ferry/phys"
)

// noPage makes the bitmap of the device tree one of 512 bytes, off bytes behind the
// start of a page, and what it says the same.
func noPage(off phys.Addr) func(f *fixture) phys.Addr {
	return func(f *fixture) phys.Addr {
		e := f.element(phys.Block{Addr: f.data.FDT}, 4096)
		f.setWord(e.at+8, uint64(e.bitmap+off))
		copy(f.edit(e.bitmap+off, 512), f.edit(e.bitmap, 512))
		return e.at
	}
}

// empties moves the blocks of one order to where small bitmaps do not reach.
func empties(f *fixture) phys.Addr {
	b := phys.Block{Addr: 0x10000, Order: 4}
	e := f.element(b, 4096)
	page := f.edit(e.bitmap, 4096)
	copy(page[512:], page[:512])
	clear(page[:512])
	return 0x9d5020 // of the other one
}

// TestWhatTellsListsApart follows what is known of the two formats of one
// version string. Memory decides, and a claim has to agree.
func TestWhatTellsListsApart(t *testing.T) {
	luo := func(f *fixture) phys.Addr {
		return f.data.FDT + phys.Addr(bytes.Index(f.edit(f.data.FDT, phys.PageSize), []byte("LUO\x00")))
	}
	for _, c := range []struct {
		name   string
		letter string
		change func(f *fixture) phys.Addr // of what an error is to name
		claim  *kho.Format
		want   *kho.Format // nil: ambiguous
		object string
		says   string
	}{
		{"live update", "C", nil, nil, kho.V1, "", ""},
		{"live update before there was any", "D", luo, kho.V1Small, nil, `node "LUO"`, "no kernel of kho-v1/512"},
		{"bitmaps that share pages", "A", nil, nil, kho.V1Small, "", ""},
		{"bitmaps that share pages, a claim", "A", nil, kho.V1Small, kho.V1Small, "", ""},
		{"a bitmap that begins with nothing", "B", nil, nil, nil, "element 1", "make the handover again"},
		{"a bitmap that begins with nothing, a claim", "B", nil, kho.V1, kho.V1, "", ""},
		{"a bitmap that begins with nothing, the other claim", "B", nil, kho.V1Small, nil, "element 1", "make the handover again"},
		{"a bitmap that begins with nothing, a claim that cannot be", "B", nil, kho.V4, nil, "element 1", "make the handover again"},
		{"two bitmaps that begin with nothing", "B", empties, nil, kho.V1, "", ""},
		{"two bitmaps that begin with nothing, the other claim", "B", empties, kho.V1Small, nil, "element 1", "and not kho-v1/512 as claimed"},
		{"one bitmap that is no page", "B", noPage(512), nil, nil, "element 0", "ferry load"},
		{"one bitmap that is no page, a claim", "B", noPage(512), kho.V1Small, kho.V1Small, "", ""},
		{"one bitmap that is no page, the other claim", "B", noPage(512), kho.V1, nil, "element 0", "and not kho-v1 as claimed"},
		{"one bitmap that is no page by two bits", "B", noPage(512 + 2048), nil, kho.V1Small, "", ""},
	} {
		t.Run(c.name, func(t *testing.T) {
			v := khotest.Generation(t, c.letter)
			f := &fixture{TB: t, mem: v.Memory, data: v.Data}
			at := phys.Addr(0x9d5020) // of what Linux wrote
			if c.change != nil {
				at = c.change(f)
			}
			h, err := kho.Open(f.mem, f.data, c.claim)
			if c.want == nil {
				refusedAs(t, err, kho.ErrAmbiguous, at, c.object)
				if err == nil || !strings.Contains(err.Error(), c.says) {
					t.Errorf("%v does not say %q", err, c.says)
				}
				return
			}
			f.check(err)
			if h.Format() != c.want || len(h.Formats()) != 1 {
				t.Errorf("read as %v of %v, want %v", h.Format(), h.Formats(), c.want)
			}
		})
	}
}

// TestAWrongClaimIsRefused: it names what it is contradicted by.
func TestAWrongClaimIsRefused(t *testing.T) {
	for letter, claim := range map[string]*kho.Format{"A": kho.V1, "C": kho.V1Small, "D": kho.V1Small} {
		v := khotest.Generation(t, letter)
		_, err := kho.Open(v.Memory, v.Data, claim)
		if !errors.Is(err, kho.ErrAmbiguous) || !strings.Contains(err.Error(), "and not "+claim.String()+" as claimed") ||
			!strings.Contains(err.Error(), "ferry pack --from") {
			t.Errorf("%s as %v: %v", letter, claim, err)
		}
	}
}

// TestDamageIsNamedInBothKindsOfLists: nobody says which it is.
func TestDamageIsNamedInBothKindsOfLists(t *testing.T) {
	for _, letter := range []string{"A", "B"} {
		v := khotest.Generation(t, letter)
		f := &fixture{TB: t, mem: v.Memory, data: v.Data}
		f.setWord(f.root(), 8)
		_, err := kho.Open(f.mem, f.data, nil)
		if err == nil || !strings.Contains(err.Error(), "link: page 0x8:") {
			t.Errorf("%s: %v does not name the damage", letter, err)
		}
		for _, format := range lists {
			if err == nil || !strings.Contains(err.Error(), "(read as "+format.String()+")") {
				t.Errorf("%s: %v does not say how it was read", letter, err)
			}
		}
	}
}

// TestListsThatSayTheSameNeedNoClaim: no bitmap has a bit behind its first 512 bytes,
// so kernels of both sizes read the same.
func TestListsThatSayTheSameNeedNoClaim(t *testing.T) {
	mem, d := sparseAs(t, kho.V1, phys.Range{Start: 0x1000_0000, End: 0x1100_0000})
	data, err := d.Commit()
	if err != nil {
		t.Fatal(err)
	}
	for _, claim := range []*kho.Format{nil, kho.V1, kho.V1Small} {
		h, err := kho.Open(mem, data, claim)
		if err != nil {
			t.Fatal(err)
		}
		want := claim
		if claim == nil {
			want = kho.V1
		}
		if h.Format() != want || !slices.Equal(h.Formats(), lists) || h.Map().Count() != 1 {
			t.Errorf("claim %v: %v of %v with %d blocks", claim, h.Format(), h.Formats(), h.Map().Count())
		}
		if fit := kho.Recognise(mem, data); !slices.Equal(fit, lists) {
			t.Errorf("recognised as %v", fit)
		}
	}
}

// TestWhatIsKnownIsReadAsThat: who wrote a list knows what it is, whatever else it
// could be.
func TestWhatIsKnownIsReadAsThat(t *testing.T) {
	for letter, f := range map[string]*kho.Format{"A": kho.V1Small, "C": kho.V1, "F": kho.V4} {
		v := khotest.Generation(t, letter)
		if h, err := kho.OpenAs(v.Memory, v.Data, f); err != nil || h.Format() != f {
			t.Errorf("%s as %v: %v", letter, f, err)
		}
		_, err := kho.OpenAs(v.Memory, v.Data, kho.V3)
		refusedAs(t, err, kho.ErrVersion, v.Data.FDT+60, "root node")
		if fit := kho.Recognise(v.Memory, v.Data); !slices.Equal(fit, []*kho.Format{f}) {
			t.Errorf("%s is recognised as %v", letter, fit)
		}
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
	f.refused(kho.ErrAmbiguous, f.data.FDT, "root device tree")
	_, err := kho.OpenAs(f.mem, f.data, kho.V1Small)
	refusedAs(t, err, own.ErrPreserved, f.data.FDT, "root device tree")
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
		if !h.Map().Preserved(phys.Block{Addr: hugeBlock, Order: 9}) {
			t.Fatalf("a bitmap at %v is not read", at)
		}
		for _, to := range kho.Formats() {
			d, err := h.Draft(to, nil)
			f.check(err)
			next := commitAndOpen(t, f.mem, d)
			same(t, to.String(), h, next)
			place := (uint64(hugeBlock) >> (24 + 9) % 8) * 512 // of the part in its leaf
			if kept := nodesOf(next.Map())[at.PFN()]; kept != (to == kho.V1Small || uint64(off) == place) {
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
		first := nodesOf(h.Map())
		shared := 0
		for n := range nodesOf(pages.Map()) {
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

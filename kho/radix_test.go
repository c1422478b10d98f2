package kho_test

import (
	"encoding/binary"
	"math/rand/v2"
	"testing"
	"time"

	"ferry/kho"
	"ferry/phys"
)

// TestBlocksStandWhereLinuxLooks follows the indices that the kernels' own
// functions compute for these blocks.
func TestBlocksStandWhereLinuxLooks(t *testing.T) {
	for _, c := range []struct {
		block phys.Block
		index [5]int // levels 5 to 1
		bit   int
	}{
		{phys.Block{Addr: 0x1_0000_0000}, [5]int{2, 0, 0, 0, 32}, 0},
		{phys.Block{Addr: 0x123_4567_8000}, [5]int{2, 0, 0, 18, 104}, 22136},
		{phys.Block{Addr: 0x7ff_ffff_f000}, [5]int{2, 0, 0, 127, 511}, 32767},
		{phys.Block{Addr: 0x20_0000, Order: 9}, [5]int{0, 2, 0, 0, 0}, 1},
		{phys.Block{Addr: 0x1_0000_0000, Order: 9}, [5]int{0, 2, 0, 0, 0}, 2048},
		{phys.Block{Addr: 0x1_2345_6780_0000, Order: 9}, [5]int{0, 2, 0, 9, 52}, 11068},
		{phys.Block{Addr: 0x40_0000, Order: 10}, [5]int{0, 1, 0, 0, 0}, 1},
		{phys.Block{Addr: 0x123_4540_0000, Order: 10}, [5]int{0, 1, 0, 0, 9}, 3349},
		{phys.Block{Addr: 0x4000_0000, Order: 18}, [5]int{0, 0, 2, 0, 0}, 1},
	} {
		t.Run(c.block.String(), func(t *testing.T) {
			mem, d := sparse(t, phys.Range{Start: 0x1000_0000, End: 0x1400_0000}, c.block.Range())
			if err := d.Preserve(c.block); err != nil {
				t.Fatal(err)
			}
			h := commitAndOpen(t, mem, d)
			at := h.Map().Root()
			for _, i := range c.index {
				page, err := mem.View(at, phys.PageSize)
				if err != nil {
					t.Fatal(err)
				}
				at = phys.Addr(binary.LittleEndian.Uint64(page[8*i:]))
			}
			page, err := mem.View(at, phys.PageSize)
			if err != nil {
				t.Fatal(err)
			}
			if page[c.bit/8]>>(c.bit%8)&1 != 1 {
				t.Errorf("bit %d of the leaf at %s is clear", c.bit, at)
			}
			if !h.Map().Preserved(c.block) {
				t.Error("not a member after reading back")
			}
		})
	}
}

func TestMapAnswersExactly(t *testing.T) {
	f := newFixture(t)
	m := f.open().Map()
	for _, c := range []struct {
		name string
		got  bool
		want bool
	}{
		{"a member", m.Preserved(phys.Block{Addr: pairBlock, Order: 1}), true},
		{"smaller at the same place", m.Preserved(phys.Block{Addr: pairBlock}), false},
		{"larger at the same place", m.Preserved(phys.Block{Addr: pairBlock, Order: 2}), false},
		{"inside a member", m.Preserved(phys.Block{Addr: pairBlock + 4096}), false},
		{"unaligned", m.Preserved(phys.Block{Addr: loneBlock + 1}), false},
		{"an order that has no size", m.Preserved(phys.Block{Addr: 0, Order: 63}), false},
		{"covered by one", m.Covers(phys.Range{Start: hugeBlock + 5, End: hugeBlock + 0x1f_ffff}), true},
		{"covered by one to its end", m.Covers(phys.Range{Start: hugeBlock, End: hugeBlock + 2<<20}), true},
		{"one byte over the end", m.Covers(phys.Range{Start: hugeBlock, End: hugeBlock + 2<<20 + 1}), false},
		{"one byte before the start", m.Covers(phys.Range{Start: hugeBlock - 1, End: hugeBlock + 1}), false},
		{"no bytes in a member", m.Covers(phys.Range{Start: hugeBlock, End: hugeBlock}), true},
		{"no bytes outside", m.Covers(phys.Range{Start: hugeBlock - 1, End: hugeBlock - 1}), false},
		{"all there is", m.Covers(phys.Range{Start: 0, End: ^phys.Addr(0)}), false},
	} {
		if c.got != c.want {
			t.Errorf("%s: %v, want %v", c.name, c.got, c.want)
		}
	}
	if b, ok := m.Find(hugeBlock + 0x12345); !ok || b != (phys.Block{Addr: hugeBlock, Order: 9}) {
		t.Errorf("Find inside a block of order 9: %v, %v", b, ok)
	}
	if b, ok := m.Find(loneBlock + 4096); ok {
		t.Errorf("Find beside a block: %v", b)
	}
	if b, ok := m.Head(pairBlock); !ok || b.Order != 1 {
		t.Errorf("Head: %v, %v", b, ok)
	}
	if b, ok := m.Head(pairBlock + 4096); ok {
		t.Errorf("Head inside a block: %v", b)
	}
	if b, ok := m.Head(loneBlock + 8); ok {
		t.Errorf("Head of an unaligned address: %v", b)
	}
	if b, hit := m.Overlaps(phys.Range{Start: pairBlock + 8191, End: pairBlock + 8192}); !hit || b.Addr != pairBlock {
		t.Errorf("Overlaps at the last byte: %v, %v", b, hit)
	}
	if b, hit := m.Overlaps(phys.Range{Start: pairBlock + 8192, End: pairBlock + 8192 + 4096}); hit {
		t.Errorf("Overlaps behind a block: %v", b)
	}
	if b, hit := m.Overlaps(phys.Range{Start: hugeBlock, End: hugeBlock}); hit {
		t.Errorf("Overlaps of no bytes: %v", b)
	}
}

func TestCoversJoinsBlocksOfAnyOrder(t *testing.T) {
	mem, d := sparse(t, phys.Range{Start: 0x1000_0000, End: 0x1400_0000})
	a := phys.Addr(0x1100_0000)
	for _, o := range []phys.Order{9, 3, 0, 0, 1, 2} {
		if err := d.Preserve(phys.Block{Addr: a, Order: o}); err != nil {
			t.Fatal(err)
		}
		a += phys.Addr(o.Bytes())
	}
	m := commitAndOpen(t, mem, d).Map()
	if !m.Covers(phys.Range{Start: 0x1100_0000, End: a}) || m.Covers(phys.Range{Start: 0x1100_0000, End: a + 1}) {
		t.Error("a run of blocks is not covered as a whole, or too far")
	}
}

// TestCoversAgreesWithFind holds runs of words against a search block by block.
func TestCoversAgreesWithFind(t *testing.T) {
	r := rand.New(rand.NewPCG(3, 4))
	f := newFixture(t)
	_, d := f.draft()
	for _, b := range random(r, 2000) {
		if r.IntN(4) > 0 {
			f.check(d.Preserve(b))
		}
	}
	m := d.Map()
	yes := 0
	for range 20000 {
		start := ramStart + phys.Addr(r.Uint64N(uint64(ramEnd-ramStart)))
		in := phys.Range{Start: start, End: start + phys.Addr(r.Uint64N(64<<10))}
		want := byBlocks(m, in)
		if got := m.Covers(in); got != want {
			t.Fatalf("Covers(%v) = %v, want %v", in, got, want)
		}
		if want {
			yes++
		}
	}
	if yes < 100 || yes > 19900 {
		t.Errorf("%d of 20000 ranges are covered; the test proves little", yes)
	}
}

// byBlocks is Covers block by block.
func byBlocks(m *kho.Map, r phys.Range) bool {
	for a := r.Start; ; {
		b, ok := m.Find(a)
		if !ok {
			return false
		}
		if a = b.Range().End; a >= r.End {
			return true
		}
	}
}

func TestCoversCostsWordsNotBlocks(t *testing.T) {
	mem, d := sparse(t, phys.Range{Start: 0x1000_0000, End: 0x1800_0000}, phys.Range{Start: 1 << 40, End: 1<<40 + 1<<29})
	whole := phys.Range{Start: 1 << 40, End: 1<<40 + 1<<29}
	for a := whole.Start; a < whole.End; a += phys.PageSize {
		if err := d.Preserve(phys.Block{Addr: a}); err != nil {
			t.Fatal(err)
		}
	}
	m := commitAndOpen(t, mem, d).Map()
	fastest := func(covers func() bool) time.Duration {
		best := time.Hour
		for range 5 {
			start := time.Now()
			if !covers() {
				t.Fatal("not covered")
			}
			best = min(best, time.Since(start))
		}
		return best
	}
	words := fastest(func() bool { return m.Covers(whole) })
	blocks := fastest(func() bool { return byBlocks(m, whole) })
	t.Logf("512 MiB in pages: %v by words, %v by blocks", words, blocks)
	if 8*words > blocks {
		t.Errorf("%v by words, %v by blocks, want an eighth of it or less", words, blocks)
	}
}

func TestBlocksOfVeryHighOrderAreMembersLikeAny(t *testing.T) {
	mem, d := sparse(t, phys.Range{Start: 0x1000_0000, End: 0x2000_0000}, phys.Range{Start: 1 << 40, End: 1<<40 + 1<<36})
	for _, b := range []phys.Block{
		{Addr: 1 << 40, Order: 22}, {Addr: 1<<40 + 16<<30, Order: 20}, {Addr: 1<<40 + 32<<30, Order: 19},
		{Addr: 1<<40 + 40<<30}, {Addr: 1<<40 + 60<<30, Order: 16},
	} {
		if err := d.Preserve(b); err != nil {
			t.Fatal(err)
		}
	}
	h := commitAndOpen(t, mem, d)
	if n := h.Map().Count(); n != 6 {
		t.Errorf("%d blocks, want 6", n)
	}
	if !h.Map().Covers(phys.Range{Start: 1 << 40, End: 1<<40 + 20<<30}) {
		t.Error("20 GiB in two blocks are not covered")
	}
	d, err := h.Draft(kho.V4, nil)
	if err != nil {
		t.Fatal(err)
	}
	for _, b := range []phys.Block{{Addr: 1<<40 + 5<<30}, {Addr: 1<<40 + 32<<30, Order: 23}} {
		if err := d.Preserve(b); err == nil {
			t.Errorf("%v was added over a member", b)
		}
	}
	if err := d.Retire(phys.Block{Addr: 1 << 40, Order: 22}); err != nil {
		t.Fatal(err)
	}
	commitAndOpen(t, mem, d)
}

func TestOpenFindsOverlapsAcrossAllOrders(t *testing.T) {
	const a = phys.Addr(1 << 40)
	for large := phys.Order(1); large <= 24; large++ {
		for small := phys.Order(0); small < large; small += 1 + large/6 {
			f := &fixture{TB: t}
			var d *kho.Draft
			f.mem, d = sparse(t, phys.Range{Start: 0x1000_0000, End: 0x1400_0000}, phys.Range{Start: a, End: a + 1<<38})
			last := a + phys.Addr(large.Bytes()) - phys.Addr(small.Bytes()) // at the end of the large block
			beside := a + 1<<37
			f.check(d.Preserve(phys.Block{Addr: a, Order: large}))
			f.check(d.Preserve(phys.Block{Addr: beside, Order: small}))
			for _, b := range []phys.Block{{Addr: last, Order: small}, {Addr: a, Order: small}} {
				if d.Preserve(b) == nil {
					t.Errorf("Preserve(%v) inside order %d", b, large)
				}
			}
			var err error
			f.data, err = d.Commit()
			f.check(err)
			f.open()
			// Move the small block into the large one, behind the package's back,
			// by hanging its leaf where that of the large block's memory belongs.
			inside := phys.Block{Addr: last, Order: small}
			_, leaf, bit := f.path(phys.Block{Addr: beside, Order: small})
			f.edit(leaf+phys.Addr(bit/8), 1)[0] = 0
			slots, _, _ := f.path(phys.Block{Addr: beside, Order: small})
			to := f.slot(inside)
			if to != slots[1] {
				f.setWord(slots[1], 0)
				f.setWord(to, uint64(leaf))
			}
			f.setBit(inside)
			f.refused(kho.ErrOverlap, last, "block")
		}
	}
}

// slot returns the word of level 1 that leads to the leaf of b, giving the map
// the level-1 node where it is not there.
func (f *fixture) slot(b phys.Block) phys.Addr {
	key := uint64(1)<<(52-b.Order) + uint64(b.Addr)>>(12+b.Order)
	at := f.root()
	for level := 5; level > 1; level-- {
		slot := at + phys.Addr(8*(key>>(15+9*(level-1))%512))
		if at = phys.Addr(f.word(slot)); at == 0 {
			at = 0x1200_0000 + phys.Addr(level)<<12 // free: the draft's own pages are at the end
			f.setWord(slot, uint64(at))
		}
	}
	return at + phys.Addr(8*(key>>15%512))
}

func TestCostOfADraftDoesNotFollowWhatIsPreserved(t *testing.T) {
	draft := func(preserved phys.Addr) (nodes int, spent time.Duration) {
		mem, d := sparse(t, phys.Range{Start: 0x1000_0000, End: 0x2000_0000}, phys.Range{Start: 1 << 41, End: 1<<41 + preserved})
		for a := phys.Addr(1 << 41); a < 1<<41+preserved; a += preserved / 1024 {
			o := phys.Order(0)
			for phys.Addr(o.Bytes()) < preserved/1024 {
				o++
			}
			if err := d.Preserve(phys.Block{Addr: a, Order: o}); err != nil {
				t.Fatal(err)
			}
		}
		data, err := d.Commit()
		if err != nil {
			t.Fatal(err)
		}
		spent = time.Hour
		for range 5 {
			start := time.Now()
			h, err := kho.Open(mem, data, nil)
			if err != nil {
				t.Fatal(err)
			}
			d, err = h.Draft(kho.V4, nil)
			if err != nil {
				t.Fatal(err)
			}
			for range 100 {
				if _, _, err := d.Alloc(); err != nil {
					t.Fatal(err)
				}
			}
			if _, err := d.Commit(); err != nil {
				t.Fatal(err)
			}
			spent = min(spent, time.Since(start))
		}
		return d.Stats().Nodes, spent
	}
	nodes1, small := draft(64 << 20)
	nodes2, large := draft(1 << 40)
	t.Logf("64 MiB in 1024 blocks: %v; 1 TiB in 1024 blocks: %v", small, large)
	if nodes1 != nodes2 {
		t.Errorf("%d nodes written for 64 MiB, %d for 1 TiB", nodes1, nodes2)
	}
	if large > 4*small+time.Millisecond {
		t.Errorf("64 MiB took %v, 1 TiB %v", small, large)
	}
}

func TestOpenAllocatesByLeavesNotByBlocks(t *testing.T) {
	count := func(blocks int) float64 {
		mem, d := sparse(t, phys.Range{Start: 0x1000_0000, End: 0x2000_0000})
		for i := range phys.Addr(blocks) {
			if err := d.Preserve(phys.Block{Addr: 0x1080_0000 + i<<12}); err != nil {
				t.Fatal(err)
			}
		}
		data, err := d.Commit()
		if err != nil {
			t.Fatal(err)
		}
		return testing.AllocsPerRun(3, func() {
			h, err := kho.Open(mem, data, nil)
			if err != nil {
				t.Fatal(err)
			}
			h.Map().Walk(func(phys.Block) error { return nil })
		})
	}
	if few, many := count(10), count(20000); many > few+4 {
		t.Errorf("%v allocations for 10 blocks, %v for 20000", few, many)
	}
}

package kho_test

import (
	"bytes"
	"errors"
	"fmt"
	"math/rand/v2"
	"testing"

	"github.com/google/go-cmp/cmp"

	"ferry/kho"
	"ferry/own"
	"ferry/phys"
	"ferry/phys/phystest"
)

// members returns the set of blocks in m.
func members(tb testing.TB, m *kho.Map) map[phys.Block]bool {
	tb.Helper()
	set := make(map[phys.Block]bool)
	err := m.Walk(func(b phys.Block) error {
		if set[b] {
			return fmt.Errorf("walked twice: %v", b)
		}
		set[b] = true
		return nil
	})
	if err != nil {
		tb.Fatal(err)
	}
	if n := m.Count(); n != uint64(len(set)) {
		tb.Errorf("Count() = %d, walk found %d", n, len(set))
	}
	return set
}

// random returns blocks of orders 0 to 9 in free memory of the fixture that do
// not overlap.
func random(r *rand.Rand, n int) []phys.Block {
	var out []phys.Block
	for a := ramStart + 0x0120_0000; len(out) < n && a < ramEnd-0x80_0000; {
		b := phys.Block{Addr: a, Order: phys.Order(r.IntN(5))}
		if r.IntN(50) == 0 {
			b.Order = 9
		}
		up, _ := phys.AlignUp(a, b.Order.Bytes())
		b.Addr = up
		out = append(out, b)
		a = b.Range().End + phys.Addr(r.IntN(3))<<phys.PageShift
	}
	return out
}

func TestDraftChangesAreWhatTheNextKernelReads(t *testing.T) {
	for seed := range uint64(20) {
		r := rand.New(rand.NewPCG(seed, 7))
		f := newFixture(t)
		model := members(t, f.open().Map())
		pool := random(r, 300)
		for range 3 { // generations
			h, d := f.draft()
			delete(model, phys.Block{Addr: h.Data().FDT})
			for range 200 {
				switch b := pool[r.IntN(len(pool))]; {
				case r.IntN(4) == 0:
					a, _, err := d.Alloc()
					f.check(err)
					if model[phys.Block{Addr: a}] {
						t.Fatalf("allocated %v twice", a)
					}
					model[phys.Block{Addr: a}] = true
				case model[b]:
					f.check(d.Retire(b))
					delete(model, b)
				default:
					f.check(d.Preserve(b)) // allocated pages come from elsewhere
					model[b] = true
				}
			}
			data, err := d.Commit()
			f.check(err)
			model[phys.Block{Addr: data.FDT}] = true
			if diff := cmp.Diff(model, members(t, d.Map())); diff != "" {
				t.Fatalf("seed %d: draft's map (-model +draft):\n%s", seed, diff)
			}
			f.data = data
			if diff := cmp.Diff(model, members(t, f.open().Map())); diff != "" {
				t.Fatalf("seed %d: map read back (-model +read):\n%s", seed, diff)
			}
			if diff := cmp.Diff(d.Map().Nodes(), f.open().Map().Nodes()); diff != "" {
				t.Fatalf("seed %d: nodes (-draft +read):\n%s", seed, diff)
			}
		}
	}
}

func covered(model map[phys.Block]bool, b phys.Block) bool {
	for m := range model {
		if m.Range().Overlaps(b.Range()) {
			return true
		}
	}
	return false
}

func hasNode(m *kho.Map, r phys.Range) bool {
	for _, n := range m.Nodes() {
		if n.Addr() >= r.Start && n.Addr() < r.End {
			return true
		}
	}
	return false
}

func TestDraftWritesScratchAlone(t *testing.T) {
	f := newFixture(t)
	h, d := f.draft()
	before := bytes.Clone(f.edit(ramStart, uint64(ramEnd-ramStart)))
	thing, _ := h.Subtree("thing")
	f.check(d.Retire(phys.Block{Addr: thing.Data}))
	f.check(d.Retire(phys.Block{Addr: hugeBlock, Order: 9}))
	f.check(d.Preserve(phys.Block{Addr: hugeBlock + 1<<20, Order: 8}))
	for range 3000 {
		a, page, err := d.Alloc()
		f.check(err)
		for i := range page {
			page[i] = 0xee
		}
		f.check(d.SetSubtree("thing", a, 4096))
	}
	data, err := d.Commit()
	f.check(err)
	if !bytes.Equal(before, f.edit(ramStart, uint64(ramEnd-ramStart))) {
		t.Errorf("memory outside the pool %v changed", d.Pool())
	}
	if pool := d.Pool(); !phys.NewRanges(poolArea).Contains(pool[0]) || len(pool) != 1 || pool.Size() != 12<<20 {
		t.Errorf("3000 pages came from %v, want 12 MiB of the scratch area with the most room, %v", pool, poolArea)
	}
	// Both handovers stand side by side.
	old := f.open()
	if diff := cmp.Diff(members(t, h.Map()), members(t, old.Map())); diff != "" {
		t.Errorf("the old handover changed (-before +after):\n%s", diff)
	}
	f.data = data
	f.open()
}

func TestDraftSharesNodesThatDoNotChange(t *testing.T) {
	f := newFixture(t)
	h, d := f.draft()
	_, _, err := d.Alloc()
	f.check(err)
	data, err := d.Commit()
	f.check(err)
	old := nodesOf(h.Map())
	f.data = data
	next := nodesOf(f.open().Map())
	shared := 0
	for n := range next {
		if old[n] {
			shared++
		}
	}
	// The path to one leaf of order 0 was copied, and one more leaf made for the
	// memory of the pool; the leaves of orders 1 and 9 and what is above them alone
	// are the same pages.
	if fresh := len(next) - shared; fresh != 7 || shared != len(old)-6 {
		t.Errorf("%d new nodes and %d shared of %d, want 7 and %d", fresh, shared, len(old), len(old)-6)
	}
	if s := d.Stats(); s.Nodes != 7 || s.NodesKept != shared {
		t.Errorf("stats %+v, want 7 nodes new and %d kept", s, shared)
	}
}

func nodesOf(m *kho.Map) map[phys.PFN]bool {
	set := make(map[phys.PFN]bool)
	for _, n := range m.Nodes() {
		set[n] = true
	}
	return set
}

func TestDraftCopiesEachPathOnce(t *testing.T) {
	mem := phystest.New(t, phys.Range{Start: 0x1000_0000, End: 0x1c00_0000})
	h, err := kho.Open(mem, handoverOf(t, mem, func(preserve func(phys.Block)) {
		for i := range phys.Addr(20000) {
			preserve(phys.Block{Addr: 0x1080_0000 + i<<12})
		}
	}), nil)
	if err != nil {
		t.Fatal(err)
	}
	d, err := h.Draft(kho.V4, nil)
	if err != nil {
		t.Fatal(err)
	}
	for i := range phys.Addr(20000) {
		if err := d.Retire(phys.Block{Addr: 0x1080_0000 + i<<12}); err != nil {
			t.Fatal(err)
		}
	}
	for range 20000 {
		if _, _, err := d.Alloc(); err != nil {
			t.Fatal(err)
		}
	}
	if _, err := d.Commit(); err != nil {
		t.Fatal(err)
	}
	// Two leaves of order 0 reach over the memory; above them, one path.
	if s := d.Stats(); s.Nodes > 7 || s.Retired != 20001 || s.Preserved != 20001 {
		t.Errorf("%+v, want at most 7 nodes, 20001 blocks retired and preserved", s)
	}
}

func TestDraftRefusesToPreserve(t *testing.T) {
	f := newFixture(t)
	h, d := f.draft()
	page, _, err := d.Alloc()
	f.check(err)
	for _, c := range []struct {
		name  string
		block phys.Block
		rule  error
	}{
		{"a member", phys.Block{Addr: loneBlock}, kho.ErrOverlap},
		{"part of a member", phys.Block{Addr: hugeBlock + 0x10000, Order: 2}, kho.ErrOverlap},
		{"what surrounds a member", phys.Block{Addr: loneBlock, Order: 1}, kho.ErrOverlap},
		{"an allocated page", phys.Block{Addr: page}, own.ErrPlace},
		{"a node of the old map", phys.Block{Addr: h.Map().Root()}, kho.ErrOverlap},
		{"scratch", phys.Block{Addr: scratch2}, own.ErrPlace},
		{"memory that is not RAM", phys.Block{Addr: ramEnd}, phys.ErrNotRAM},
		{"memory below 1 MiB", phys.Block{Addr: 0x8000}, own.ErrPlace},
		{"an unaligned block", phys.Block{Addr: loneBlock + 0x11000, Order: 1}, kho.ErrMap},
		{"an order without leaves", phys.Block{Order: 38}, kho.ErrMap},
		{"an order without size", phys.Block{Order: 60}, kho.ErrMap},
	} {
		t.Run(c.name, func(t *testing.T) {
			refusedAs(t, d.Preserve(c.block), c.rule, c.block.Addr, "block")
		})
	}
}

func TestDraftRefusesToRetireWhatIsNoMember(t *testing.T) {
	f := newFixture(t)
	_, d := f.draft()
	for _, b := range []phys.Block{
		{Addr: loneBlock, Order: 1}, {Addr: pairBlock}, {Addr: hugeBlock + 4096}, {Addr: loneBlock + 1}, {Addr: 0, Order: 60},
	} {
		refusedAs(t, d.Retire(b), own.ErrPreserved, b.Addr, "retire")
	}
	f.check(d.Retire(phys.Block{Addr: loneBlock}))
	refusedAs(t, d.Retire(phys.Block{Addr: loneBlock}), own.ErrPreserved, loneBlock, "retire")
}

func TestDraftTakesNoChangesAfterCommit(t *testing.T) {
	f := newFixture(t)
	_, d := f.draft()
	_, err := d.Commit()
	f.check(err)
	if _, _, err := d.Alloc(); err == nil {
		t.Error("Alloc after Commit")
	}
	if err := d.Preserve(phys.Block{Addr: loneBlock + 0x10000}); err == nil {
		t.Error("Preserve after Commit")
	}
	if err := d.Retire(phys.Block{Addr: loneBlock}); err == nil {
		t.Error("Retire after Commit")
	}
	if _, err := d.Commit(); err == nil {
		t.Error("second Commit")
	}
}

func TestTenDraftsInARowDoNotGrow(t *testing.T) {
	f := newFixture(t)
	want := members(t, f.open().Map())
	nodes := len(f.open().Map().Nodes()) + 1 // a leaf for the memory of the pool
	for range 10 {
		h, d := f.draft()
		delete(want, phys.Block{Addr: h.Data().FDT})
		var err error
		f.data, err = d.Commit()
		f.check(err)
		want[phys.Block{Addr: f.data.FDT}] = true
	}
	if diff := cmp.Diff(want, members(t, f.open().Map())); diff != "" {
		t.Errorf("after ten (-want +got):\n%s", diff)
	}
	if n := len(f.open().Map().Nodes()); n != nodes {
		t.Errorf("%d nodes after ten, %d before", n, nodes)
	}
}

func TestNewRefusesBadScratch(t *testing.T) {
	mem, _ := firstDraft(t)
	for name, table := range map[string][]kho.ScratchArea{
		"outside RAM":     {{Addr: 0x7e00_0000, Size: 4 << 20}, {}, {}},
		"without a table": {{Addr: scratch2, Size: 2 << 20}, {}, {}},
		"unaligned":       {{Addr: scratch0 + 4096, Size: 2 << 20}, {}, {}},
	} {
		if _, err := kho.New(mem, kho.V4, mem.RAM(), scratch0, table, nil); !errors.Is(err, kho.ErrScratch) {
			t.Errorf("%s: %v, want %v", name, err, kho.ErrScratch)
		}
	}
}

func TestNewRefusesLowScratchThatIsHigh(t *testing.T) {
	high := phys.Range{Start: 4 << 30, End: 4<<30 + 64<<20}
	mem := phystest.NewSparse(t, high)
	for i, want := range []error{kho.ErrScratch, nil} {
		table := make([]kho.ScratchArea, 3)
		table[i] = kho.ScratchArea{Addr: high.Start, Size: 4 << 20}
		if _, err := kho.New(mem, kho.V4, mem.RAM(), high.Start, table, nil); !errors.Is(err, want) {
			t.Errorf("entry %d above 4 GiB: %v, want %v", i, err, want)
		}
	}
}

func TestNewRefusesATableOverTheEndOfTheAddressSpace(t *testing.T) {
	top := phys.Range{Start: 1<<64 - 4<<20, End: 1<<64 - phys.PageSize}
	mem := phystest.NewSparse(t, top)
	for n, want := range map[int]error{256: nil, 513: kho.ErrScratch} { // of 16 bytes, two pages before the end
		table := make([]kho.ScratchArea, n)
		table[1] = kho.ScratchArea{Addr: top.Start, Size: top.Size()}
		if _, err := kho.New(mem, kho.V4, mem.RAM(), top.End-phys.PageSize, table, nil); !errors.Is(err, want) {
			t.Errorf("%d entries: %v, want %v", n, err, want)
		}
	}
}

func TestWalkStopsAtTheFirstError(t *testing.T) {
	f := newFixture(t)
	n := 0
	err := f.open().Map().Walk(func(phys.Block) error { n++; return kho.ErrNoMemory })
	if n != 1 || err != kho.ErrNoMemory {
		t.Errorf("%d visits, %v", n, err)
	}
}

func TestWalkGoesFromLargeToSmallAndUp(t *testing.T) {
	f := newFixture(t)
	var last phys.Block
	first := true
	f.check(f.open().Map().Walk(func(b phys.Block) error {
		if !first && (b.Order > last.Order || b.Order == last.Order && b.Addr <= last.Addr) {
			t.Errorf("%v after %v", b, last)
		}
		first, last = false, b
		return nil
	}))
}

package own_test

import (
	"math/rand/v2"
	"runtime"
	"testing"

	"ferry/own"
	"ferry/phys"
)

func TestBlocksRemembersEveryBlock(t *testing.T) {
	var s own.Blocks
	var blocks []phys.Block
	for _, a := range []phys.Addr{0, 0x1000, 0x3f000, 0x40000, 0x1ff000, 0x200000, 1 << 30, 1 << 46, 0xffffffffff000, ^phys.Addr(0xfff)} {
		blocks = append(blocks, phys.Block{Addr: a})
	}
	for o := range phys.MaxOrder + 1 { // every order, at both ends of the address space
		if o > 0 {
			blocks = append(blocks, phys.Block{Order: o})
		}
		blocks = append(blocks, phys.Block{Addr: phys.AlignDown(^phys.Addr(0xfff)-1, o.Bytes()), Order: o})
	}
	for i := range 1000 { // scattered: a line each
		blocks = append(blocks, phys.Block{Addr: 1<<40 + phys.Addr(i)*(16<<20)*7})
	}
	for _, b := range blocks {
		if !s.Add(b) {
			t.Fatalf("%v was there before it was added", b)
		}
	}
	for _, b := range blocks {
		if s.Add(b) {
			t.Fatalf("%v was forgotten", b)
		}
	}
}

func TestWordTellsWhichOf64BlocksAreThere(t *testing.T) {
	var s own.Blocks
	if w := s.Word(0, 64); w != 0 {
		t.Errorf("an empty set has %#x", w)
	}
	for _, n := range []uint64{64, 67, 127, 128, 1 << 20} {
		for _, o := range []phys.Order{0, 9} {
			s.Add(phys.Block{Addr: phys.Addr(n << (12 + o)), Order: o})
		}
	}
	for first, want := range map[uint64]uint64{0: 0, 64: 1 | 1<<3 | 1<<63, 128: 1, 192: 0, 1 << 20: 1, 1 << 30: 0} {
		for _, o := range []phys.Order{0, 9} {
			if got := s.Word(o, first); got != want {
				t.Errorf("order %d from %d: %#x, want %#x", o, first, got, want)
			}
		}
		if got := s.Word(1, first); got != 0 {
			t.Errorf("order 1 from %d: %#x, want none", first, got)
		}
	}
}

// large is RAM that nobody reads, all of it preserved, in blocks of any order.
type large struct {
	phys.Memory
	ram phys.Ranges
}

func (m *large) RAM() phys.Ranges          { return m.ram }
func (m *large) Preserved(phys.Block) bool { return true }

func (m *large) Head(a phys.Addr) (phys.Block, bool) { return phys.Block{Addr: a}, true }

// TestProvingLargeMemoryTakesLittle proves what a large healthy machine
// preserves: what grew with the number of folios would exhaust a stage of 64 MiB.
func TestProvingLargeMemoryTakesLittle(t *testing.T) {
	const tib = 1 << 40
	run := func(add func(phys.Block), o phys.Order, from, to phys.Addr) {
		for a := from; a < to; a += phys.Addr(o.Bytes()) {
			add(phys.Block{Addr: a, Order: o})
		}
	}
	for _, tt := range []struct {
		name  string
		fill  func(add func(phys.Block))
		bytes uint64 // that it may take from the heap
	}{
		{"1 TiB of order 9", func(add func(phys.Block)) { run(add, 9, 1<<32, 1<<32+tib) }, 128 << 10},
		{"1 TiB of order 9, every other folio", func(add func(phys.Block)) {
			for a := phys.Addr(1 << 32); a < 1<<32+2*tib; a += 4 << 20 {
				add(phys.Block{Addr: a, Order: 9})
			}
		}, 256 << 10},
		{"1 TiB of order 9 in no order", func(add func(phys.Block)) {
			for _, i := range rand.New(rand.NewPCG(1, 2)).Perm(tib >> 21) {
				add(phys.Block{Addr: 1<<32 + phys.Addr(i)<<21, Order: 9})
			}
		}, 128<<10 + 8*tib>>21}, // and the permutation
		{"orders 0 to 10, 4 GiB each", func(add func(phys.Block)) {
			for o := range phys.Order(11) {
				run(add, o, phys.Addr(o+1)<<32, phys.Addr(o+2)<<32)
			}
		}, 512 << 10},
		{"64 GiB of order 9 with a page for each fourth", func(add func(phys.Block)) {
			for a := phys.Addr(1 << 32); a < 1<<32+tib/16; a += 8 << 20 {
				run(add, 9, a, a+6<<20)
				add(phys.Block{Addr: a + 6<<20})
			}
		}, 8192*200 + 16<<10},
	} {
		t.Run(tt.name, func(t *testing.T) {
			m := &large{ram: phys.NewRanges(phys.Range{Start: 1 << 32, End: 1 << 46})}
			ledger := own.NewLedger(m, m, nil)
			var before, after runtime.MemStats
			added, refused := 0, 0
			runtime.ReadMemStats(&before)
			tt.fill(func(b phys.Block) {
				added++
				if ledger.Claim("folio", b) != nil {
					refused++
				}
			})
			runtime.ReadMemStats(&after)
			got := after.TotalAlloc - before.TotalAlloc
			t.Logf("%d blocks: %d KiB", added, got>>10)
			if refused != 0 {
				t.Errorf("%d of %d blocks were refused", refused, added)
			}
			if got > tt.bytes {
				t.Errorf("%d blocks took %d KiB, want at most %d", added, got>>10, tt.bytes>>10)
			}
		})
	}
}

func TestAClearedSetIsEmptyAndTakesNoNewMemory(t *testing.T) {
	var s own.Blocks
	blocks := make([]phys.Block, 500)
	for i := range blocks { // a line each
		blocks[i] = phys.Block{Addr: phys.Addr(i+1) << 32}
	}
	fill := func() {
		for _, b := range blocks {
			if s.Has(b) || !s.Add(b) || !s.Has(b) {
				t.Fatalf("%v", b)
			}
		}
	}
	fill()
	s.Clear()
	if n := testing.AllocsPerRun(20, func() { fill(); s.Clear() }); n > 0 {
		t.Errorf("%v allocations to fill it again, want none", n)
	}
	for _, b := range blocks {
		if s.Has(b) || s.Word(0, uint64(b.Addr.PFN())) != 0 {
			t.Errorf("%v is still there", b)
		}
	}
}

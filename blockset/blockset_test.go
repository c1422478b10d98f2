package blockset_test

import (
	"bytes"
	"encoding/binary"
	"errors"
	"io"
	"math/rand/v2"
	"testing"

	"ferry/blockset"
	"ferry/blockset/blocktest"
	"ferry/own"
	"ferry/phys"
	"ferry/phys/phystest"
)

// Where the tests' pages lie: base holds one chain of full length.
const (
	base    phys.Addr = 0x10000000
	sizeRAM           = 64 << 20
)

var scratch = phys.NewRanges(phys.Range{Start: base + sizeRAM, End: base + sizeRAM + 1<<20})

// machine returns RAM with a page source at its start and scratch behind it.
func machine(t testing.TB) (phys.Memory, *blocktest.Pages) {
	t.Helper()
	mem := phystest.New(t, phys.Range{Start: base, End: scratch[0].End})
	return mem, blocktest.New(mem, phys.Range{Start: base, End: base + sizeRAM})
}

func layout(t testing.TB, size int) blockset.Layout {
	t.Helper()
	l, err := blockset.LayoutOf(size)
	if err != nil {
		t.Fatal(err)
	}
	return l
}

// records returns n records of size bytes, all different.
func records(n, size int, seed uint64) []byte {
	b := make([]byte, n*size)
	rnd := rand.New(rand.NewPCG(seed, uint64(size)))
	for i := range b {
		b[i] = byte(rnd.Uint32())
	}
	return b
}

// read returns every record of s in one slice.
func read(s *blockset.Set) (all []byte) {
	for it := s.Iter(); ; {
		e := it.Next()
		if e == nil {
			return all
		}
		all = append(all, e...)
	}
}

// write returns a chain of the given records.
func write(t testing.TB, p blockset.Pages, l blockset.Layout, recs []byte) *blockset.Set {
	t.Helper()
	s := blockset.New(l, p)
	if err := s.Append(recs); err != nil {
		t.Fatal(err)
	}
	return s
}

func TestCapacityIsWhatTheKernelComputes(t *testing.T) {
	for _, tt := range []struct{ size, capacity int }{
		{80, 51}, {64, 63}, {32, 127}, {1, 4080}, {4080, 1}, {4079, 1}, {2040, 2}, {2041, 1},
	} {
		l := layout(t, tt.size)
		if l.Capacity() != tt.capacity {
			t.Errorf("%d bytes: capacity %d, want %d", tt.size, l.Capacity(), tt.capacity)
		}
		if got, want := l.Max(), 10000*tt.capacity; got != want {
			t.Errorf("%d bytes: at most %d records, want %d", tt.size, got, want)
		}
	}
	for _, size := range []int{-1, 0, 4081, 1 << 20} {
		if _, err := blockset.LayoutOf(size); !errors.Is(err, blockset.ErrEntrySize) {
			t.Errorf("LayoutOf(%d) = %v, want ErrEntrySize", size, err)
		}
	}
}

func TestWhatIsWrittenIsRead(t *testing.T) {
	mem, pages := machine(t)
	for _, size := range []int{1, 7, 16, 64, 80, 1000, 4080} {
		l := layout(t, size)
		c := l.Capacity()
		for _, n := range []int{0, 1, c - 1, c, c + 1, 3*c - 1, 3 * c, 3*c + 1} {
			recs := records(n, size, uint64(n))
			s := write(t, pages, l, recs)
			got, err := blockset.Restore(own.NewLedger(mem, pages, scratch), l, s.Head(), nil)
			if err != nil {
				t.Fatalf("%d records of %d bytes: %v", n, size, err)
			}
			if !bytes.Equal(read(got), recs) {
				t.Errorf("%d records of %d bytes: read other bytes than were written", n, size)
			}
			if got.Len() != n || len(got.Blocks()) != l.Blocks(n) || got.Head() != s.Head() || got.Empty() != (n == 0) {
				t.Errorf("%d records of %d bytes: %d records in %d blocks at %v", n, size, got.Len(), len(got.Blocks()), got.Head())
			}
			if n > 0 {
				if last := got.Blocks()[len(got.Blocks())-1]; last.Next() != 0 {
					t.Errorf("%d records of %d bytes: last block points to %v", n, size, last.Next())
				}
			}
		}
	}
}

func TestReservedSlotsAreWhatAppendWrites(t *testing.T) {
	_, pages := machine(t)
	l := layout(t, 80)
	recs := records(120, 80, 1)
	s := blockset.New(l, pages)
	if err := s.Grow(120); err != nil {
		t.Fatal(err)
	}
	it := s.Iter()
	for i := range 120 {
		copy(it.Reserve(), recs[i*80:])
	}
	want := write(t, pages, l, recs)
	for i, b := range s.Blocks() {
		w := want.Blocks()[i]
		if !bytes.Equal(b.Page()[8:], w.Page()[8:]) {
			t.Errorf("block %d differs", i)
		}
	}
	for it.Reserve() != nil { // the rest of the third block
	}
	if s.Len() != 3*51 {
		t.Errorf("reserved %d records in 3 blocks, want 153", s.Len())
	}
}

func TestPrevWalksBackOverUnevenBlocks(t *testing.T) {
	mem, pages := machine(t)
	l := layout(t, 64)
	s := write(t, pages, l, records(3*63, 64, 2))
	for i, n := range []uint64{63, 5, 9} { // a chain that only a reader may meet
		binary.LittleEndian.PutUint64(s.Blocks()[i].Page()[8:], n)
	}
	in, err := blockset.Restore(own.NewLedger(mem, pages, scratch), l, s.Head(), nil)
	if err != nil {
		t.Fatal(err)
	}
	var forward [][]byte
	it := in.Iter()
	for e := it.Next(); e != nil; e = it.Next() {
		forward = append(forward, e)
	}
	if len(forward) != 63+5+9 {
		t.Fatalf("%d records, want 77", len(forward))
	}
	for i := len(forward) - 1; i >= 0; i-- {
		if e := it.Prev(); e == nil || &e[0] != &forward[i][0] {
			t.Fatalf("stepping back to record %d gave another one", i)
		}
	}
	if it.Prev() != nil {
		t.Error("stepped back beyond the first record")
	}
	if e := it.Next(); &e[0] != &forward[0][0] {
		t.Error("forward again gave another record than the first")
	}
}

func TestGrowShrinkClearDestroy(t *testing.T) {
	_, pages := machine(t)
	l := layout(t, 64)
	s := blockset.New(l, pages)
	steps := []struct {
		what   string
		do     func() error
		blocks int
		len    int
	}{
		{"grow to nothing", func() error { return s.Grow(0) }, 0, 0},
		{"grow to one", func() error { return s.Grow(1) }, 1, 0},
		{"grow within a block", func() error { return s.Grow(63) }, 1, 0},
		{"grow by one block", func() error { return s.Grow(64) }, 2, 0},
		{"grow by many", func() error { return s.Grow(630) }, 10, 0},
		{"grow never shrinks", func() error { return s.Grow(1) }, 10, 0},
		{"fill", func() error {
			for it := s.Iter(); it.Reserve() != nil; {
			}
			return nil
		}, 10, 630},
		{"shrink not yet", func() error { return s.Shrink(568) }, 10, 630},
		{"shrink by one", func() error { return s.Shrink(567) }, 9, 567},
		{"shrink to one record", func() error { return s.Shrink(1) }, 1, 63},
		{"clear", s.Clear, 1, 0},
		{"shrink to nothing", func() error { return s.Shrink(0) }, 0, 0},
		{"grow again", func() error { return s.Grow(200) }, 4, 0},
		{"destroy", s.Destroy, 0, 0},
	}
	for _, st := range steps {
		if err := st.do(); err != nil {
			t.Fatalf("%s: %v", st.what, err)
		}
		if len(s.Blocks()) != st.blocks || s.Len() != st.len || pages.Len() != st.blocks {
			t.Fatalf("%s: %d blocks, %d records, %d pages preserved; want %d, %d, %d",
				st.what, len(s.Blocks()), s.Len(), pages.Len(), st.blocks, st.len, st.blocks)
		}
		if (s.Head() == 0) != (st.blocks == 0) {
			t.Fatalf("%s: head %v with %d blocks", st.what, s.Head(), st.blocks)
		}
		if st.blocks > 0 && s.Blocks()[st.blocks-1].Next() != 0 {
			t.Fatalf("%s: last block points on", st.what)
		}
	}
}

// TestRandomChangesMatchAModel holds a set against a slice of records through a
// random sequence of all that can be done to it.
func TestRandomChangesMatchAModel(t *testing.T) {
	for seed := range uint64(30) {
		mem, pages := machine(t)
		rnd := rand.New(rand.NewPCG(seed, 2))
		size := []int{8, 64, 80, 500, 2040, 4080}[rnd.IntN(6)]
		l := layout(t, size)
		s, model := blockset.New(l, pages), []byte(nil)
		must := func(err error) {
			if err != nil {
				t.Fatalf("seed %d: %v", seed, err)
			}
		}
		for step := range 60 {
			switch n := rnd.IntN(3 * l.Capacity()); rnd.IntN(6) {
			case 0, 1:
				recs := records(n, size, uint64(step))
				must(s.Append(recs))
				model = append(model, recs...)
			case 2:
				must(s.Grow(n))
			case 3: // the records that remain fill whole blocks
				must(s.Shrink(n))
				model = model[:min(len(model), l.Blocks(n)*l.Capacity()*size)]
			case 4:
				recs := records(n, size, uint64(step))
				must(s.Grow(len(model)/size + n))
				it := s.Iter()
				for range len(model) / size {
					it.Next()
				}
				for r := recs; len(r) > 0; r = r[size:] {
					copy(it.Reserve(), r)
				}
				model = append(model, recs...)
			case 5:
				if rnd.IntN(4) == 0 {
					must(s.Clear())
					model = nil
				}
			}
			if !bytes.Equal(read(s), model) {
				t.Fatalf("seed %d, step %d: %d records, want %d", seed, step, s.Len(), len(model)/size)
			}
			if pages.Len() != len(s.Blocks()) {
				t.Fatalf("seed %d, step %d: %d pages for %d blocks", seed, step, pages.Len(), len(s.Blocks()))
			}
		}
		must(s.Shrink(s.Len()))
		in, err := blockset.Restore(own.NewLedger(mem, pages, scratch), l, s.Head(), nil)
		must(err)
		if !bytes.Equal(read(in), model) {
			t.Fatalf("seed %d: restored records differ", seed)
		}
	}
}

func TestAppendFillsTheBlocksThatGrowMade(t *testing.T) {
	_, pages := machine(t)
	l := layout(t, 64)
	s := blockset.New(l, pages)
	if err := s.Grow(3 * 63); err != nil {
		t.Fatal(err)
	}
	if err := s.Append(records(2*63, 64, 1)); err != nil {
		t.Fatal(err)
	}
	for i, want := range []int{63, 63, 0} {
		if got := s.Blocks()[i].Len(); got != want {
			t.Errorf("block %d has %d records, want %d", i, got, want)
		}
	}
}

func TestFailedGrowLeavesTheSetAsItWas(t *testing.T) {
	mem, _ := machine(t)
	pages := blocktest.New(mem, phys.Range{Start: base, End: base + 5*phys.PageSize})
	l := layout(t, 64)
	s := write(t, pages, l, records(126, 64, 3))
	if err := s.Grow(63 * 6); !errors.Is(err, blocktest.ErrNoPages) {
		t.Fatalf("growing without pages: %v", err)
	}
	if len(s.Blocks()) != 2 || pages.Len() != 2 || s.Blocks()[1].Next() != 0 {
		t.Errorf("%d blocks, %d pages, last points to %v", len(s.Blocks()), pages.Len(), s.Blocks()[1].Next())
	}
}

// noPages has none to give.
type noPages struct{}

func (noPages) Alloc() (phys.Addr, []byte, error) { return 0, nil, io.ErrShortWrite }
func (noPages) Retire(phys.Block) error           { return io.ErrShortWrite }

func TestAChainThatIsOnlyReadLosesNoBlock(t *testing.T) {
	mem, pages := machine(t)
	l := layout(t, 64)
	out := write(t, pages, l, records(200, 64, 4))
	s, err := blockset.Restore(own.NewLedger(mem, pages, scratch), l, out.Head(), nil)
	if err != nil {
		t.Fatal(err)
	}
	if err := s.Shrink(1); !errors.Is(err, blockset.ErrIncoming) || s.Len() != 200 {
		t.Errorf("%v with %d records, want ErrIncoming with 200", err, s.Len())
	}
}

func TestIncomingChainIsNeverWritten(t *testing.T) {
	mem, pages := machine(t)
	l := layout(t, 64)
	out := write(t, pages, l, records(200, 64, 4))
	before := make([]byte, 8*phys.PageSize)
	window, err := mem.View(base, uint64(len(before)))
	if err != nil {
		t.Fatal(err)
	}
	copy(before, window)
	s, err := blockset.Restore(own.NewLedger(mem, pages, scratch), l, out.Head(), pages)
	if err != nil {
		t.Fatal(err)
	}
	it := s.Iter()
	if it.Reserve() != nil {
		t.Error("reserved a slot in it")
	}
	for what, err := range map[string]error{"grow": s.Grow(1000), "clear": s.Clear(), "append": s.Append(make([]byte, 64))} {
		if !errors.Is(err, blockset.ErrIncoming) {
			t.Errorf("%s: %v, want ErrIncoming", what, err)
		}
	}
	if err := s.Shrink(100); err != nil || len(s.Blocks()) != 2 || pages.Len() != 2 {
		t.Errorf("shrink: %v, %d blocks, %d pages", err, len(s.Blocks()), pages.Len())
	}
	if err := s.Destroy(); err != nil || pages.Len() != 0 {
		t.Errorf("destroy: %v, %d pages", err, pages.Len())
	}
	if !bytes.Equal(before, window) {
		t.Error("its memory changed")
	}
}

func TestIteratingAllocatesNothing(t *testing.T) {
	mem, pages := machine(t)
	l := layout(t, 64)
	out := write(t, pages, l, records(63*100, 64, 6))
	chk := own.NewLedger(mem, pages, scratch)
	s, err := blockset.Restore(chk, l, out.Head(), nil)
	if err != nil {
		t.Fatal(err)
	}
	if n := testing.AllocsPerRun(10, func() {
		it := s.Iter()
		for it.Next() != nil {
		}
		for it.Prev() != nil {
		}
	}); n != 0 {
		t.Errorf("%v allocations to iterate 6300 records", n)
	}
	blocks := make([]blockset.Block, 0, 100)
	if n := testing.AllocsPerRun(1, func() {
		chk = own.NewLedger(mem, pages, scratch)
		blockset.AppendChain(blocks, chk, "block", l, out.Head())
	}); n > 12 {
		t.Errorf("%v allocations to restore 100 blocks, want those of the ledger", n)
	}
}

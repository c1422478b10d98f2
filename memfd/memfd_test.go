package memfd_test

import (
	"encoding/binary"
	"fmt"
	"math/rand/v2"
	"testing"

	"github.com/google/go-cmp/cmp"

	"ferry/kho"
	"ferry/memfd"
	"ferry/own"
	"ferry/phys"
	"ferry/phys/phystest"
)

// A machine of 192 MiB with scratch at its beginning, and at its end.
const base phys.Addr = 0x10000000

var areas = []kho.ScratchArea{{Addr: base, Size: 4 << 20}, {Addr: base + 128<<20, Size: 64 << 20}, {Addr: base + 4<<20, Size: 4 << 20}}

// first begins the handover of a first kernel.
func first(t testing.TB) *kho.Draft {
	t.Helper()
	ram := phys.Range{Start: base, End: base + 192<<20}
	d, err := kho.New(phystest.New(t, ram), kho.V4, phys.NewRanges(ram), base, areas, nil)
	if err != nil {
		t.Fatal(err)
	}
	return d
}

// commit makes d the handover and opens it.
func commit(t testing.TB, d *kho.Draft) (*kho.Handover, *own.Ledger) {
	t.Helper()
	data, err := d.Commit()
	if err != nil {
		t.Fatal(err)
	}
	h, err := kho.Open(d.Memory(), data, nil)
	if err != nil {
		t.Fatal(err)
	}
	return h, h.Ledger()
}

// folios takes memory for a file: one folio of each order, behind each other. A
// negative order is a hole of that many pages without an entry, 100 an entry
// without memory. Each page holds its index in the file.
func folios(t testing.TB, d *kho.Draft, orders ...int) (fs []memfd.Folio, pages uint64) {
	t.Helper()
	for _, o := range orders {
		switch {
		case o < 0:
			pages += uint64(-o)
			continue
		case o == 100:
			fs = append(fs, memfd.Folio{Index: pages})
			pages++
			continue
		}
		a, b, err := d.AllocBlock(phys.Order(o))
		if err != nil {
			t.Fatal(err)
		}
		f := memfd.Folio{Block: phys.Block{Addr: a, Order: phys.Order(o)}, Index: pages, Flags: memfd.Dirty | memfd.UpToDate}
		for i := range f.Block.Order.Pages() {
			binary.LittleEndian.PutUint64(b[i*phys.PageSize:], pages+i+1)
		}
		fs, pages = append(fs, f), pages+f.Block.Order.Pages()
	}
	return fs, pages
}

func repeat(n, order int) []int {
	s := make([]int, n)
	for i := range s {
		s[i] = order
	}
	return s
}

func TestWhatIsWrittenIsRead(t *testing.T) {
	for _, tt := range []struct {
		name   string
		orders []int
		cut    uint64 // bytes by which the file ends before its last page
		meta   memfd.Meta
	}{
		{"empty", nil, 0, memfd.Meta{Pos: 7}},
		{"one page", []int{0}, 0, memfd.Meta{Pos: 4096, Seals: 0x3f}},
		{"one byte", []int{0}, 4095, memfd.Meta{}},
		{"an array of exactly one page", repeat(256, 0), 1, memfd.Meta{Seals: memfd.SealSeal}},
		{"an array of two pages", repeat(257, 0), 0, memfd.Meta{}},
		{"large folios", []int{9, 9, 2, 1, 0, -1, 1}, 100, memfd.Meta{}},
		{"a large folio beyond the end", []int{9}, 511 * 4096, memfd.Meta{}},
		{"holes", []int{0, -3, 0, 100, 100, -3, 1, 100}, 0, memfd.Meta{}},
		{"a hole at the beginning", []int{-8, 3}, 5000, memfd.Meta{}},
		{"only holes", []int{100, 100}, 0, memfd.Meta{}},
	} {
		t.Run(tt.name, func(t *testing.T) {
			d := first(t)
			fs, pages := folios(t, d, tt.orders...)
			tt.meta.Size = pages*phys.PageSize - tt.cut
			a, err := memfd.Write(d, memfd.V2, tt.meta, fs)
			if err != nil {
				t.Fatal(err)
			}
			_, c := commit(t, d)
			f, err := memfd.Open(c, memfd.Ref{Format: memfd.V2, Addr: a})
			if err != nil {
				t.Fatal(err)
			}
			if f.Meta != tt.meta || f.Folios != uint64(len(fs)) || f.Addr != a {
				t.Errorf("%+v with %d folios at %v, want %+v with %d at %v", f.Meta, f.Folios, f.Addr, tt.meta, len(fs), a)
			}
			var got []memfd.Folio
			if err := f.Walk(func(f memfd.Folio) error { got = append(got, f); return nil }); err != nil {
				t.Fatal(err)
			}
			if diff := cmp.Diff(fs, got); diff != "" {
				t.Errorf("folios (-written +read):\n%s", diff)
			}
			if err := f.Check(c); err != nil {
				t.Error(err)
			}
			checkContents(t, f, fs)
		})
	}
}

func TestRandomFilesAreRead(t *testing.T) {
	for seed := range uint64(20) {
		rnd := rand.New(rand.NewPCG(seed, 3))
		d := first(t)
		var orders []int
		pages := 0
		for range rnd.IntN(600) {
			o := rnd.IntN(5)
			if r := rnd.IntN(10); r == 0 {
				o = 100
			} else if r == 1 {
				o = -1 - rnd.IntN(20)
			}
			// A large folio stands at a multiple of its size.
			size := 1
			if o < 0 {
				size = -o
			} else if o < 100 {
				size = 1 << o
			}
			if rest := pages % size; o > 0 && rest != 0 {
				orders, pages = append(orders, rest-size), pages+size-rest
			}
			pages += size
			orders = append(orders, o)
		}
		orders = append(orders, 0) // the file does not end in a hole without an entry
		fs, n := folios(t, d, orders...)
		m := memfd.Meta{Size: n*phys.PageSize - rnd.Uint64N(phys.PageSize), Pos: rnd.Uint64() >> 1, Seals: rnd.Uint32() & 0x3f}
		a, err := memfd.Write(d, memfd.V2, m, fs)
		if err != nil {
			t.Fatalf("seed %d: %v", seed, err)
		}
		_, c := commit(t, d)
		f, err := memfd.Open(c, memfd.Ref{Format: memfd.V2, Addr: a})
		if err == nil {
			err = f.Check(c)
		}
		if err != nil || f.Meta != m {
			t.Fatalf("seed %d: %+v, want %+v: %v", seed, f, m, err)
		}
		checkContents(t, f, fs)
	}
}

// checkContents proves that the contents of f are whole, in order, and those
// that folios wrote.
func checkContents(t *testing.T, f *memfd.File, fs []memfd.Folio) {
	t.Helper()
	mapped := make(map[uint64]bool) // pages that have memory
	for _, folio := range fs {
		for i := range folio.Block.Order.Pages() {
			mapped[folio.Index+i] = !folio.Hole()
		}
	}
	next := uint64(0)
	err := f.Contents(func(off, n uint64, data []byte) error {
		if off != next || n == 0 {
			return fmt.Errorf("%d bytes at %d, want some at %d", n, off, next)
		}
		next += n
		for p := off / phys.PageSize; p*phys.PageSize < off+n; p++ {
			if mapped[p] != (data != nil) {
				return fmt.Errorf("page %d has memory: %v", p, data != nil)
			}
			if i := p*phys.PageSize - off; data != nil && i+8 <= n && binary.LittleEndian.Uint64(data[i:]) != p+1 {
				return fmt.Errorf("page %d holds other contents", p)
			}
		}
		if data != nil && uint64(len(data)) != n {
			return fmt.Errorf("%d bytes of data for %d", len(data), n)
		}
		return nil
	})
	if err != nil {
		t.Error(err)
	}
	if next != f.Size {
		t.Errorf("contents of %d bytes, want %d", next, f.Size)
	}
}

func TestWalkingAllocatesNothing(t *testing.T) {
	d := first(t)
	fs, pages := folios(t, d, repeat(2000, 0)...)
	a, err := memfd.Write(d, memfd.V2, memfd.Meta{Size: pages * phys.PageSize}, fs)
	if err != nil {
		t.Fatal(err)
	}
	_, c := commit(t, d)
	f, err := memfd.Open(c, memfd.Ref{Format: memfd.V2, Addr: a})
	if err != nil {
		t.Fatal(err)
	}
	if n := testing.AllocsPerRun(5, func() { f.Walk(func(memfd.Folio) error { return nil }) }); n != 0 {
		t.Errorf("%v allocations for 2000 folios", n)
	}
}

func u64(b []byte) uint64 { return binary.LittleEndian.Uint64(b) }

package kho_test

import (
	"bytes"
	"encoding/binary"
	"errors"
	"slices"
	"strings"
	"testing"

	"ferry/fdt"
	"ferry/kho"
	"ferry/phys"
	"ferry/phys/phystest"
)

// What reading a handover takes from the heap: some for each entry of its scratch
// table and for each page of its map, of which there are no more than RAM has room
// for, and this for all the rest.
const (
	heapOfHandover = 64 << 10
	heapOfEntry    = 96 // the table, its areas, and their set
	heapOfNode     = 512
	heapOfObject   = 8 << 10 // metadata, reserved memory, what the test owns
)

// bounded fails the test if reading what f has takes more than that.
func bounded(t testing.TB, f *fixture) {
	t.Helper()
	limit := uint64(heapOfHandover + heapOfEntry*(min(f.data.ScratchSize, 256<<10)/16))
	var h *kho.Handover
	phystest.Bounded(t, limit+heapOfNode*64, func() { h, _ = kho.Open(f.mem, f.data, f.hint) })
	phystest.Bounded(t, limit+heapOfNode*64, func() { kho.Recognise(f.mem, f.data) }) // opens it, if two formats have one version string
	phystest.Bounded(t, 4*limit, func() {
		areas, _ := kho.ScratchHint(f.mem, f.data)
		kho.Spared(f.mem, f.data, f.hint, areas)
	})
	if h == nil {
		return
	}
	phystest.Bounded(t, heapOfObject, func() { h.Metadata() })
	phystest.Bounded(t, heapOfObject, func() { h.Reserved() })
	phystest.Bounded(t, heapOfObject, func() { h.TestObjects(func(string, phys.Block) error { return nil }) })
}

// bulk is the size of the largest sub-tree.
const bulk = 4 << 20

// bulky are device trees of the kernel's own test, of 4 MiB each, all of whose
// folios are the block at a.
func bulky(tb testing.TB, folio phys.Block) (names []string, trees [][]byte) {
	tb.Helper()
	add := func(name string, body func(w *fdt.Writer)) {
		b := make([]byte, bulk)
		w := fdt.NewWriter(b)
		w.Begin("")
		body(w)
		w.End()
		n, err := w.Finish()
		if err != nil {
			tb.Fatal(err)
		}
		names, trees = append(names, name), append(trees, b[:n])
	}
	compatible := func(text string) func(w *fdt.Writer) {
		return func(w *fdt.Writer) {
			w.Property("compatible", []byte(strings.Repeat(text, (bulk-4096)/len(text))))
		}
	}
	add("zeros", compatible("\x00"))
	add("nothing printable", compatible("\xff"))
	add("many versions", compatible("kho-test-v1-a-v1\x00"))
	add("many folios", func(w *fdt.Writer) {
		info := binary.LittleEndian.AppendUint64(nil, uint64(folio.Addr)|uint64(folio.Order))
		const n = (bulk - 4096) / 8
		w.String("compatible", "kho-test-v1")
		w.Property("magic", []byte("!OHK"))
		w.Begin("data")
		w.Property("nr_folios", binary.LittleEndian.AppendUint32(nil, n))
		w.Property("folios_info", bytes.Repeat(info, n))
		w.End()
	})
	add("a long region", func(w *fdt.Writer) {
		w.String("compatible", "memblock-v1")
		w.Begin(strings.Repeat("n", bulk-4096))
		w.String("compatible", "reserve-mem-v1")
		w.Uint64("start", 0)
		w.Uint64("size", 4096)
		w.End()
	})
	add("a long name", func(w *fdt.Writer) {
		w.String("compatible", "kho-test-v1")
		w.Property("magic", []byte("!OHK"))
		w.Begin(strings.Repeat("n", bulk-4096))
		w.End()
	})
	return names, trees
}

// testedBulky gives f, in a format whose sub-trees are device trees, the sub-tree of
// the kernel's test with data in it.
func testedBulky(f *fixture, data []byte) {
	f.Helper()
	_, d := f.draft()
	a, b, err := d.AllocBlock(10)
	f.check(err)
	copy(b, data)
	f.check(d.SetSubtree(kho.TestName, a, uint64(len(data))))
	f.data, err = d.Commit()
	f.check(err)
}

// TestBulkySubtreesCostNextToNothing: whatever 4 MiB hold, opening the handover and
// reading them take no more of the heap than one page would.
func TestBulkySubtreesCostNextToNothing(t *testing.T) {
	formats := []*kho.Format{kho.V4, kho.V1}
	if phystest.OnMetal { // where 4 MiB take a while; the fuzz target has V1
		formats = formats[:1]
	}
	names, trees := bulky(t, phys.Block{Addr: loneBlock})
	for _, format := range formats {
		for i, name := range names {
			f := fixtureAs(t, format)
			testedBulky(f, trees[i])
			bounded(t, f)
			phystest.Bounded(t, heapOfObject, func() { kho.ParseReserved(0x1000, trees[i]) })
			h := f.open()
			n := 0
			err := h.TestObjects(func(_ string, b phys.Block) error { n++; return nil })
			switch name {
			case "zeros", "many versions", "a long region": // carried as it is
				if err != nil || n != 0 {
					t.Errorf("%v: %s: %v, %d objects", format, name, err, n)
				}
			case "many folios":
				if err != nil || n != (bulk-4096)/8 {
					t.Errorf("%v: %s: %v, %d objects", format, name, err, n)
				}
			default:
				if err == nil || len(err.Error()) > 1024 || !strings.Contains(err.Error(), `sub-tree "kho_test"`) {
					t.Errorf("%v: %s: %.2000v", format, name, err)
				}
			}
		}
	}
}

// TestManyBadSubtreesCostLittleEach fills the root device tree with sub-trees that are
// wrong.
func TestManyBadSubtreesCostLittleEach(t *testing.T) {
	f := newFixture(t)
	page := f.edit(f.data.FDT, phys.PageSize)
	root := f.root()
	w := fdt.NewWriter(page)
	w.Begin("")
	w.String("compatible", "kho-v4")
	w.Address("preserved-memory-map", root)
	n := 0
	for i := range 300 {
		w.Begin(string(rune('A'+i/15)) + string(rune('a'+i%15)))
		w.End()
		n++
	}
	w.End()
	_, err := w.Finish()
	f.check(err)
	bounded(t, f)
	_, err = kho.Open(f.mem, f.data, nil)
	var all *phys.Errors
	if !errors.As(err, &all) || len(all.All()) != 15 || !strings.Contains(all.All()[14].Error(), "the rest of the sub-trees was not looked at") {
		t.Errorf("%d errors of %d: %.3000v", len(all.All()), n, err)
	}
}

// TestFullScratchTablesCostTheirSize has as many areas as there may be.
func TestFullScratchTablesCostTheirSize(t *testing.T) {
	f := newFixture(t)
	f.data.ScratchSize = 16384 * 16
	table := f.edit(scratch0, f.data.ScratchSize)
	for i := range 16384 {
		binary.LittleEndian.PutUint64(table[16*i:], uint64(scratch0)+uint64(i)<<21)
		binary.LittleEndian.PutUint64(table[16*i+8:], 4096)
	}
	bounded(t, f)
	slices.Reverse(table)
	bounded(t, f)
}

// TestVersionsAreNamedOnce: of a page of version strings that nobody knows the error
// shows some, and says what is known of one.
func TestVersionsAreNamedOnce(t *testing.T) {
	f := newFixture(t)
	root := f.root()
	for text, what := range map[string]string{"kho-v2": "kho-v2 is the radix tree", "kho-v9-a-v1": "made of a-v1", "kho-v9;a;b;c": "made of a and b and c",
		strings.Repeat("kho-v9;x", 400): "", strings.Repeat("\xff", 3000): "", "": ""} {
		w := fdt.NewWriter(f.edit(f.data.FDT, phys.PageSize))
		w.Begin("")
		w.Property("compatible", []byte(strings.Repeat(text+"\x00", 3500/(len(text)+1))))
		w.Address("preserved-memory-map", root)
		w.End()
		_, err := w.Finish()
		f.check(err)
		bounded(t, f)
		_, err = kho.Open(f.mem, f.data, nil)
		if !errors.Is(err, kho.ErrVersion) || len(err.Error()) > 2048 || what != "" && strings.Count(err.Error(), what) != 1 {
			t.Errorf("%.20q: %.3000v", text, err)
		}
	}
}

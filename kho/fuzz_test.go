package kho_test

import (
	"bytes"
	"encoding/binary"
	"errors"
	"strings"
	"testing"

	"ferry/kho"
	"ferry/kho/khotest"
	"ferry/phys"
	"ferry/phys/phystest"
)

// sound proves what Open promises of a handover that it accepts, by means of its
// own, and that a draft of it commits to another one that is sound.
func sound(t *testing.T, f *fixture) {
	t.Helper()
	bounded(t, f)
	h, err := kho.Open(f.mem, f.data, f.hint)
	if err != nil {
		var e *phys.Error
		if !errors.As(err, &e) || e.Object == "" || e.Found == "" {
			t.Fatalf("%v: no object named", err)
		}
		return
	}
	var taken phys.Ranges
	n := 0
	err = h.Map().Walk(func(b phys.Block) error {
		if n++; n > 5000 {
			return nil // enough; the rest is proved by words
		}
		r := b.Range()
		if _, hit := taken.Overlaps(r); hit || !f.mem.RAM().Contains(r) || r.Start < phys.LowMemory || !h.Map().Preserved(b) {
			t.Fatalf("block %v: overlaps another, is not RAM, or no member", b)
		}
		if s, hit := h.Scratch().Overlaps(r); hit {
			t.Fatalf("block %v in scratch %v", b, s)
		}
		if hasNode(h.Map(), r) {
			t.Fatalf("block %v holds a node", b)
		}
		if n < 200 {
			taken = taken.Add(r)
		}
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	for _, s := range h.Subtrees() {
		if !h.Map().Covers(phys.Range{Start: s.Data, End: s.Data + phys.Addr(s.Size)}) {
			t.Fatalf("sub-tree %q is not covered", s.Name)
		}
	}
	h.Metadata()
	h.Reserved()
	h.TestObjects(func(_ string, b phys.Block) error {
		if !h.Map().Preserved(b) {
			t.Fatalf("the test module owns %v, which is not preserved", b)
		}
		return nil
	})
	for _, to := range kho.Formats() {
		redraft(t, f, h, to)
	}
}

// redraft proves that a draft of h in another format is as sound.
func redraft(t *testing.T, f *fixture, h *kho.Handover, to *kho.Format) {
	t.Helper()
	d, err := h.Draft(to, nil)
	if err != nil {
		if errors.Is(err, kho.ErrNoMemory) {
			return
		}
		t.Fatal(err)
	}
	if _, _, err := d.Alloc(); err != nil {
		if errors.Is(err, kho.ErrNoMemory) {
			return
		}
		t.Fatal(err)
	}
	data, err := d.Commit()
	if err != nil {
		return // such as a tree that fills its page to the last byte
	}
	next, err := kho.Open(f.mem, data, to)
	if err != nil {
		t.Fatalf("a draft of a sound handover from %v to %v: %v", h.Format(), to, err)
	}
	want := h.Map().Count() + 1
	if h.Map().Root() == 0 {
		want++ // the device tree
	}
	if got := next.Map().Count(); got != want || len(next.Subtrees()) != len(h.Subtrees()) || next.Format() != to {
		t.Fatalf("from %v to %v: %d blocks and %d sub-trees, want %d and %d", h.Format(), to, got, len(next.Subtrees()), want, len(h.Subtrees()))
	}
}

func FuzzRootDeviceTree(f *testing.F) {
	g := newFixture(f)
	f.Add(bytes.Clone(g.edit(g.data.FDT, 512)))
	v := khotest.Linux734(f)
	page, err := v.Memory.View(v.Data.FDT, 512)
	if err != nil {
		f.Fatal(err)
	}
	f.Add(bytes.Clone(page))
	f.Fuzz(func(t *testing.T, tree []byte) {
		f := newFixture(t)
		root := f.root()
		copy(f.edit(f.data.FDT, phys.PageSize), tree)
		// Lead the map's address in again, or nothing is reached behind it.
		page := f.edit(f.data.FDT, phys.PageSize)
		name := []byte{0, 0, 0, 3, 0, 0, 0, 8, 0, 0, 0, 0}
		if i := bytes.Index(page, name); i >= 0 && len(page)-i >= 20 {
			binary.LittleEndian.PutUint64(page[i+len(name):], uint64(root))
		}
		sound(t, f)
	})
}

// FuzzRadixTree writes words into the nodes and leaves of a handover: each of 11
// bytes is a node's number, the word's number in it, and the word; words that
// are small stand for nodes.
func FuzzRadixTree(f *testing.F) {
	f.Add([]byte{0, 2, 0, 1, 0, 0, 0, 0, 0, 0, 0})
	f.Add([]byte{5, 0, 0, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff})
	f.Add([]byte{1, 0, 0, 0, 0, 0, 0x7f, 0, 0, 0, 0, 3, 0, 1, 2, 0, 0, 0, 0, 0, 0, 0})
	f.Fuzz(func(t *testing.T, edits []byte) {
		f := newFixture(t)
		nodes := f.open().Map().Nodes()
		for ; len(edits) >= 11; edits = edits[11:] {
			n := nodes[int(edits[0])%len(nodes)]
			i := binary.LittleEndian.Uint16(edits[1:]) % 512
			w := binary.LittleEndian.Uint64(edits[3:])
			if w < uint64(len(nodes)) && w > 0 {
				w = uint64(nodes[w].Addr())
			}
			f.setWord(n.Addr()+phys.Addr(8*i), w)
		}
		sound(t, f)
	})
}

// FuzzList writes words into the chunks and bitmaps of a list, as FuzzRadixTree
// does into nodes, and the first chunk of a real one in the place of the first.
func FuzzList(f *testing.F) {
	v := khotest.Generation(f, generations[0].letter)
	h, err := kho.Open(v.Memory, v.Data, generations[0].format)
	if err != nil {
		f.Fatal(err)
	}
	page, err := v.Memory.View(h.Map().Root(), 512)
	if err != nil {
		f.Fatal(err)
	}
	f.Add(true, []byte{}, bytes.Clone(page))
	f.Add(false, []byte{}, bytes.Clone(page))
	f.Add(true, []byte{0, 2, 0, 1, 0, 0, 0, 0, 0, 0, 0}, []byte{})
	f.Add(false, []byte{0, 0, 0, 1, 0, 0, 0, 0, 0, 0, 0}, []byte{})
	f.Add(false, []byte{1, 1, 0, 18, 0, 0, 0, 255, 0, 0, 0}, []byte{})
	f.Add(true, []byte{1, 3, 0, 0, 2, 0x50, 0x10, 0, 0, 0, 0, 2, 2, 0, 0, 0, 0, 0, 1, 0, 0, 0}, []byte{})
	f.Fuzz(func(t *testing.T, small bool, edits, chunk []byte) {
		format := kho.V1
		if small {
			format = lists[len(lists)-1]
		}
		f := fixtureAs(t, format)
		nodes := f.open().Map().Nodes()
		copy(f.edit(f.root(), phys.PageSize), chunk)
		for ; len(edits) >= 11; edits = edits[11:] {
			n := nodes[int(edits[0])%len(nodes)]
			i := binary.LittleEndian.Uint16(edits[1:]) % 512
			w := binary.LittleEndian.Uint64(edits[3:])
			if w < uint64(len(nodes)) && w > 0 {
				w = uint64(nodes[w].Addr())
			}
			f.setWord(n.Addr()+phys.Addr(8*i), w)
		}
		sound(t, f)
	})
}

// FuzzTestModule lets the fuzzer write the tree of the kernel's own test: all of it,
// or the beginning of one that is bulky.
func FuzzTestModule(f *testing.F) {
	g := fixtureAs(f, kho.V1)
	tested(g, 5, true)
	s, _ := g.open().Subtree(kho.TestName)
	f.Add(byte(0), bytes.Clone(g.edit(s.Data, s.Size)))
	g = fixtureAs(f, kho.V1)
	tested(g, 7, false)
	s, _ = g.open().Subtree(kho.TestName)
	f.Add(byte(0), bytes.Clone(g.edit(s.Data, s.Size)))
	_, trees := bulky(f, phys.Block{Addr: loneBlock})
	for i := range trees {
		f.Add(byte(i+1), []byte{})
	}
	f.Fuzz(func(t *testing.T, kind byte, tree []byte) {
		f := fixtureAs(t, kho.V1)
		if n := int(kind) % (len(trees) + 1); n > 0 {
			testedBulky(f, trees[n-1])
		} else {
			tested(f, 5, true)
		}
		s, _ := f.open().Subtree(kho.TestName)
		copy(f.edit(s.Data, 8192), tree)
		sound(t, f)
	})
}

func FuzzParseCompatible(f *testing.F) {
	for _, s := range []string{"kho-v4", "luo-v4-kho-block-v1", "luo-v5;block-v1", "kho-v4;radix-v1;vmalloc-v1", "-v1-", ";"} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, s string) {
		phystest.Bounded(t, 1<<10+uint64(32*len(s)), func() { kho.ParseCompatible(s) })
		base, components := kho.ParseCompatible(s)
		n := len(base)
		for _, c := range components {
			n += 1 + len(c)
		}
		if n != len(s) || !strings.HasPrefix(s, base) {
			t.Fatalf("%q: %q and %q", s, base, components)
		}
	})
}

func FuzzScratchTable(f *testing.F) {
	g := newFixture(f)
	f.Add(bytes.Clone(g.edit(scratch0, 48)), uint64(48))
	f.Add(make([]byte, 64), uint64(64))
	f.Fuzz(func(t *testing.T, table []byte, size uint64) {
		f := newFixture(t)
		copy(f.edit(scratch0, 4<<20), table)
		f.data.ScratchSize = size
		areas, _ := kho.ScratchHint(f.mem, f.data)
		kho.Spared(f.mem, f.data, nil, areas)
		sound(t, f)
	})
}

func FuzzVmalloc(f *testing.F) {
	f.Add(uint64(0), uint32(600), uint16(1), uint16(0), []byte{})
	f.Add(uint64(0), uint32(511), uint16(1), uint16(0), []byte{0, 0, 0, 0, 0, 0, 0, 0, 0, 0})
	f.Add(uint64(1), uint32(1), uint16(3), uint16(9), []byte{1, 0, 1, 0, 0, 0, 0, 0, 0, 0})
	f.Fuzz(func(t *testing.T, first uint64, pages uint32, flags, order uint16, edits []byte) {
		f := newFixture(t)
		v, blocks := vmalloced(f, 600, 0)
		if first != 0 {
			v.First = phys.Addr(first)
		}
		v.Pages, v.Flags, v.Order = pages, flags, order
		chunks := []phys.Addr{v.First}
		if first == 0 {
			chunks = append(chunks, phys.Addr(f.word(v.First)))
			for ; len(edits) >= 10; edits = edits[10:] {
				i := binary.LittleEndian.Uint16(edits)
				w := binary.LittleEndian.Uint64(edits[2:])
				if w < uint64(len(blocks)) && w > 0 {
					w = uint64(blocks[w])
				}
				f.setWord(chunks[i>>15]+phys.Addr(8*(i%512)), w)
			}
		}
		h := f.open()
		m := h.Map()
		phystest.Bounded(t, heapOfObject, func() { kho.OpenVmalloc(h.Ledger().As("area", areaAt), areaAt, v) })
		area, err := kho.OpenVmalloc(h.Ledger().As("area", areaAt), areaAt, v)
		if err != nil {
			return
		}
		for i := range area.Len() {
			if b, err := area.View(i); err != nil || !m.Preserved(area.Block(i)) || uint64(len(b)) != area.Block(i).Order.Bytes() {
				t.Fatalf("block %d of %d: %v", i, area.Len(), err)
			}
		}
		if len(area.Chunks()) > area.Len()/511+1 {
			t.Fatalf("%d chunks for %d blocks", len(area.Chunks()), area.Len())
		}
	})
}

func FuzzMetadata(f *testing.F) {
	b := make([]byte, 73)
	kho.Metadata{Release: "7.3.4", Count: 2}.Put(b)
	f.Add(b)
	f.Fuzz(func(t *testing.T, b []byte) {
		phystest.Bounded(t, heapOfObject, func() { kho.ParseMetadata(0x1000, b) })
		m, err := kho.ParseMetadata(0x1000, b)
		if err != nil {
			return
		}
		out := make([]byte, kho.MetadataSize)
		m.Put(out)
		if again, err := kho.ParseMetadata(0x1000, out); err != nil || again != m {
			t.Fatalf("%+v written and read as %+v, %v", m, again, err)
		}
	})
}

func FuzzReservedMemory(f *testing.F) {
	v := khotest.Linux734(f)
	page, err := v.Memory.View(0x82f000, 206)
	if err != nil {
		f.Fatal(err)
	}
	f.Add(bytes.Clone(page))
	f.Fuzz(func(t *testing.T, b []byte) {
		phystest.Bounded(t, heapOfObject, func() { kho.ParseReserved(0x1000, b) })
		regions, err := kho.ParseReserved(0x1000, b)
		if err != nil {
			return
		}
		out := make([]byte, phys.PageSize)
		n, err := kho.PutReserved(out, regions)
		if err != nil {
			t.Fatal(err)
		}
		if again, err := kho.ParseReserved(0x1000, out[:n]); err != nil || len(again) != len(regions) {
			t.Fatalf("%v written and read as %v, %v", regions, again, err)
		}
	})
}

package blockset_test

import (
	"bytes"
	"testing"

	"ferry/blockset"
	"ferry/blockset/blocktest"
	"ferry/phys"
	"ferry/phys/phystest"
)

// FuzzRestore lets the fuzzer write the pages that a chain is read from. What is
// accepted must read the same when it is written again.
func FuzzRestore(f *testing.F) {
	const n = 8
	seedMem := phystest.NewSparse(f, phys.Range{Start: base, End: base + n*phys.PageSize})
	seedPages := blocktest.New(seedMem, phys.Range{Start: base, End: base + n*phys.PageSize})
	write(f, seedPages, layout(f, 64), records(n*63-5, 64, 1))
	seed, err := seedMem.View(base, n*phys.PageSize)
	if err != nil {
		f.Fatal(err)
	}
	f.Add(bytes.Clone(seed), uint64(base), uint16(64))
	f.Add(bytes.Clone(seed[:2*phys.PageSize]), uint64(base+phys.PageSize), uint16(80))
	f.Add([]byte{0, 0, 0, 0x10, 0, 0, 0, 0, 1}, uint64(base), uint16(1)) // links to itself

	f.Fuzz(func(t *testing.T, data []byte, head uint64, size uint16) {
		l, err := blockset.LayoutOf(int(size))
		if err != nil {
			return
		}
		mem := phystest.NewSparse(t, phys.Range{Start: base, End: base + 64*phys.PageSize})
		in := blocktest.New(mem, phys.Range{Start: base, End: base + n*phys.PageSize})
		for range n - 1 { // one page stays unpreserved
			if _, _, err := in.Alloc(); err != nil {
				t.Fatal(err)
			}
		}
		window, err := mem.Edit(base, n*phys.PageSize)
		if err != nil {
			t.Fatal(err)
		}
		copy(window, data)
		s, err := blockset.Restore(blockset.NewChecker(mem, in, nil), l, phys.Addr(head), nil)
		if err != nil {
			return
		}
		all := read(s)
		if len(all) != s.Len()*l.Size() {
			t.Fatalf("%d bytes for %d records of %d", len(all), s.Len(), l.Size())
		}
		out := blocktest.New(mem, phys.Range{Start: base + n*phys.PageSize, End: base + 64*phys.PageSize})
		again := write(t, out, l, all)
		back, err := blockset.Restore(blockset.NewChecker(mem, out, nil), l, again.Head(), nil)
		if err != nil {
			t.Fatalf("written again: %v", err)
		}
		if !bytes.Equal(read(back), all) {
			t.Fatal("written again, it reads differently")
		}
	})
}

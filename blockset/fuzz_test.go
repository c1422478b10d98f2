package blockset_test

import (
	"bytes"
	"encoding/binary"
	"testing"

	"ferry/blockset"
	"ferry/blockset/blocktest"
	"ferry/own"
	"ferry/phys"
	"ferry/phys/phystest"
)

// FuzzRestore lets the fuzzer write the headers of the pages that a chain is
// read from: 16 bytes for each page from base on, of which the last is not
// preserved. What is accepted must read the same when it is written again.
func FuzzRestore(f *testing.F) {
	const n = 8
	chain := func(next, count func(i int) int) (b []byte) {
		for i := range n - 1 {
			b = binary.LittleEndian.AppendUint64(b, uint64(base)+uint64(next(i))*phys.PageSize)
			b = binary.LittleEndian.AppendUint64(b, uint64(count(i)))
		}
		clear(b[len(b)-16 : len(b)-8])
		return b
	}
	up := func(i int) int { return i + 1 }
	full := func(int) int { return 63 }
	f.Add(chain(up, full), uint64(base), uint16(64))
	f.Add(chain(up, up), uint64(base+phys.PageSize), uint16(80))               // uneven blocks
	f.Add(chain(func(i int) int { return i }, full), uint64(base), uint16(64)) // links to itself
	f.Add(chain(func(i int) int { return i ^ 1 }, full), uint64(base), uint16(1))
	f.Add(chain(func(int) int { return n - 1 }, full), uint64(base), uint16(1)) // not preserved

	f.Fuzz(func(t *testing.T, headers []byte, head uint64, size uint16) {
		l, err := blockset.LayoutOf(int(size))
		if err != nil {
			return
		}
		mem := phystest.NewSparse(t, phys.Range{Start: base, End: base + 64*phys.PageSize})
		in := blocktest.New(mem, phys.Range{Start: base, End: base + n*phys.PageSize})
		for i := range n - 1 {
			_, page, err := in.Alloc()
			if err != nil {
				t.Fatal(err)
			}
			for j := range page {
				page[j] = byte(i*31 + j)
			}
			clear(page[:16])
			copy(page[:16], headers)
			headers = headers[min(16, len(headers)):]
		}
		phystest.Bounded(t, 16<<10, func() { blockset.Restore(own.NewLedger(mem, in, nil), l, phys.Addr(head), nil) })
		s, err := blockset.Restore(own.NewLedger(mem, in, nil), l, phys.Addr(head), nil)
		if err != nil {
			return
		}
		all := read(s)
		if len(all) != s.Len()*l.Size() {
			t.Fatalf("%d bytes for %d records of %d", len(all), s.Len(), l.Size())
		}
		out := blocktest.New(mem, phys.Range{Start: base + n*phys.PageSize, End: base + 64*phys.PageSize})
		again := write(t, out, l, all)
		back, err := blockset.Restore(own.NewLedger(mem, out, nil), l, again.Head(), nil)
		if err != nil {
			t.Fatalf("written again: %v", err)
		}
		if !bytes.Equal(read(back), all) {
			t.Fatal("written again, it reads differently")
		}
	})
}

package memfd_test

import (
	"bytes"
	"encoding/binary"
	"errors"
	"testing"

	"ferry/kho"
	"ferry/memfd"
	"ferry/own"
	"ferry/phys"
)

// counted counts how often each page of a memory is looked at.
type counted struct {
	phys.Memory
	views map[phys.Addr]int
}

func (m counted) View(a phys.Addr, n uint64) ([]byte, error) {
	m.views[a.Page()]++
	return m.Memory.View(a, n)
}

// TestAnArrayOfManyFilesIsProvedForOneAlone: files that name one array, or that
// come to it after a chunk of their own, are refused where they meet what another
// owns, and nothing behind that is looked at again.
func TestAnArrayOfManyFilesIsProvedForOneAlone(t *testing.T) {
	for _, mine := range []bool{false, true} { // a first chunk of each file's own
		d := first(t)
		const pages, files = 1600, 50 // four chunks
		var blocks []phys.Addr
		for range pages {
			a, _, err := d.Alloc()
			if err != nil {
				t.Fatal(err)
			}
			blocks = append(blocks, a)
		}
		v, err := d.Vmalloc(kho.VmallocAlloc, 0, blocks)
		if err != nil {
			t.Fatal(err)
		}
		head, err := d.Memory().View(v.First, phys.PageSize)
		if err != nil {
			t.Fatal(err)
		}
		second := phys.Addr(u64(head))
		var at []phys.Addr
		for i := range files {
			a, page, err := d.Alloc()
			if err != nil {
				t.Fatal(err)
			}
			binary.LittleEndian.PutUint64(page[8:], pages*256*phys.PageSize)
			binary.LittleEndian.PutUint64(page[24:], pages*256)
			w := v
			if mine && i > 0 {
				first, chunk, err := d.Alloc()
				if err != nil {
					t.Fatal(err)
				}
				copy(chunk, bytes.Clone(head))
				w.First = first
			}
			w.Append(page[32:32])
			at = append(at, a)
		}
		data, err := d.Commit()
		if err != nil {
			t.Fatal(err)
		}
		mem := counted{d.Memory(), make(map[phys.Addr]int)}
		h, err := kho.Open(mem, data, nil)
		if err != nil {
			t.Fatal(err)
		}
		c := h.Ledger()
		clear(mem.views)
		for i, a := range at {
			_, err := memfd.Open(c, memfd.Ref{Format: memfd.V2, Addr: a})
			if i == 0 && err != nil || i > 0 && !errors.Is(err, own.ErrShared) {
				t.Fatalf("file %d: %v", i, err)
			}
		}
		if mem.views[second] != 1 || !mine && mem.views[v.First] != 1 {
			t.Errorf("own first chunks %v: the first chunk was looked at %d times for %d files, the second %d times, want once",
				mine, mem.views[v.First], files, mem.views[second])
		}
	}
}

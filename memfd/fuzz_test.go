package memfd_test

import (
	"bytes"
	"fmt"
	"testing"

	"ferry/memfd"
	"ferry/phys"
)

// FuzzOpen lets the fuzzer write structure, chunk and array of a file.
func FuzzOpen(f *testing.F) {
	seed := func(orders ...int) []byte {
		d := first(f)
		fs, pages := folios(f, d, orders...)
		a, err := memfd.Write(d, memfd.V2, memfd.Meta{Size: pages * phys.PageSize}, fs)
		if err != nil {
			f.Fatal(err)
		}
		view := func(a phys.Addr, n uint64) []byte {
			b, err := d.Memory().View(a, n)
			if err != nil {
				f.Fatal(err)
			}
			return b
		}
		b := bytes.Clone(view(a, 48))
		chunk := view(phys.Addr(u64(b[32:])), 16)
		b = append(b, chunk...)
		return append(b, view(phys.Addr(u64(chunk[8:])), uint64(16*len(fs)))...)
	}
	f.Add(seed(0, 0, 1, 0))
	f.Add(seed(2))
	f.Fuzz(func(t *testing.T, data []byte) {
		d := first(t)
		fs, pages := folios(t, d, 0, 0, 1, 0)
		a, err := memfd.Write(d, memfd.V2, memfd.Meta{Size: pages * phys.PageSize}, fs)
		if err != nil {
			t.Fatal(err)
		}
		h, c := commit(t, d)
		edit := func(a phys.Addr, n int) {
			b, err := d.Memory().Edit(a, phys.PageSize)
			if err != nil {
				return
			}
			n = min(n, len(data))
			copy(b, data[:n])
			data = data[n:]
		}
		structure, err := d.Memory().View(a, 48)
		if err != nil {
			t.Fatal(err)
		}
		chunkAt := phys.Addr(u64(structure[32:]))
		chunk, err := d.Memory().View(chunkAt, 16)
		if err != nil {
			t.Fatal(err)
		}
		arrayAt := phys.Addr(u64(chunk[8:]))
		edit(a, 48)
		edit(chunkAt, 16)
		edit(arrayAt, 4096)
		file, err := memfd.Open(memfd.V2, h, c, a)
		if err != nil {
			return
		}
		if file.Check(c) != nil {
			return
		}
		next := uint64(0)
		err = file.Contents(func(off, n uint64, _ []byte) error {
			if off != next || n == 0 {
				return fmt.Errorf("%d bytes at %d, want some at %d", n, off, next)
			}
			next += n
			return nil
		})
		if err != nil || next != file.Size {
			t.Fatalf("an accepted file has %d of %d bytes: %v", next, file.Size, err)
		}
	})
}

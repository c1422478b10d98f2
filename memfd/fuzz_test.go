package memfd_test

import (
	"bytes"
	"errors"
	"fmt"
	"testing"

	"ferry/kho"
	"ferry/memfd"
	"ferry/own"
	"ferry/phys"
	"ferry/phys/phystest"
)

// FuzzOpen lets the fuzzer write structure, chunk and array of a file.
func FuzzOpen(f *testing.F) { fuzzOpen(f, memfd.V2, 48) }

// FuzzOpenV1 is FuzzOpen for the format without seals.
func FuzzOpenV1(f *testing.F) { fuzzOpen(f, memfd.V1, 40) }

// fuzzOpen fuzzes files in a format whose structure has size bytes. What is
// accepted has all of its contents, or is known to have lost some, and is the same when
// it was rewritten.
func fuzzOpen(f *testing.F, format *memfd.Format, size int) {
	seed := func(orders ...int) []byte {
		d := first(f)
		fs, pages := folios(f, d, orders...)
		a, err := memfd.Write(d, format, memfd.Meta{Size: pages * phys.PageSize}, fs)
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
		b := bytes.Clone(view(a, uint64(size)))
		chunk := view(phys.Addr(u64(b[size-16:])), 16)
		b = append(b, chunk...)
		return append(b, view(phys.Addr(u64(chunk[8:])), uint64(16*len(fs)))...)
	}
	f.Add(seed(0, 0, 1, 0))
	f.Add(seed(2))
	f.Fuzz(func(t *testing.T, data []byte) {
		d := first(t)
		fs, pages := folios(t, d, 0, 0, 1, 0)
		a, err := memfd.Write(d, format, memfd.Meta{Size: pages * phys.PageSize}, fs)
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
		structure, err := d.Memory().View(a, uint64(size))
		if err != nil {
			t.Fatal(err)
		}
		chunkAt := phys.Addr(u64(structure[size-16:]))
		chunk, err := d.Memory().View(chunkAt, 16)
		if err != nil {
			t.Fatal(err)
		}
		arrayAt := phys.Addr(u64(chunk[8:]))
		edit(a, size)
		edit(chunkAt, 16)
		edit(arrayAt, 4096)
		phystest.Bounded(t, 64<<10, func() {
			c := h.Ledger()
			if file, err := memfd.Open(c, memfd.Ref{Format: format, Addr: a}); err == nil && file.Check(c) == nil {
				file.Whole()
			}
			memfd.Open(h.Ledger(), memfd.Ref{Format: format, Addr: a})
		})
		if err := c.Claim("root device tree", phys.Block{Addr: h.Data().FDT}); err != nil {
			t.Fatal(err) // leaves every draft
		}
		file, err := memfd.Open(c, memfd.Ref{Format: format, Addr: a})
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
		if lost, _ := file.Lost(); lost > 0 {
			// Such a file is carried as it is; its contents end where memory is missing.
			if !errors.Is(err, own.ErrPreserved) {
				t.Fatalf("a file with %d lost folios has %d of %d bytes: %v", lost, next, file.Size, err)
			}
		} else if err != nil || next != file.Size {
			t.Fatalf("an accepted file has %d of %d bytes: %v", next, file.Size, err)
		}
		for _, to := range memfd.Formats() {
			if file.Fits(to, phys.MaxOrder) == nil {
				sameInFormat(t, h, file, to)
			}
		}
	})
}

// sameInFormat rewrites file, of h, and proves that nothing is lost.
func sameInFormat(t *testing.T, h *kho.Handover, file *memfd.File, to *memfd.Format) {
	d, err := h.Draft(nil, nil)
	if err != nil {
		t.Fatal(err)
	}
	a, err := file.Rewrite(d, to)
	if err != nil {
		t.Fatal(err)
	}
	_, c := commit(t, d)
	out, err := memfd.Open(c, memfd.Ref{Format: to, Addr: a})
	if err == nil {
		err = out.Check(c)
	}
	if err == nil {
		err = out.Same(file)
	}
	was, _ := file.Lost()
	lost := uint64(0)
	if err == nil {
		lost, _ = out.Lost()
	}
	if err != nil || lost != was || out.Unset() != 0 && was == 0 {
		t.Fatalf("in %v: %v, %d folios lost, want %d, %d lack a flag", to, err, lost, was, out.Unset())
	}
}

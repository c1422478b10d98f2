package memfd_test

import (
	"encoding/binary"
	"errors"
	"strings"
	"testing"

	"ferry/kho"
	"ferry/memfd"
	"ferry/own"
	"ferry/phys"
)

// TestWhatNoReaderMindsIsNoDamage changes what kernels pass over: the file arrives in
// both formats, and what is odd is said with its address.
func TestWhatNoReaderMindsIsNoDamage(t *testing.T) {
	put := binary.LittleEndian.PutUint64
	for _, tt := range []struct {
		name   string
		orders []int
		do     func(structure []byte, chunk func() []byte)
		odd    string
	}{
		{"nothing", []int{0}, func([]byte, func() []byte) {}, ""},
		{"flags", []int{0}, func(b []byte, _ func() []byte) { b[20] = 1 }, ": flags 0x1, which no kernel sets"},
		{"a negative position", []int{0}, func(b []byte, _ func() []byte) { b[7] = 0x80 }, ": position 0x8"},
		{"an array for an empty file", nil, func(b []byte, _ func() []byte) { b[40] = 3 }, "an array of 3 pages at 0x0 for no folios"},
		{"flags of the array", []int{0}, func(b []byte, _ func() []byte) { b[45] = 0x10 }, ": flags 0x1001"},
		{"an address behind the list", []int{0}, func(_ []byte, chunk func() []byte) { put(chunk()[32:], 0x1000) }, " slot 3 0x"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			d := first(t)
			fs, pages := folios(t, d, tt.orders...)
			a, err := memfd.Write(d, memfd.V2, memfd.Meta{Size: pages * phys.PageSize}, fs)
			if err != nil {
				t.Fatal(err)
			}
			h, c := commit(t, d)
			structure, err := d.Memory().Edit(a, phys.PageSize)
			if err != nil {
				t.Fatal(err)
			}
			tt.do(structure, func() []byte {
				b, err := d.Memory().Edit(phys.Addr(u64(structure[32:])), phys.PageSize)
				if err != nil {
					t.Fatal(err)
				}
				return b
			})
			f, err := memfd.Open(c, memfd.Ref{Format: memfd.V2, Addr: a})
			if err == nil {
				err = f.Check(c)
			}
			if err != nil {
				t.Fatal(err)
			}
			if (f.Odd() == "") != (tt.odd == "") || !strings.Contains(f.Odd(), tt.odd) {
				t.Errorf("%q, want %q", f.Odd(), tt.odd)
			}
			rewrite(t, h, []*memfd.File{f}, memfd.V2)
			rewrite(t, h, []*memfd.File{f}, memfd.V1)
		})
	}
}

// TestLostFoliosAreCarried takes the memory of a folio out of the map, as closing a
// session does whose memfd another one has preserved too.
func TestLostFoliosAreCarried(t *testing.T) {
	for _, from := range memfd.Formats() {
		for _, to := range memfd.Formats() {
			d := first(t)
			fs, pages := folios(t, d, 9, 1, 0, 0)
			fs[3].Flags = memfd.Dirty // not to be repaired: its other owner may have it
			a, err := memfd.Write(d, from, memfd.Meta{Size: pages * phys.PageSize, Pos: 3}, fs)
			if err != nil {
				t.Fatal(err)
			}
			for _, f := range fs[1:3] {
				if err := d.Retire(f.Block); err != nil {
					t.Fatal(err)
				}
			}
			h, c := commit(t, d)
			f, err := memfd.Open(c, memfd.Ref{Format: from, Addr: a})
			if err == nil {
				err = f.Check(c)
			}
			if err == nil {
				err = f.Whole()
			}
			if err != nil {
				t.Fatal(err)
			}
			n, err := f.Lost()
			if n != 2 || !errors.Is(err, own.ErrPreserved) || !strings.Contains(err.Error(), "folio 1: entry 0x") ||
				!strings.Contains(err.Error(), "memory "+fs[1].Block.Addr.String()) || f.Unset() != 0 {
				t.Errorf("%d lost, %v, %d to be repaired; want 2, the first at %v, 0", n, err, f.Unset(), fs[1].Block.Addr)
			}
			if err := f.LostOutside(phys.NewRanges(fs[0].Block.Range(), fs[3].Block.Range())); err != nil {
				t.Error(err)
			}
			if err := f.LostOutside(phys.NewRanges(fs[2].Block.Range())); !errors.Is(err, own.ErrPreserved) || !strings.Contains(err.Error(), "folio 2 ") {
				t.Errorf("lost memory where none may be: %v", err)
			}
			if err := f.Contents(func(uint64, uint64, []byte) error { return nil }); !errors.Is(err, own.ErrPreserved) {
				t.Errorf("contents of lost memory: %v", err)
			}
			rewrite(t, h, []*memfd.File{f}, to, phys.NewRanges(fs[1].Block.Range(), fs[2].Block.Range())...)
		}
	}
}

// TestFilesMayShareFoliosAlone opens two files of one folio.
func TestFilesMayShareFoliosAlone(t *testing.T) {
	d := first(t)
	fs, _ := folios(t, d, 0, 0, 0)
	var at []phys.Addr
	for i := range 3 {
		a, err := memfd.Write(d, memfd.V1, memfd.Meta{Size: 2 * phys.PageSize}, []memfd.Folio{{Block: fs[0].Block, Flags: 3}, {Block: fs[1].Block, Index: 1, Flags: 3}}[:2])
		if err != nil {
			t.Fatal(err)
		}
		if i == 2 { // what it names is the structure of the first
			page, err := d.Memory().Edit(a, phys.PageSize)
			if err != nil {
				t.Fatal(err)
			}
			chunk, err := d.Memory().Edit(phys.Addr(u64(page[24:])), phys.PageSize)
			if err != nil {
				t.Fatal(err)
			}
			array, err := d.Memory().Edit(phys.Addr(u64(chunk[8:])), phys.PageSize)
			if err != nil {
				t.Fatal(err)
			}
			binary.LittleEndian.PutUint64(array, uint64(at[0].PFN())|3<<52)
		}
		at = append(at, a)
	}
	_, c := commit(t, d)
	folios := c.Beside()
	for i, want := range []struct {
		shared int
		err    error
	}{{0, nil}, {2, nil}, {0, own.ErrShared}} {
		f, err := memfd.Open(c, memfd.Ref{Format: memfd.V1, Addr: at[i]})
		if err != nil {
			t.Fatal(err)
		}
		var shared []phys.Block
		if err := f.Share(folios, func(b phys.Block) { shared = append(shared, b) }); !errors.Is(err, want.err) || len(shared) != want.shared {
			t.Errorf("file %d: %v shared, %v; want %d, %v", i, shared, err, want.shared, want.err)
		}
	}
	if !memfd.V1.Twice() || memfd.V2.Twice() {
		t.Error("Linux 7.1 and later refuse to preserve a file twice")
	}
}

// TestSharedFilesAreNotRepaired: both have to go on naming the same memory.
func TestSharedFilesAreNotRepaired(t *testing.T) {
	h, f, fs := unset(t, memfd.V1, []int{0, 0}, []uint16{3, 0})
	f.AsIs()
	for _, to := range memfd.Formats() {
		d, err := h.Draft(nil, nil)
		if err != nil {
			t.Fatal(err)
		}
		a, err := f.Rewrite(d, to)
		if err != nil || f.Unset() != 0 {
			t.Fatalf("%v, %d to be repaired", err, f.Unset())
		}
		_, c := commit(t, d)
		out, err := memfd.Open(c, memfd.Ref{Format: to, Addr: a})
		if err != nil {
			t.Fatal(err)
		}
		i := 0
		if err := out.Walk(func(got memfd.Folio) error {
			if got != fs[i] {
				t.Errorf("folio %d: %+v, want %+v", i, got, fs[i])
			}
			i++
			return nil
		}); err != nil {
			t.Error(err)
		}
	}
}

// TestAFileThatCannotBeRetrievedRefersToNothing writes one and takes it to the other
// format and back.
func TestAFileThatCannotBeRetrievedRefersToNothing(t *testing.T) {
	for _, from := range memfd.Formats() {
		d := first(t)
		a, err := memfd.WriteUnreadable(d, from)
		if err != nil {
			t.Fatal(err)
		}
		h, c := commit(t, d)
		f, err := memfd.Open(c, memfd.Ref{Format: from, Addr: a})
		if err == nil {
			err = f.Check(c)
		}
		if err == nil {
			err = f.Whole()
		}
		if err != nil || !f.Unreadable() || f.Folios != 0 || f.Odd() != "" {
			t.Fatalf("%+v, %v", f, err)
		}
		rewrite(t, h, []*memfd.File{f}, memfd.V1)
		rewrite(t, h, []*memfd.File{f}, memfd.V2)
		if _, err := memfd.Open(c, memfd.Ref{Format: from, Addr: a}); !errors.Is(err, own.ErrShared) {
			t.Errorf("the same structure again: %v", err)
		}
		fs, _ := folios(t, d, nil...)
		d, err = h.Draft(nil, nil)
		if err != nil {
			t.Fatal(err)
		}
		empty, err := memfd.Write(d, from, memfd.Meta{}, fs)
		if err != nil {
			t.Fatal(err)
		}
		_, c = commit(t, d)
		other, err := memfd.Open(c, memfd.Ref{Format: from, Addr: empty})
		if err != nil {
			t.Fatal(err)
		}
		if !errors.Is(other.Same(f), memfd.ErrDiffer) || !errors.Is(f.Same(other), memfd.ErrDiffer) {
			t.Error("an empty file is taken for one that cannot be retrieved")
		}
		// One that says more is a damaged file.
		page, err := d.Memory().Edit(a, phys.PageSize)
		if err != nil {
			t.Fatal(err)
		}
		page[0] = 1
		if _, err := memfd.Open(c, memfd.Ref{Format: from, Addr: a}); !errors.Is(err, kho.ErrVmalloc) {
			t.Errorf("with a position: %v", err)
		}
	}
}

package memfd_test

import (
	"encoding/hex"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"ferry/kho"
	"ferry/kho/khotest"
	"ferry/luo"
	"ferry/memfd"
	"ferry/phys"
	"ferry/phys/phystest"
)

// example is a memfd of two pages as Linux 7.3 writes it: structure, chunk of the
// array, array. Its folios are the pages 0x100008000 and 0x100009000.
var example = map[phys.Addr]string{
	0x100005000: "0000000000000000 0020000000000000 0000000000000000 0200000000000000 0060000001000000 0100000001000000",
	0x100006000: "0000000000000000 0070000001000000",
	0x100007000: "0800100000003000 0000000000000000 0900100000003000 0100000000000000",
}

// exampleMachine has the example's addresses and memory above for the rest.
func exampleMachine(t *testing.T, avoid ...phys.Range) *kho.Draft {
	ram := phys.NewRanges(phys.Range{Start: base, End: base + 192<<20}, phys.Range{Start: 0x100000000, End: 0x100100000})
	d, err := kho.New(phystest.NewSparse(t, ram...), kho.V4, ram, base, areas, phys.NewRanges(avoid...))
	if err != nil {
		t.Fatal(err)
	}
	return d
}

func TestWorkedExampleIsRead(t *testing.T) {
	d := exampleMachine(t, phys.Range{Start: 0x100000000, End: 0x10000a000})
	for a := phys.Addr(0x100005000); a < 0x10000a000; a += phys.PageSize {
		if err := d.Preserve(phys.Block{Addr: a}); err != nil {
			t.Fatal(err)
		}
	}
	for a, text := range example {
		b, err := hex.DecodeString(strings.ReplaceAll(text, " ", ""))
		if err != nil {
			t.Fatal(err)
		}
		page, err := d.Memory().Edit(a, phys.PageSize)
		if err != nil {
			t.Fatal(err)
		}
		copy(page, b)
	}
	_, c := commit(t, d)
	f, err := memfd.Open(c, memfd.Ref{Format: memfd.V2, Addr: 0x100005000})
	if err != nil {
		t.Fatal(err)
	}
	var got []memfd.Folio
	if err := f.Walk(func(f memfd.Folio) error { got = append(got, f); return nil }); err != nil {
		t.Fatal(err)
	}
	want := []memfd.Folio{{Block: phys.Block{Addr: 0x100008000}, Flags: 3}, {Block: phys.Block{Addr: 0x100009000}, Index: 1, Flags: 3}}
	if diff := cmp.Diff(want, got); diff != "" || f.Meta != (memfd.Meta{Size: 8192}) {
		t.Errorf("%+v, folios (-want +got):\n%s", f.Meta, diff)
	}
}

// TestWorkedExampleIsWritten compares what is written with the example, byte for
// byte but for where the allocator put the pages.
func TestWorkedExampleIsWritten(t *testing.T) {
	d := exampleMachine(t, phys.Range{Start: 0x100008000, End: 0x10000a000})
	var folios []memfd.Folio
	for i, a := range []phys.Addr{0x100008000, 0x100009000} {
		b := phys.Block{Addr: a}
		if err := d.Preserve(b); err != nil {
			t.Fatal(err)
		}
		folios = append(folios, memfd.Folio{Block: b, Index: uint64(i), Flags: memfd.Dirty | memfd.UpToDate})
	}
	a, err := memfd.Write(d, memfd.V2, memfd.Meta{Size: 8192}, folios)
	if err != nil {
		t.Fatal(err)
	}
	for _, page := range []struct {
		name  string
		like  phys.Addr // in the example
		field int       // of the address of the next page
	}{{"structure", 0x100005000, 32}, {"chunk", 0x100006000, 8}, {"array", 0x100007000, 0}} {
		b, err := d.Memory().View(a, phys.PageSize)
		if err != nil {
			t.Fatal(err)
		}
		next := phys.Addr(u64(b[page.field:]))
		want := make([]byte, phys.PageSize)
		if _, err := hex.Decode(want, []byte(strings.ReplaceAll(example[page.like], " ", ""))); err != nil {
			t.Fatal(err)
		}
		if page.name != "array" {
			copy(want[page.field:page.field+8], b[page.field:])
		}
		if diff := cmp.Diff(want, b); diff != "" {
			t.Errorf("%s (-example +written):\n%s", page.name, diff)
		}
		a = next
	}
}

func TestEveryMemfdOfLinux734IsWhole(t *testing.T) {
	v := khotest.Linux734(t)
	h, err := kho.Open(v.Memory, v.Data, nil)
	if err != nil {
		t.Fatal(err)
	}
	c := h.Ledger()
	st, err := luo.Restore(h, c)
	if err != nil {
		t.Fatal(err)
	}
	roles := make(map[phys.Addr]string)
	left := make(map[string]int)
	for _, b := range v.Blocks {
		roles[b.Addr] = b.Role
		left[b.Role]++
	}
	files := 0
	for s, err := range st.Sessions() {
		if err != nil {
			t.Fatal(err)
		}
		for rec, err := range s.Files() {
			if err != nil {
				t.Fatal(err)
			}
			files++
			f, err := memfd.Open(c, memfd.Ref{Format: memfd.V2, Addr: phys.Addr(rec.Data)})
			if err == nil {
				err = f.Check(c)
			}
			if err != nil {
				t.Fatal(err)
			}
			left[roles[f.Addr]]--
			if err := f.Walk(func(folio memfd.Folio) error { left[roles[folio.Block.Addr]]--; return nil }); err != nil {
				t.Error(err)
			}
		}
	}
	if files != 260 || left["memfd"] != 0 || left["folio"] != 0 {
		t.Errorf("%d memfds; %d structures and %d folios of the vector belong to none", files, left["memfd"], left["folio"])
	}
}

package kho_test

import (
	"encoding/binary"
	"errors"
	"fmt"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"ferry/fdt"
	"ferry/kho"
	"ferry/own"
	"ferry/phys"
)

// tested commits the sub-tree of the kernel's test module over n folios of
// orders 0 to 9, in the form of 6.17 or, with an area, that of 6.18. It returns
// the folios, and what else the module owns.
func tested(f *fixture, n int, area bool) (folios, list []phys.Block) {
	f.Helper()
	_, d := f.draft()
	var info []byte
	for i := range n {
		b := phys.Block{Order: phys.Order(i % 10)}
		var err error
		b.Addr, _, err = d.AllocBlock(b.Order)
		f.check(err)
		folios = append(folios, b)
		info = binary.LittleEndian.AppendUint64(info, uint64(b.Addr)|uint64(b.Order))
	}
	if area {
		var pages []phys.Addr
		for at := 0; at < len(info); at += phys.PageSize {
			a, page, err := d.Alloc()
			f.check(err)
			copy(page, info[at:])
			pages = append(pages, a)
			list = append(list, phys.Block{Addr: a})
		}
		v, err := d.Vmalloc(kho.VmallocAlloc, 0, pages)
		f.check(err)
		list = append(list, phys.Block{Addr: v.First})
		info = v.Append(nil)
	}
	a, page, err := d.AllocBlock(1)
	f.check(err)
	w := fdt.NewWriter(page)
	w.Begin("")
	w.String("compatible", "kho-test-v1")
	w.Property("magic", []byte("!OHK"))
	w.Begin("data")
	w.Property("nr_folios", binary.LittleEndian.AppendUint32(nil, uint32(n)))
	w.Property("folios_info", info)
	w.Property("csum", []byte{1, 2, 3, 4})
	w.End()
	w.End()
	size, err := w.Finish()
	f.check(err)
	f.check(d.SetSubtree(kho.TestName, a, uint64(size)))
	f.data, err = d.Commit()
	f.check(err)
	return folios, list
}

func TestTheTestModuleOwnsItsListAndItsFolios(t *testing.T) {
	for _, format := range kho.Formats() {
		for _, c := range []struct {
			n    int
			area bool
		}{{1, false}, {2, false}, {3, false}, {40, false}, {1, true}, {2, true}, {40, true}, {520, true}} {
			if c.n > 40 && format != kho.V1 {
				continue // many folios once are enough
			}
			f := fixtureAs(t, format)
			if c.n > 40 {
				f = big(t, format)
			}
			folios, list := tested(f, c.n, c.area)
			want := make(map[phys.Block]string)
			for _, b := range folios {
				want[b] = "folio"
			}
			for i, b := range list {
				if want[b] = "list of folios"; i == len(list)-1 {
					want[b] = "chunk of the list"
				}
			}
			got := make(map[phys.Block]string)
			f.check(f.open().TestObjects(func(object string, b phys.Block) error {
				if got[b] != "" {
					t.Errorf("%v visited twice", b)
				}
				got[b] = object
				return nil
			}))
			if diff := cmp.Diff(want, got); diff != "" {
				t.Errorf("%v, %d folios, area %v (-written +read):\n%s", format, c.n, c.area, diff)
			}
			stop := errors.New("stop")
			if err := f.open().TestObjects(func(string, phys.Block) error { return stop }); !errors.Is(err, stop) {
				t.Errorf("a visitor's error became %v", err)
			}
		}
	}
	f := newFixture(t)
	f.check(f.open().TestObjects(func(object string, b phys.Block) error { return fmt.Errorf("%s %v", object, b) }))
}

// big is an empty handover in 1 GiB.
func big(tb testing.TB, format *kho.Format) *fixture {
	f := &fixture{TB: tb, hint: format}
	var d *kho.Draft
	f.mem, d = sparseAs(tb, format, phys.Range{Start: 0x1000_0000, End: 0x5000_0000})
	var err error
	f.data, err = d.Commit()
	f.check(err)
	return f
}

func TestTheTestModulesTreeIsRefused(t *testing.T) {
	for _, c := range []struct {
		name, from, to string
		rule           error
		found          string
	}{
		{"another version, which is not looked into", "kho-test-v1", "kho-test-v2", nil, ""},
		{"another magic", "!OHK", "!OHJ", kho.ErrTree, "magic 0x4a484f21"},
		{"more folios than the list has", "\x05\x00\x00\x00", "\x00\x10\x00\x00", kho.ErrTree, "4096 folios in a list of 1 pages"},
		{"no data", "data\x00", "date\x00", kho.ErrTree, "no node data"},
		{"no list", "folios_info", "folios_inf_", kho.ErrTree, "no property folios_info"},
		{"a list that takes in the next property", "\x03\x00\x00\x00\x10", "\x03\x00\x00\x00\x20", kho.ErrTree, "5 folios in 32 bytes"},
		{"no count", "nr_folios\x00", "nr_folio_\x00", kho.ErrTree, "no number of folios"},
		{"an area that does not end", "\x01\x00\x00\x00\x01\x00\x00\x00", "\x02\x00\x00\x00\x01\x00\x00\x00", kho.ErrVmalloc, "1 blocks"},
	} {
		f := newFixture(t)
		tested(f, 5, true)
		s, _ := f.open().Subtree(kho.TestName)
		page := f.edit(s.Data, phys.PageSize)
		i := strings.Index(string(page), c.from)
		if i < 0 {
			t.Fatalf("%s: %q is not there", c.name, c.from)
		}
		copy(page[i:], c.to)
		err := f.open().TestObjects(func(string, phys.Block) error { return nil })
		if c.rule == nil {
			f.check(err)
			continue
		}
		if text := fmt.Sprint(err); !errors.Is(err, c.rule) || !strings.Contains(text, `kho: sub-tree "kho_test"`) || !strings.Contains(text, c.found) {
			t.Errorf("%s: got %v, want %v: %s", c.name, err, c.rule, c.found)
		}
	}
	f := newFixture(t)
	folios, list := tested(f, 5, true)
	at := list[0].Addr + 8*3
	f.setWord(at, uint64(folios[3].Addr)|4)
	err := f.open().TestObjects(func(string, phys.Block) error { return nil })
	refusedAs(t, err, own.ErrPreserved, at, "list of folios")
}

package memfd_test

import (
	"encoding/hex"
	"errors"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"ferry/kho"
	"ferry/kho/khotest"
	"ferry/luo"
	"ferry/memfd"
	"ferry/phys"
)

// exampleV1 is the structure of the worked example as Linux 6.19 and 7.0 write it.
const exampleV1 = "0000000000000000 0020000000000000 0200000000000000 0060000001000000 0100000001000000"

func TestWorkedExampleOfV1IsReadAndWritten(t *testing.T) {
	d := exampleMachine(t, phys.Range{Start: 0x100008000, End: 0x10000a000})
	var folios []memfd.Folio
	for i, a := range []phys.Addr{0x100008000, 0x100009000} {
		b := phys.Block{Addr: a}
		if err := d.Preserve(b); err != nil {
			t.Fatal(err)
		}
		folios = append(folios, memfd.Folio{Block: b, Index: uint64(i), Flags: memfd.Dirty | memfd.UpToDate})
	}
	a, err := memfd.Write(d, memfd.V1, memfd.Meta{Size: 8192}, folios)
	if err != nil {
		t.Fatal(err)
	}
	page, err := d.Memory().View(a, phys.PageSize)
	if err != nil {
		t.Fatal(err)
	}
	want := make([]byte, phys.PageSize)
	if _, err := hex.Decode(want, []byte(strings.ReplaceAll(exampleV1, " ", ""))); err != nil {
		t.Fatal(err)
	}
	copy(want[24:32], page[24:32]) // where the allocator put the chunk
	if diff := cmp.Diff(want, page); diff != "" {
		t.Errorf("(-example +written):\n%s", diff)
	}
	_, c := commit(t, d)
	f, err := memfd.Open(c, memfd.Ref{Format: memfd.V1, Addr: a})
	if err != nil {
		t.Fatal(err)
	}
	var got []memfd.Folio
	if err := f.Walk(func(f memfd.Folio) error { got = append(got, f); return nil }); err != nil {
		t.Fatal(err)
	}
	// Those kernels restore every file with this seal.
	if diff := cmp.Diff(folios, got); diff != "" || f.Meta != (memfd.Meta{Size: 8192, Seals: memfd.SealSeal}) || f.Format() != memfd.V1 {
		t.Errorf("%+v in %v, folios (-want +got):\n%s", f.Meta, f.Format(), diff)
	}
}

func TestHandlersNameTheirFormat(t *testing.T) {
	for _, f := range memfd.Formats() {
		if got := memfd.ByHandler([]byte(f.Handler())); got != f || f.String() != f.Handler() || f.Releases() == "" {
			t.Errorf("%v is found as %v", f, got)
		}
	}
	for _, s := range []string{"", "memfd", "memfd-v", "memfd-v3", "memfd-v2;vmalloc-v1", "kvm_vm_luo_v1", "memfd-v11"} {
		if f := memfd.ByHandler([]byte(s)); f != nil {
			t.Errorf("%q is found as %v", s, f)
		}
	}
}

// TestEveryMemfdOfEveryLinuxCrosses reads the memfds of real handovers, rewrites
// them in every format and reads them back, with every folio where it was.
func TestEveryMemfdOfEveryLinuxCrosses(t *testing.T) {
	for _, v := range []struct {
		release string
		format  *memfd.Format
		files   int
	}{{"6.19.14", memfd.V1, 6}, {"7.0.13", memfd.V1, 6}, {"7.1.13", memfd.V2, 6}, {"7.3.4", memfd.V2, 260}} {
		vector := khotest.Linux(t, v.release)
		h, err := kho.Open(vector.Memory, vector.Data, nil)
		if err != nil {
			t.Fatal(err)
		}
		c := h.Ledger()
		st, err := luo.Restore(h, c)
		if err != nil {
			t.Fatal(err)
		}
		roles := make(map[phys.Block]string)
		left := make(map[string]int)
		for _, b := range vector.Blocks {
			roles[b.Block] = b.Role
			left[b.Role]++
		}
		var files []*memfd.File
		for s, err := range st.Sessions() {
			if err != nil {
				t.Fatal(err)
			}
			for rec, err := range s.Files() {
				if err != nil {
					t.Fatal(err)
				}
				f, err := memfd.Open(c, memfd.Ref{Format: memfd.ByHandler(rec.Handler), Addr: phys.Addr(rec.Data)})
				if err == nil {
					err = f.Check(c)
				}
				if err != nil || f.Format() != v.format || f.Unset() != 0 {
					t.Fatalf("Linux %s: %v in %v, %d folios lack a flag", v.release, err, f.Format(), f.Unset())
				}
				left[roles[phys.Block{Addr: f.Addr}]]--
				if err := f.Walk(func(folio memfd.Folio) error { left[roles[folio.Block]]--; return nil }); err != nil {
					t.Error(err)
				}
				files = append(files, f)
			}
		}
		if len(files) != v.files || left["memfd"] != 0 || left["folio"] != 0 {
			t.Errorf("Linux %s: %d memfds; %d structures and %d folios of the vector belong to none", v.release, len(files), left["memfd"], left["folio"])
		}
		for _, to := range memfd.Formats() {
			rewrite(t, h, files, to)
		}
	}
}

// rewrite takes files, all of h, to format to and compares what arrives. Those that
// do not fit for their seals have to be refused. New pages are not taken from avoid.
func rewrite(t *testing.T, h *kho.Handover, files []*memfd.File, to *memfd.Format, avoid ...phys.Range) {
	t.Helper()
	d, err := h.Draft(nil, avoid)
	if err != nil {
		t.Fatal(err)
	}
	before := h.Map().Count()
	at := make([]phys.Addr, len(files))
	for i, f := range files {
		if err := f.Fits(to, 10); err != nil {
			if _, bad := f.Rewrite(d, to); to != memfd.V1 || f.Seals&^memfd.SealSeal == 0 || !errors.Is(err, memfd.ErrFormat) || !errors.Is(bad, memfd.ErrFormat) {
				t.Fatalf("%v of seals %#x: %v; %v", f.Addr, f.Seals, err, bad)
			}
			return
		}
		if at[i], err = f.Rewrite(d, to); err != nil {
			t.Fatal(err)
		}
		if (at[i] == f.Addr) != (to == f.Format()) {
			t.Errorf("%v in %v is at %v in %v", f.Addr, f.Format(), at[i], to)
		}
	}
	next, c := commit(t, d)
	if n := next.Map().Count(); n != before {
		t.Errorf("in %v: %d blocks preserved, %d before", to, n, before)
	}
	for i, old := range files {
		f, err := memfd.Open(c, memfd.Ref{Format: to, Addr: at[i]})
		if err == nil {
			err = f.Check(c)
		}
		if err == nil {
			err = f.Same(old)
		}
		if err != nil {
			t.Errorf("in %v: %v", to, err)
		}
	}
}

package memfd_test

import (
	"bytes"
	"encoding/binary"
	"errors"
	"fmt"
	"strings"
	"testing"

	"ferry/kho"
	"ferry/memfd"
	"ferry/own"
	"ferry/phys"
)

// unset writes a file of format f whose folios have these flags, and opens it.
func unset(t *testing.T, f *memfd.Format, orders []int, flags []uint16) (*kho.Handover, *memfd.File, []memfd.Folio) {
	t.Helper()
	d := first(t)
	fs, pages := folios(t, d, orders...)
	for i := range fs {
		if i < len(flags) && !fs[i].Hole() {
			fs[i].Flags = flags[i]
		}
	}
	a, err := memfd.Write(d, f, memfd.Meta{Size: pages * phys.PageSize, Pos: 9}, fs)
	if err != nil {
		t.Fatal(err)
	}
	h, c := commit(t, d)
	file, err := memfd.Open(c, memfd.Ref{Format: f, Addr: a})
	if err == nil {
		err = file.Check(c)
	}
	if err != nil {
		t.Fatal(err)
	}
	return h, file, fs
}

func TestFoliosWithoutFlagsAreRepaired(t *testing.T) {
	const d, u = memfd.Dirty, memfd.UpToDate
	many := make([]uint16, 300) // an array of two pages
	for i := range many {
		many[i] = uint16(i) % 4
	}
	for _, tt := range []struct {
		name   string
		orders []int
		flags  []uint16
	}{
		{"one of each", []int{0, 0, 0, 0}, []uint16{d | u, d, u, 0}},
		{"large ones and holes", []int{9, 9, 100, -1, 1, 0}, []uint16{u, 0, 0, d, 0}},
		{"all of them", []int{0, -7, 3}, []uint16{0, 0}},
		{"many", repeat(300, 0), many},
		{"none", []int{0, 0}, nil},
	} {
		for _, from := range memfd.Formats() {
			for _, to := range memfd.Formats() {
				t.Run(fmt.Sprintf("%s, %v to %v", tt.name, from, to), func(t *testing.T) {
					h, f, fs := unset(t, from, tt.orders, tt.flags)
					repaired(t, h, f, fs, to)
				})
			}
		}
	}
}

// repaired rewrites f, whose folios are fs, as to and proves what arrives.
func repaired(t *testing.T, h *kho.Handover, f *memfd.File, fs []memfd.Folio, to *memfd.Format) {
	t.Helper()
	want, fresh := 0, make(map[int]bool)
	old := make(map[phys.Addr][]byte) // what may not change
	for i, folio := range fs {
		if folio.Hole() {
			continue
		}
		if folio.Flags != memfd.Dirty|memfd.UpToDate {
			want++
		}
		fresh[i] = folio.Flags&memfd.UpToDate == 0 && f.Format() == memfd.V1 // else only the flag is damaged
		b, err := h.Memory().View(folio.Block.Addr, folio.Block.Order.Bytes())
		if err != nil {
			t.Fatal(err)
		}
		old[folio.Block.Addr] = bytes.Clone(b)
	}
	if f.Unset() != want {
		t.Errorf("%d folios lack a flag, want %d", f.Unset(), want)
	}
	blocks := h.Map().Count()
	d, err := h.Draft(nil, nil)
	if err != nil {
		t.Fatal(err)
	}
	a, err := f.Rewrite(d, to)
	if err != nil {
		t.Fatal(err)
	}
	next, c := commit(t, d)
	if n := next.Map().Count(); n != blocks {
		t.Errorf("%d blocks preserved, %d before", n, blocks)
	}
	out, err := memfd.Open(c, memfd.Ref{Format: to, Addr: a})
	if err == nil {
		err = out.Check(c)
	}
	if err == nil {
		err = out.Same(f)
	}
	if err != nil {
		t.Fatal(err)
	}
	if out.Unset() != 0 || out.Pos != f.Pos || out.Size != f.Size {
		t.Errorf("%+v with %d folios that lack a flag, want %+v", out.Meta, out.Unset(), f.Meta)
	}
	i := -1
	err = out.Walk(func(folio memfd.Folio) error {
		i++
		if folio.Hole() {
			return nil
		}
		moved := folio.Block.Addr != fs[i].Block.Addr
		b, err := h.Memory().View(folio.Block.Addr, folio.Block.Order.Bytes())
		if err != nil {
			return err
		}
		if moved != fresh[i] || folio.Block.Order != fs[i].Block.Order || folio.Index != fs[i].Index {
			t.Errorf("folio %d: %+v, was %+v", i, folio, fs[i])
		}
		if fresh[i] && !bytes.Equal(b, make([]byte, len(b))) {
			t.Errorf("folio %d, whose contents were never written, is not zero", i)
		}
		if fresh[i] == next.Map().Preserved(fs[i].Block) {
			t.Errorf("folio %d: the old memory is preserved: %v", i, !fresh[i])
		}
		return nil
	})
	if err != nil || i != len(fs)-1 {
		t.Errorf("%d folios of %d: %v", i+1, len(fs), err)
	}
	for a, was := range old {
		if now, _ := h.Memory().View(a, uint64(len(was))); !bytes.Equal(was, now) {
			t.Errorf("the memory at %v was written to", a)
		}
	}
}

func TestWhatDoesNotFitIsRefused(t *testing.T) {
	for seals := range uint32(memfd.SealExec << 1) {
		d := first(t)
		a, err := memfd.Write(d, memfd.V2, memfd.Meta{Seals: seals}, nil)
		if err != nil {
			t.Fatal(err)
		}
		_, c := commit(t, d)
		f, err := memfd.Open(c, memfd.Ref{Format: memfd.V2, Addr: a})
		if err != nil {
			t.Fatal(err)
		}
		if err := f.Fits(memfd.V2, 10); err != nil {
			t.Error(err)
		}
		err = f.Fits(memfd.V1, 10)
		if want := seals > memfd.SealSeal; errors.Is(err, memfd.ErrFormat) != want || (err != nil) != want {
			t.Errorf("seals %#x to %v: %v", seals, memfd.V1, err)
		}
		if seals == memfd.SealWrite {
			want := fmt.Sprintf("memfd: structure %v: seals 0x8, want none but 0x1 in memfd-v1 (Linux 6.19, 7.0) (the file would come back unsealed)", a)
			if err.Error() != want {
				t.Errorf("got  %v\nwant %s", err, want)
			}
		}
	}
	_, f, fs := unset(t, memfd.V2, []int{9, -512, 10, 0}, nil)
	for order, want := range map[phys.Order]bool{8: false, 9: false, 10: true, phys.MaxOrder: true, 52: true} {
		if err := f.Fits(memfd.V1, order); (err == nil) != want || err != nil && !errors.Is(err, memfd.ErrFormat) {
			t.Errorf("a folio of order 10 where %d is taken back: %v", order, err)
		}
	}
	if err := f.Fits(memfd.V2, 9); err == nil || !strings.Contains(err.Error(), fmt.Sprintf("folio 1 %v: order 10, want at most order 9", fs[1].Block.Addr)) {
		t.Error(err)
	}
}

func TestWhatIsNotTheSameIsRefused(t *testing.T) {
	for _, f := range memfd.Formats() {
		t.Run(f.String(), func(t *testing.T) { notTheSame(t, f) })
	}
}

func notTheSame(t *testing.T, format *memfd.Format) {
	d := first(t)
	fs, pages := folios(t, d, 0, 0, 0, -1, 1, 0, 100)
	const dirty, upToDate = memfd.Dirty, memfd.UpToDate
	fs[0].Flags, fs[1].Flags = upToDate, dirty
	blank, _, err := d.AllocBlock(0)
	if err != nil {
		t.Fatal(err)
	}
	fs = append(fs, memfd.Folio{Block: phys.Block{Addr: blank}, Index: pages})
	pages++
	zeroed, _, err := d.AllocBlock(0)
	if err != nil {
		t.Fatal(err)
	}
	meta := memfd.Meta{Pos: 5, Size: pages * phys.PageSize}
	moment := format == memfd.V1 // its flags are those of the moment
	repair := func(_ *memfd.Meta, fs []memfd.Folio) {
		fs[0].Flags, fs[1].Flags, fs[1].Block.Addr = dirty|upToDate, dirty|upToDate, zeroed
	}
	last := len(fs) - 1
	variants := []struct {
		name string
		edit func(m *memfd.Meta, fs []memfd.Folio)
		same bool
	}{
		{"the file itself", func(*memfd.Meta, []memfd.Folio) {}, true},
		{"repaired", repair, moment},
		{"another position", func(m *memfd.Meta, _ []memfd.Folio) { m.Pos++ }, false},
		{"another size", func(m *memfd.Meta, _ []memfd.Folio) { m.Size-- }, false},
		{"two folios changed places", func(_ *memfd.Meta, fs []memfd.Folio) { fs[2].Block, fs[4].Block = fs[4].Block, fs[2].Block }, false},
		{"a flag less", func(_ *memfd.Meta, fs []memfd.Folio) { fs[2].Flags = dirty }, false},
		{"a folio became a hole", func(_ *memfd.Meta, fs []memfd.Folio) { fs[2] = memfd.Folio{Index: 2} }, false},
		{"a hole became a folio", func(_ *memfd.Meta, fs []memfd.Folio) { fs[5].Block.Addr, fs[5].Flags = zeroed, dirty|upToDate }, false},
		{"repaired, but in the old memory", func(m *memfd.Meta, fs []memfd.Folio) { repair(m, fs); fs[1].Block = phys.Block{Addr: fs[2].Block.Addr} }, false},
		{"repaired, but not the flags", func(m *memfd.Meta, fs []memfd.Folio) { fs[1].Block.Addr = zeroed }, false},
		{"both flags, but memory that nobody wrote", func(_ *memfd.Meta, fs []memfd.Folio) { fs[1].Flags = dirty | upToDate }, !moment},
		{"both flags, but memory that nobody wrote and that happens to be zero", func(_ *memfd.Meta, fs []memfd.Folio) { fs[last].Flags = dirty | upToDate }, !moment},
		{"new memory for what was up to date", func(_ *memfd.Meta, fs []memfd.Folio) { fs[0].Flags, fs[0].Block.Addr = dirty|upToDate, zeroed }, false},
	}
	at := make([]phys.Addr, len(variants))
	for i, v := range variants {
		m, now := meta, append([]memfd.Folio(nil), fs...)
		v.edit(&m, now)
		if at[i], err = memfd.Write(d, format, m, now); err != nil {
			t.Fatal(err)
		}
	}
	less, err := memfd.Write(d, format, meta, fs[:last])
	if err != nil {
		t.Fatal(err)
	}
	h, _ := commit(t, d)
	open := func(a phys.Addr) *memfd.File {
		f, err := memfd.Open(h.Ledger(), memfd.Ref{Format: format, Addr: a})
		if err != nil {
			t.Fatal(err)
		}
		return f
	}
	whole, cut := open(at[0]), open(less)
	if err, back := cut.Same(whole), whole.Same(cut); !errors.Is(err, memfd.ErrDiffer) || !errors.Is(back, memfd.ErrDiffer) {
		t.Errorf("a folio less: %v; a folio more: %v", err, back)
	}
	for i, v := range variants {
		if err := open(at[i]).Same(open(at[0])); (err == nil) != v.same || err != nil && !errors.Is(err, memfd.ErrDiffer) {
			t.Errorf("%s: %v", v.name, err)
		}
	}
}

func TestOtherSealsAreNotTheSame(t *testing.T) {
	d := first(t)
	var at []phys.Addr
	for _, seals := range []uint32{memfd.SealWrite, memfd.SealWrite | memfd.SealSeal, 0} {
		a, err := memfd.Write(d, memfd.V2, memfd.Meta{Seals: seals}, nil)
		if err != nil {
			t.Fatal(err)
		}
		at = append(at, a)
	}
	_, c := commit(t, d)
	var files []*memfd.File
	for _, a := range at {
		f, err := memfd.Open(c, memfd.Ref{Format: memfd.V2, Addr: a})
		if err != nil {
			t.Fatal(err)
		}
		files = append(files, f)
	}
	for i, f := range files {
		if err := f.Same(files[0]); (i == 0) != (err == nil) || err != nil && !errors.Is(err, memfd.ErrDiffer) {
			t.Errorf("seals %#x for %#x: %v", f.Seals, files[0].Seals, err)
		}
	}
}

// TestSealsAreTheSameAsFarAsTheFormatsGo takes files to a format without seals and
// back.
func TestSealsAreTheSameAsFarAsTheFormatsGo(t *testing.T) {
	for _, seals := range []uint32{0, memfd.SealSeal} {
		d := first(t)
		a, err := memfd.Write(d, memfd.V2, memfd.Meta{Seals: seals}, nil)
		if err != nil {
			t.Fatal(err)
		}
		h, c := commit(t, d)
		f, err := memfd.Open(c, memfd.Ref{Format: memfd.V2, Addr: a})
		if err != nil {
			t.Fatal(err)
		}
		for _, to := range []*memfd.Format{memfd.V1, memfd.V2} {
			if d, err = h.Draft(nil, nil); err != nil {
				t.Fatal(err)
			}
			if a, err = f.Rewrite(d, to); err != nil {
				t.Fatal(err)
			}
			h, c = commit(t, d)
			out, err := memfd.Open(c, memfd.Ref{Format: to, Addr: a})
			if err == nil {
				err = out.Same(f)
			}
			if err != nil || out.Seals != memfd.SealSeal {
				t.Errorf("seals %#x in %v: %#x, %v", seals, to, out.Seals, err)
			}
			f = out
		}
	}
}

// TestFlagsAreCountedWithoutACheck asks files that nobody walked before.
func TestFlagsAreCountedWithoutACheck(t *testing.T) {
	h, f, fs := unset(t, memfd.V1, []int{0, -511, 9, 0}, []uint16{memfd.Dirty, 0})
	again := func() *memfd.File {
		f, err := memfd.Open(h.Ledger(), memfd.Ref{Format: memfd.V1, Addr: f.Addr})
		if err != nil {
			t.Fatal(err)
		}
		return f
	}
	if n := again().Unset(); n != 2 {
		t.Errorf("%d folios lack a flag, want 2", n)
	}
	if err := again().Fits(memfd.V2, 8); !errors.Is(err, memfd.ErrFormat) {
		t.Errorf("a folio of order 9 where 8 is taken back: %v", err)
	}
	structure, err := h.Memory().View(f.Addr, 40)
	if err != nil {
		t.Fatal(err)
	}
	chunk, err := h.Memory().View(phys.Addr(u64(structure[24:])), 16)
	if err != nil {
		t.Fatal(err)
	}
	array, err := h.Memory().Edit(phys.Addr(u64(chunk[8:])), 32)
	if err != nil {
		t.Fatal(err)
	}
	array[24]++ // no multiple of the 2^9 pages of the second folio
	bad := again()
	d, err := h.Draft(nil, nil)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := bad.Rewrite(d, memfd.V2); bad.Unset() != 0 || !errors.Is(err, memfd.ErrFolio) || !errors.Is(bad.Fits(memfd.V2, 8), memfd.ErrFolio) {
		t.Errorf("an array that puts %v in a wrong place: %d folios lack a flag; %v", fs[1].Block, bad.Unset(), err)
	}
}

// TestAFileIsOpenedOnce with a ledger, and with none never; what is kept of it is
// claimed again from another ledger, and walked without one.
func TestAFileIsOpenedOnce(t *testing.T) {
	d := first(t)
	fs, pages := folios(t, d, 0, 0)
	a, err := memfd.Write(d, memfd.V1, memfd.Meta{Size: pages * phys.PageSize}, fs)
	if err != nil {
		t.Fatal(err)
	}
	h, c := commit(t, d)
	ref := memfd.Ref{Format: memfd.V1, Addr: a}
	if _, err := memfd.Open(nil, ref); err == nil {
		t.Error("a file was proved without a ledger")
	}
	f, err := memfd.Open(c, ref)
	if err != nil {
		t.Fatal(err)
	}
	owned := func(l *own.Ledger) (n int) {
		h.Map().Walk(func(b phys.Block) error {
			if l.Has(b) {
				n++
			}
			return nil
		})
		return n
	}
	if n := owned(c); n != 3 { // structure, chunk, array
		t.Errorf("%d blocks are claimed, want 3", n)
	}
	for _, again := range []func(*own.Ledger) error{
		f.Claim,
		func(l *own.Ledger) error { _, err := memfd.Open(l, ref); return err },
	} {
		if err := again(c); !errors.Is(err, own.ErrShared) || !strings.Contains(err.Error(), "already part of memfd "+a.String()+" (structure)") {
			t.Errorf("a second time: %v", err)
		}
	}
	other := h.Ledger()
	if err := f.Claim(other); err != nil || owned(other) != 3 {
		t.Errorf("from another ledger: %d blocks, %v", owned(other), err)
	}
	if err := f.Check(other); err != nil || owned(other) != 5 {
		t.Errorf("with its folios: %d blocks, %v", owned(other), err)
	}
}

// What nobody preserved may look like a memfd to the last byte: Linux frees it.
func TestOpeningProvesThatTheFileIsPreserved(t *testing.T) {
	d := first(t)
	fs, pages := folios(t, d, 0, 0)
	a, err := memfd.Write(d, memfd.V2, memfd.Meta{Size: pages * phys.PageSize}, fs)
	if err != nil {
		t.Fatal(err)
	}
	h, _ := commit(t, d)
	page, err := d.Memory().View(a, phys.PageSize)
	if err != nil {
		t.Fatal(err)
	}
	free := base + 64<<20
	for free := free; free < base+64<<20+2*phys.PageSize; free += phys.PageSize {
		copied, err := d.Memory().Edit(free, phys.PageSize)
		if err != nil {
			t.Fatal(err)
		}
		copy(copied, page)
	}
	for name, at := range map[string]struct {
		phys.Addr
		rule error
	}{"free memory": {free, own.ErrPreserved}, "between two pages": {free + 8, own.ErrPlace}, "scratch": {base, own.ErrPlace}, "outside RAM": {1 << 45, phys.ErrNotRAM}} {
		for _, f := range memfd.Formats() {
			if _, err := memfd.Open(h.Ledger(), memfd.Ref{Format: f, Addr: at.Addr}); !errors.Is(err, at.rule) {
				t.Errorf("in %s: %v, want %v", name, err, at.rule)
			}
		}
	}
	chunk := phys.Addr(u64(page[32:]))
	for name, to := range map[string]phys.Addr{"chunk": free, "array": free} {
		at, off := a, 32
		if name == "array" {
			at, off = chunk, 8
		}
		b, err := d.Memory().Edit(at, phys.PageSize)
		if err != nil {
			t.Fatal(err)
		}
		was := u64(b[off:])
		binary.LittleEndian.PutUint64(b[off:], uint64(to))
		if _, err := memfd.Open(h.Ledger(), memfd.Ref{Format: memfd.V2, Addr: a}); !errors.Is(err, own.ErrPreserved) {
			t.Errorf("%s in free memory: %v, want %v", name, err, own.ErrPreserved)
		}
		binary.LittleEndian.PutUint64(b[off:], was)
	}
	if _, err := memfd.Open(h.Ledger(), memfd.Ref{Format: memfd.V2, Addr: a}); err != nil {
		t.Error(err)
	}
}

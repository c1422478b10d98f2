package kho_test

import (
	"bytes"
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

func TestMetadataIsReadAsWritten(t *testing.T) {
	b := bytes.Repeat([]byte{0xee}, 80)
	want := kho.Metadata{Release: "7.3.4-ferry", Count: 0x01020304}
	want.Put(b)
	text := "\x01\x00\x00\x007.3.4-ferry" + strings.Repeat("\x00", 65-11) + "\x04\x03\x02\x01" + strings.Repeat("\xee", 7)
	if diff := cmp.Diff(text, string(b)); diff != "" {
		t.Errorf("bytes (-want +got):\n%s", diff)
	}
	if got, err := kho.ParseMetadata(0x1000, b); got != want || err != nil {
		t.Errorf("%+v, %v", got, err)
	}
	kho.Metadata{Release: strings.Repeat("r", 100)}.Put(b)
	if got, err := kho.ParseMetadata(0x1000, b); len(got.Release) != 64 || err != nil {
		t.Errorf("a release of %d bytes, %v, want 64", len(got.Release), err)
	}
}

func TestMetadataRefuses(t *testing.T) {
	for _, c := range []struct {
		name   string
		damage func(b []byte) []byte
		at     phys.Addr
	}{
		{"short", func(b []byte) []byte { return b[:72] }, 0},
		{"nothing", func(b []byte) []byte { return nil }, 0},
		{"version 2", func(b []byte) []byte { b[0] = 2; return b }, 0},
		{"release without end", func(b []byte) []byte { copy(b[4:], strings.Repeat("x", 65)); return b }, 4},
	} {
		b := make([]byte, 73)
		kho.Metadata{Release: "7.3.4"}.Put(b)
		_, err := kho.ParseMetadata(0x1000, c.damage(b))
		refusedAs(t, err, kho.ErrMetadata, 0x1000+c.at, "kexec-metadata")
	}
}

func TestMetadataOfAHandoverIsOptional(t *testing.T) {
	f := newFixture(t)
	if m, ok, err := f.open().Metadata(); m.Release != "7.3.4-test" || m.Count != 3 || !ok || err != nil {
		t.Errorf("%+v, %v, %v", m, ok, err)
	}
	_, d := f.draft()
	d.DropSubtree(kho.MetadataName)
	var err error
	f.data, err = d.Commit()
	f.check(err)
	if _, ok, err := f.open().Metadata(); ok || err != nil {
		t.Errorf("%v, %v, want none and no error", ok, err)
	}
}

func TestReservedMemoryIsReadAsWritten(t *testing.T) {
	var want []kho.Region
	for i := range 8 {
		start := hugeBlock + phys.Addr(i)<<16
		want = append(want, kho.Region{Name: fmt.Sprintf("region-number-%d", i)[:15-i], Range: phys.Range{Start: start, End: start + 0x8000}})
	}
	want[0].Name = "region-number-x"
	f := newFixture(t)
	_, d := f.draft()
	a, page, err := d.Alloc()
	f.check(err)
	n, err := kho.PutReserved(page, want)
	f.check(err)
	f.check(d.SetSubtree(kho.ReservedName, a, uint64(n)))
	f.data, err = d.Commit()
	f.check(err)
	got, err := f.open().Reserved()
	if diff := cmp.Diff(want, got); diff != "" || err != nil {
		t.Errorf("%v (-written +read):\n%s", err, diff)
	}
}

// TestRegionsOfAnySizeAreRead: reserve_mem=5000:64:name is what somebody may say, and
// Linux preserves the whole pages of it alone.
func TestRegionsOfAnySizeAreRead(t *testing.T) {
	for _, c := range []struct {
		start, size uint64 // start from hugeBlock on
		from, to    uint64 // kept
	}{
		{0, 0, 0, 0}, {0, 2048, 0, 0}, {0, 4095, 0, 0}, {0, 5000, 0, 4096}, {64, 4096, 0, 4096}, {4032, 8192, 0, 8192}, {0x1000, 0x1ff000, 0x1000, 0x200000},
	} {
		r := kho.Region{Name: "r", Range: phys.Range{Start: hugeBlock + phys.Addr(c.start), End: hugeBlock + phys.Addr(c.start+c.size)}}
		if got, want := r.Kept(), (phys.Range{Start: hugeBlock + phys.Addr(c.from), End: hugeBlock + phys.Addr(c.to)}); got != want {
			t.Errorf("%#x bytes at %#x: %v kept, want %v", c.size, c.start, got, want)
		}
		f := newFixture(t)
		_, d := f.draft()
		a, page, err := d.Alloc()
		f.check(err)
		n, err := kho.PutReserved(page, []kho.Region{r})
		f.check(err)
		f.check(d.SetSubtree(kho.ReservedName, a, uint64(n)))
		f.data, err = d.Commit()
		f.check(err)
		got, err := f.open().Reserved()
		if diff := cmp.Diff([]kho.Region{r}, got); diff != "" || err != nil {
			t.Errorf("%#x bytes at %#x: %v (-want +got):\n%s", c.size, c.start, err, diff)
		}
	}
}

func TestReservedMemoryRefuses(t *testing.T) {
	node := func(w *fdt.Writer, name string, start, size uint64) {
		w.Begin(name)
		w.String("compatible", "reserve-mem-v1")
		w.Uint64("start", start)
		w.Uint64("size", size)
		w.End()
	}
	for _, c := range []struct {
		name  string
		write func(w *fdt.Writer)
		rule  error
	}{
		{"another format", func(w *fdt.Writer) { w.String("compatible", "memblock-v2") }, kho.ErrReserved},
		{"no format", func(w *fdt.Writer) {}, fdt.ErrProperty},
		{"another region format", func(w *fdt.Writer) {
			w.String("compatible", "memblock-v1")
			w.Begin("r")
			w.String("compatible", "reserve-mem-v2")
			w.End()
		}, kho.ErrReserved},
		{"nine regions", func(w *fdt.Writer) {
			w.String("compatible", "memblock-v1")
			for i := range 9 {
				node(w, fmt.Sprint("r", i), uint64(hugeBlock)+uint64(i)*4096, 4096)
			}
		}, kho.ErrReserved},
		{"a name of 16", func(w *fdt.Writer) {
			w.String("compatible", "memblock-v1")
			node(w, "abcdefghijklmnop", uint64(hugeBlock), 4096)
		}, kho.ErrReserved},
		{"the same name twice", func(w *fdt.Writer) {
			w.String("compatible", "memblock-v1")
			node(w, "r", uint64(hugeBlock), 4096)
			node(w, "r", uint64(hugeBlock)+4096, 4096)
		}, fdt.ErrDuplicate},
		{"a wrap", func(w *fdt.Writer) {
			w.String("compatible", "memblock-v1")
			node(w, "r", uint64(hugeBlock), ^uint64(0)&^4095)
		}, kho.ErrReserved},
		{"not all preserved", func(w *fdt.Writer) {
			w.String("compatible", "memblock-v1")
			node(w, "r", uint64(hugeBlock), 2<<20+4096)
		}, own.ErrPreserved},
	} {
		t.Run(c.name, func(t *testing.T) {
			f := newFixture(t)
			_, d := f.draft()
			a, page, err := d.Alloc()
			f.check(err)
			w := fdt.NewWriter(page)
			w.Begin("")
			c.write(w)
			w.End()
			n, err := w.Finish()
			f.check(err)
			f.check(d.SetSubtree(kho.ReservedName, a, uint64(n)))
			f.data, err = d.Commit()
			f.check(err)
			if _, err = f.open().Reserved(); !errors.Is(err, c.rule) || !strings.Contains(fmt.Sprint(err), "kho: reserved memory") {
				t.Errorf("got %v, want %v", err, c.rule)
			}
		})
	}
}

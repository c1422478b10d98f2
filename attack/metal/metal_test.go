//go:build linux && !metal

package metal

import (
	"encoding/binary"
	"os"
	"path/filepath"
	"slices"
	"testing"

	"ferry/phys"
)

func newRAM(t *testing.T, size uint64) *RAM {
	t.Helper()
	r, err := NewRAM(filepath.Join(t.TempDir(), "ram"), size)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { r.Close() })
	return r
}

func write(t *testing.T, r *RAM, a phys.Addr, text string) {
	t.Helper()
	b, err := r.Edit(a, uint64(len(text)))
	if err != nil {
		t.Fatal(err)
	}
	copy(b, text)
}

func TestDifferNamesThePagesThatDiffer(t *testing.T) {
	a := newRAM(t, 16<<20)
	write(t, a, 0x1000, "same")
	write(t, a, 0x800ffe, "across two pages")
	path := filepath.Join(t.TempDir(), "copy")
	if err := a.Copy(path); err != nil {
		t.Fatal(err)
	}
	b, err := OpenRAM(path)
	if err != nil {
		t.Fatal(err)
	}
	defer b.Close()
	if got, err := Differ(a, b); err != nil || len(got) > 0 {
		t.Errorf("a copy differs in %v, %v", got, err)
	}
	if page, err := b.View(0x801000, 14); err != nil || string(page) != "ross two pages" {
		t.Errorf("the copy holds %q, %v", page, err)
	}
	write(t, b, 0x800ffe, "Across")  // one bit, in the first of two pages
	write(t, b, 0xffffff, "x")       // the last byte, in what a has a hole
	write(t, a, 0x400000, "\x00yes") // the other way round
	want := phys.NewRanges(phys.Block{Addr: 0x400000}.Range(), phys.Block{Addr: 0x800000}.Range(), phys.Block{Addr: 0xfff000}.Range())
	if got, err := Differ(a, b); err != nil || !slices.Equal(got, want) {
		t.Errorf("differ in %v, %v; want %v", got, err, want)
	}
}

func TestMemoryEndsWhereTheMapOfTheFirmwareSays(t *testing.T) {
	r := newRAM(t, 1<<20)
	r.Limit(phys.NewRanges(phys.Range{Start: 0x1000, End: 0x9000}))
	if _, err := r.View(0x1000, 0x8000); err != nil {
		t.Error(err)
	}
	for _, a := range []phys.Addr{0xfff, 0x1001} {
		if _, err := r.Edit(a, 0x8000); err == nil {
			t.Errorf("32 KiB at %v are RAM", a)
		}
	}
}

// TestStarterMapsMemoryWhereItStands follows the first instructions and the tables as a
// processor does; that it starts a kernel is what the attacks show.
func TestStarterMapsMemoryWhereItStands(t *testing.T) {
	rom := Starter(0x12345200, 0x6789000)
	le := binary.LittleEndian
	at := func(a uint64) []byte { return rom[a-starterBase:] }
	for _, a := range []uint64{0, 0x12345200, 0x7fffffff, 0xfffff000} {
		pdpt := le.Uint64(at(starterBase)) &^ 0xfff
		pd := le.Uint64(at(pdpt + a>>30*8))
		entry := le.Uint64(at(pd&^0xfff + a>>21%512*8))
		if got := entry&^0x1fffff + a%(2<<20); got != a || entry&0x81 != 0x81 {
			t.Errorf("%#x is mapped to %#x by entry %#x", a, got, entry)
		}
	}
	if rom[0xfff0] != 0xe9 || uint16(0xfff3)+le.Uint16(rom[0xfff1:]) != starterReal {
		t.Errorf("the reset vector holds % x", rom[0xfff0:0xfff3])
	}
}

func TestPageKeepsWhatIsNotItsSection(t *testing.T) {
	path := filepath.Join(t.TempDir(), "page.md")
	text := "# Title\n<!-- one -->\nold\n<!-- /one -->\nbetween\n<!-- two -->\n<!-- /two -->\nend\n"
	if err := os.WriteFile(path, []byte(text), 0o644); err != nil {
		t.Fatal(err)
	}
	p := Page(path)
	if err := p.Write("one", "new\n\n"+Table{{"a", "b"}, {"1", "2"}}.String()); err != nil {
		t.Fatal(err)
	}
	if err := p.Write("two", "more"); err != nil {
		t.Fatal(err)
	}
	want := "# Title\n<!-- one -->\nnew\n\n| a | b |\n| --- | --- |\n| 1 | 2 |\n<!-- /one -->\nbetween\n<!-- two -->\nmore\n<!-- /two -->\nend\n"
	if got, err := os.ReadFile(path); err != nil || string(got) != want {
		t.Errorf("%v:\n%s\nwant:\n%s", err, got, want)
	}
	if err := p.Write("three", "text"); err == nil {
		t.Error("a section that is not there was written")
	}
}

func TestExitCodesAreThoseOfTheBoard(t *testing.T) {
	// board/amd64 writes v and QEMU ends with 2v+1: code+96 below 32, code-16 from there.
	for code, v := range map[int]int{0: 96, 1: 97, 31: 127, 32: 16, 62: 46, 63: 47} {
		if got := exitCode(v<<1 | 1); got != code {
			t.Errorf("%d is taken for %d", code, got)
		}
	}
	if got := exitCode(0); got != ExitReset {
		t.Errorf("a reset is taken for %d", got)
	}
}

func TestOnlyPageTablesMayBeMarked(t *testing.T) {
	before := newRAM(t, 1<<20)
	le := binary.LittleEndian
	put := func(r *RAM, a phys.Addr, v uint64) { write(t, r, a, string(le.AppendUint64(nil, v))) }
	put(before, 0x1000, 0x2003)    // to a table
	put(before, 0x1008, 0x3003)    // to another
	put(before, 0x2010, 0x400083)  // a large page
	put(before, 0x3000, 0xfffff83) // present in what is no entry of a table of 4 KiB pages
	found := map[phys.Addr]bool{}
	if err := before.tables(0x1000, 3, found); err != nil || len(found) != 3 || !found[0x2000] || !found[0x3000] {
		t.Errorf("tables %v, %v", found, err)
	}
	put(before, 0x4000, 0x2003) // no table
	d := &Dump{RAM: before, Tables: phys.NewRanges(phys.Range{Start: 0x1000, End: 0x4000})}
	path := filepath.Join(t.TempDir(), "after")
	for _, tt := range []struct {
		name string
		at   phys.Addr
		v    uint64
		want bool
	}{
		{"accessed", 0x1000, 0x2023, true},
		{"dirty", 0x2010, 0x4000e3, true},
		{"another bit", 0x1000, 0x2007, false},
		{"a mark taken away", 0x3000, 0xfffff03, false},
		{"an entry that is not present", 0x1020, 0x20, false},
		{"a page that is no table", 0x4000, 0x2023, false},
	} {
		if err := before.Copy(path); err != nil {
			t.Fatal(err)
		}
		after, err := OpenRAM(path)
		if err != nil {
			t.Fatal(err)
		}
		put(after, tt.at, tt.v)
		if got := d.Noted(after, tt.at.Page()); got != tt.want {
			t.Errorf("%s: %v, want %v", tt.name, got, tt.want)
		}
		after.Close()
	}
}

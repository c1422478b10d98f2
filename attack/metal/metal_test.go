//go:build linux && !metal

package metal

import (
	"encoding/binary"
	"path/filepath"
	"slices"
	"testing"

	"ferry/internal/qemu"
	"ferry/phys"
)

func newRAM(t *testing.T, size uint64) *qemu.RAM {
	t.Helper()
	r, err := qemu.NewRAM(filepath.Join(t.TempDir(), "ram"), size)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { r.Close() })
	return r
}

func write(t *testing.T, r *qemu.RAM, a phys.Addr, text string) {
	t.Helper()
	b, err := r.Edit(a, uint64(len(text)))
	if err != nil {
		t.Fatal(err)
	}
	copy(b, text)
}

func TestOnlyPageTablesMayBeMarked(t *testing.T) {
	before := newRAM(t, 1<<20)
	le := binary.LittleEndian
	put := func(r *qemu.RAM, a phys.Addr, v uint64) { write(t, r, a, string(le.AppendUint64(nil, v))) }
	put(before, 0x1000, 0x2003)    // to a table
	put(before, 0x1008, 0x3003)    // to another
	put(before, 0x2010, 0x400083)  // a large page
	put(before, 0x3000, 0xfffff83) // present in what is no entry of a table of 4 KiB pages
	tables := phys.NewRanges(phys.Range{Start: 0x1000, End: 0x4000})
	if found, err := before.TablesBelow(0x1000, 3); err != nil || !slices.Equal(found, tables) {
		t.Errorf("tables %v, %v; want %v", found, err, tables)
	}
	put(before, 0x4000, 0x2003) // no table
	d := &Dump{RAM: before, Tables: tables}
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
		after, err := qemu.OpenRAM(path)
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

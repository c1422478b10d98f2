package boot_test

import (
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"ferry/boot"
	"ferry/phys"
)

func TestRAMIsWhatNoOtherEntryClaims(t *testing.T) {
	m := newMachine(t)
	m.page[0x1e8] = 0
	m.e820(0x1000, 0x9000, 1)
	m.e820(0x4000, 0x1000, 2)
	m.e820(0x8000, 0x4000, 1) // overlaps the first
	m.e820(0x100000, 0, 1)    // empty
	m.e820(1<<64-4096, 8192, 1)
	want := phys.NewRanges(phys.Range{Start: 0x1000, End: 0x4000}, phys.Range{Start: 0x5000, End: 0xc000})
	if d := cmp.Diff(want, m.read().E820.RAM()); d != "" {
		t.Errorf("RAM (-want +got):\n%s", d)
	}
}

func TestReadStopsAt128Entries(t *testing.T) {
	m := newMachine(t)
	for m.page[0x1e8] < 128 {
		m.e820(0x1000, 0x1000, 2)
	}
	m.page[0x1e8] = 255
	if n := len(m.read().E820); n != 128 {
		t.Errorf("%d entries, want 128: what follows the table is no entry", n)
	}
}

// hugeMap adds an extension with more entries than Linux would keep.
func (m *machine) hugeMap() {
	ext := make([]byte, 20*4000)
	for i := range 4000 {
		putE820(ext[20*i:], uint64(i)<<20, 4096, 2)
	}
	m.free = ramStart + 1<<20
	m.node(boot.SetupE820Ext, ext)
}

// TestEntriesBeyondAllAddressesAreCut: memory is not RAM because its entry is
// larger than an address can tell.
func TestEntriesBeyondAllAddressesAreCut(t *testing.T) {
	for _, c := range []struct {
		name       string
		addr, size uint64
		typ        uint32
		want       boot.E820
	}{
		{"reserved that wraps", 0x2000_0000, 1<<64 - 1, 2, boot.E820{{Range: phys.Range{Start: 0x2000_0000, End: 1 << 52}, Type: 2}}},
		{"reserved above all", 0x2000_0000, 1 << 53, 2, boot.E820{{Range: phys.Range{Start: 0x2000_0000, End: 1 << 52}, Type: 2}}},
		{"ACPI tables that wrap", 0x2000_0000, 1<<64 - 1, 3, boot.E820{{Range: phys.Range{Start: 0x2000_0000, End: 1 << 52}, Type: 2}}},
		{"RAM that wraps", 0x2000_0000, 1<<64 - 1, 1, nil},
		{"RAM above all", 0x2000_0000, 1 << 53, 1, nil},
		{"RAM to the end", 0x2000_0000, 1<<52 - 0x2000_0000, 1, boot.E820{{Range: phys.Range{Start: 0x2000_0000, End: 1 << 52}, Type: 1}}},
		{"reserved where nothing is", 1 << 52, 4096, 2, nil},
		{"reserved of no bytes", 0x2000_0000, 0, 2, nil},
	} {
		m := newMachine(t)
		m.page[0x1e8] = 0
		m.e820(c.addr, c.size, c.typ)
		if d := cmp.Diff(c.want, m.read().E820); d != "" {
			t.Errorf("%s (-want +got):\n%s", c.name, d)
		}
	}
}

// TestLongMapsNeverMakeRAMOfReservedMemory: if entries find no room, RAM may
// be lost, but nothing becomes RAM.
func TestLongMapsNeverMakeRAMOfReservedMemory(t *testing.T) {
	m := newMachine(t)
	m.free = ramStart + 1<<20
	fill := make([]byte, 20*1021) // with the one of the zero page, one is left
	for i := range 1021 {
		putE820(fill[20*i:], 0xa0000, 0x1000, 2)
	}
	m.node(boot.SetupE820Ext, fill)
	rest := make([]byte, 20*6)
	for i, e := range []struct {
		addr, size uint64
		typ        uint32
	}{
		{0x2f00_0000, 0x1000, 2},   // the last that is kept as it is
		{0x2200_0000, 0x1000, 3},   // the others make one
		{0x1_0000_0000, 4096, 1},   // RAM without room is lost
		{0x2000_0000, 0x1000, 2},   // before
		{0x2400_0000, 0x10_000, 7}, // behind
		{0x2100_0000, 0x1000, 20},  // inside
	} {
		putE820(rest[20*i:], e.addr, e.size, e.typ)
	}
	m.node(boot.SetupE820Ext, rest)
	p, err := boot.Read(m, zeroPage)
	if err == nil || !strings.Contains(err.Error(), "5 entries more than the 1023") {
		t.Errorf("error %v", err)
	}
	want := phys.Ranges{{Start: ramStart, End: 0x2000_0000}, {Start: 0x2401_0000, End: 0x2f00_0000}, {Start: 0x2f00_1000, End: ramEnd}}
	if d := cmp.Diff(want, p.E820.RAM()); d != "" || len(p.E820) != 1024 {
		t.Errorf("%d entries; RAM (-want +got):\n%s", len(p.E820), d)
	}
}

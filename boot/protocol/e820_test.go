package protocol_test

import (
	"testing"

	"ferry/boot/protocol"
)

func region(addr, size, kind uint64) protocol.Region {
	return protocol.Region{Addr: addr, Size: size, Type: kind}
}

// TestMapNeverMakesRAMOfReservedMemory: memory is not RAM because its entry is larger
// than an address can tell.
func TestMapNeverMakesRAMOfReservedMemory(t *testing.T) {
	const start, end = 0x2000_0000, 1 << 52
	for _, c := range []struct {
		name    string
		in      protocol.Region
		want    protocol.Region // size 0: none
		mapping bool
	}{
		{"RAM", region(start, 4096, 1), region(start, 4096, 1), true},
		{"ACPI tables", region(start, 4096, 3), region(start, 4096, 3), true},
		{"memory that ACPI keeps", region(start, 4096, 4), region(start, 4096, 4), true},
		{"persistent memory", region(start, 4096, 7), region(start, 4096, 7), false},
		{"reserved that wraps", region(start, 1<<64-1, 2), region(start, end-start, 2), false},
		{"reserved above all", region(start, 1<<53, 2), region(start, end-start, 2), false},
		{"ACPI tables that wrap", region(start, 1<<64-1, 3), region(start, end-start, 2), false},
		{"RAM that wraps", region(start, 1<<64-1, 1), protocol.Region{}, false},
		{"RAM above all", region(start, 1<<53, 1), protocol.Region{}, false},
		{"RAM to the end", region(start, end-start, 1), region(start, end-start, 1), true},
		{"reserved beyond all addresses", region(end, 4096, 2), protocol.Region{}, false},
		{"no bytes", region(start, 0, 2), protocol.Region{}, false},
	} {
		var m protocol.Map
		if !m.Add(c.in.Addr, c.in.Size, c.in.Type) {
			t.Errorf("%s: no room in an empty map", c.name)
		}
		if got := *m.At(0); got != c.want || (m.Count == 1) != (c.want.Size > 0) || got.Mapped() != c.mapping {
			t.Errorf("%s: %d regions, %#x, want %#x", c.name, m.Count, got, c.want)
		}
	}
}

// TestMapKeepsWhatHasNoRoomAsReserved: the last region covers all of it.
func TestMapKeepsWhatHasNoRoomAsReserved(t *testing.T) {
	var m protocol.Map
	add := func(want bool, r protocol.Region) {
		t.Helper()
		if got := m.Add(r.Addr, r.Size, r.Type); got != want {
			t.Errorf("%#x: kept %v, want %v", r, got, want)
		}
	}
	for range 1022 {
		add(true, region(0xa0000, 0x1000, 2))
	}
	add(true, region(0x2f00_0000, 0x1000, 20)) // the last that is kept as it is
	add(false, region(0x1_0000_0000, 4096, 1)) // RAM without room is lost
	if m.Count != 1023 {
		t.Errorf("%d regions, want 1023", m.Count)
	}
	add(false, region(0x2200_0000, 0x1000, 3)) // the others make one
	add(false, region(0x1_0000_0000, 4096, 1))
	add(false, region(0x2000_0000, 0x1000, 2))
	add(false, region(0x2400_0000, 0x10000, 7))
	add(false, region(0x2100_0000, 0x1000, 20))
	if want := region(0x2000_0000, 0x401_0000, 2); m.Count != 1024 || m.Regions[1023] != want {
		t.Errorf("%d regions, the last %#x, want %#x", m.Count, m.Regions[1023], want)
	}
	if want := region(0x2f00_0000, 0x1000, 20); m.Regions[1022] != want {
		t.Errorf("region 1022 is %#x, want %#x", m.Regions[1022], want)
	}
}

func TestMapAllocatesNothing(t *testing.T) {
	m := new(protocol.Map)
	if n := testing.AllocsPerRun(10, func() { m.Add(0x1000, 0x1000, 1) }); n != 0 {
		t.Errorf("%v allocations", n)
	}
}

// TestSetupSize: 0 sectors mean 4, boot.rst.
func TestSetupSize(t *testing.T) {
	for sects, want := range map[byte]uint64{0: 2560, 1: 1024, 7: 4096, 255: 131072} {
		if got := protocol.SetupSize(sects); got != want {
			t.Errorf("%d sectors: %d bytes, want %d", sects, got, want)
		}
	}
}

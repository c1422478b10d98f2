//go:build !metal

package kernel

import (
	"encoding/binary"
	"runtime"
	"testing"
	"unsafe"

	"ferry/boot/protocol"
)

const (
	mib = 1 << 20
	gib = 1 << 30
)

// bench is a machine that was never started: its pages of memory are Go's.
type bench struct {
	machine
	memory []byte
}

func newBench(t *testing.T, pages, levels, gigabyte uint64) *bench {
	const first = 0x10_0000 // where the pages claim to be
	b := &bench{memory: make([]byte, (pages+1)*PageSize)}
	start := uint64(uintptr(unsafe.Pointer(unsafe.SliceData(b.memory))))
	b.tables.frames.base = (start+PageSize-1)&^(PageSize-1) - first
	b.tables.frames.next, b.tables.frames.end, b.tables.frames.left = first, first+pages*PageSize, pages
	b.tables.levels, b.tables.gigabyte = levels, gigabyte
	b.tables.root = b.tables.frames.take()
	t.Cleanup(func() { runtime.KeepAlive(b) })
	return b
}

// entry820 adds an entry to the memory map as the zero page has it.
func (b *bench) entry820(addr, size uint64, kind uint32) {
	var e [protocol.E820Size]byte
	binary.LittleEndian.PutUint64(e[:], addr)
	binary.LittleEndian.PutUint64(e[8:], size)
	binary.LittleEndian.PutUint32(e[16:], kind)
	p := &e
	addEntry(&b.e820, uint64(uintptr(unsafe.Pointer(p))))
	runtime.KeepAlive(p)
}

// maps returns where va leads and the size of the page, 0 if nothing is.
func (b *bench) maps(va uint64) (pa, size uint64) {
	for level := uint64(level4K); level <= level1G; level++ {
		if a := b.tables.entry(va, level, false); a > covered {
			e := *word(a)
			if e&PTEPresent == 0 || level > level4K && e&pteLarge == 0 {
				return 0, 0
			}
			return e & pteAddress &^ (levelSize(level) - 1), levelSize(level)
		}
	}
	return 0, 0
}

// TestIdentityMapsEveryByteWithTheLargestPages looks at every 2 MiB of maps whose
// ranges meet inside 1 GiB.
func TestIdentityMapsEveryByteWithTheLargestPages(t *testing.T) {
	type region struct {
		addr, end uint64
		kind      uint32
	}
	for _, c := range []struct {
		name    string
		regions []region
		large   uint64 // pages of 1 GiB, if the processor has them
	}{
		{"whole pages", []region{{0, 4 * gib, protocol.E820RAM}}, 4},
		{"a PC", []region{{0, 0x9fc00, protocol.E820RAM}, {1 * mib, 3*gib - 128*1024, protocol.E820RAM}, {3*gib - 128*1024, 3 * gib, protocol.E820ACPI}, {4 * gib, 9 * gib, protocol.E820RAM}}, 7},
		{"a small range first", []region{{gib + 5*mib, gib + 6*mib, protocol.E820NVS}, {0, 3 * gib, protocol.E820RAM}}, 2},
		{"a small range last", []region{{0, 3 * gib, protocol.E820RAM}, {gib + 5*mib, gib + 6*mib, protocol.E820ACPI}}, 3},
		{"ranges that meet inside a page", []region{{gib, gib + 512*mib, protocol.E820RAM}, {gib + 512*mib, 3 * gib, protocol.E820RAM}}, 1},
		{"ranges that overlap", []region{{gib, 2*gib + 512*mib, protocol.E820RAM}, {2 * gib, 4 * gib, protocol.E820RAM}}, 2},
		{"a range inside a page", []region{{gib + 2*mib, gib + 4*mib, protocol.E820RAM}}, 0},
		{"reserved memory", []region{{0, gib, protocol.E820RAM}, {gib, 4 * gib, protocol.E820Reserved}}, 1},
		{"over the border of 512 GiB", []region{{510*gib + 512*mib, 514 * gib, protocol.E820RAM}}, 3},
	} {
		for _, levels := range []uint64{4, 5} {
			for _, gigabyte := range []uint64{0, 1} {
				b := newBench(t, 64, levels, gigabyte)
				want := map[uint64]bool{0: true}
				for _, r := range c.regions {
					b.entry820(r.addr, r.end-r.addr, r.kind)
					for a := r.addr &^ (2*mib - 1); r.kind != protocol.E820Reserved && a < r.end; a += 2 * mib {
						want[a] = true
					}
				}
				if !b.tables.identity(&b.e820) {
					t.Fatalf("%s: no page left", c.name)
				}
				large := map[uint64]bool{}
				for a := uint64(0); a < 520*gib; a += 2 * mib {
					pa, size := b.maps(a)
					if (size != 0) != want[a] || size != 0 && (size < 2*mib || pa != a&^(size-1)) {
						t.Errorf("%s, %d levels: %#x leads to %#x in a page of %#x, want mapped %v", c.name, levels, a, pa, size, want[a])
						break
					}
					if size == gib {
						large[pa] = true
					}
				}
				if uint64(len(large)) != c.large*gigabyte {
					t.Errorf("%s, %d levels: %d pages of 1 GiB, want %d", c.name, levels, len(large), c.large*gigabyte)
				}
			}
		}
	}
}

// TestIdentityOf16TiBFitsTheStage: the tables for all RAM of a large machine are a
// few pages, and running out of them is reported.
func TestIdentityOf16TiBFitsTheStage(t *testing.T) {
	b := newBench(t, 64, 4, 1)
	b.entry820(4*gib, 16<<40, protocol.E820RAM)
	if !b.tables.identity(&b.e820) || b.tables.frames.used > 40 {
		t.Errorf("%d pages of tables", b.tables.frames.used)
	}
	b = newBench(t, 64, 4, 0)
	b.entry820(4*gib, 16<<40, protocol.E820RAM)
	if b.tables.identity(&b.e820) {
		t.Error("16 TiB in pages of 2 MiB fit 64 pages of tables")
	}
}

func TestConsoleIsThePortThatIsNamedLast(t *testing.T) {
	for _, c := range []struct {
		cmdline string
		port    uint16
		divisor uint64
	}{
		{"", com1, 0}, {"quiet", com1, 0}, {"console=ttyS0", com1, 0}, {"console=ttyS1", com2, 0}, {"console=ttyS2 quiet", com3, 0},
		{"console=ttyS3,9600n8", com4, 12}, {"console=ttyS1,57600 console=ttyS2", com3, 0}, {"console=ttyS1\tquiet", com2, 0},
		{`x="a console=ttyS1" b`, com1, 0}, {"-- console=ttyS1", com1, 0}, {"netconsole=ttyS1", com1, 0}, {`console="ttyS1,9600"`, com2, 12},
		{"console=ttyS10", com1, 0}, {"console=ttyS10,9600", com1, 0}, {"console=ttyS1 console=ttyS20", com2, 0},
		{"console=ttyS4", com1, 0}, {"console=ttyS", com1, 0}, {"console=tty0", com1, 0}, {"console=ttyS1x", com1, 0},
	} {
		var m machine
		m.cmdline.size = uint64(copy(m.cmdline.bytes[:], c.cmdline))
		if port, divisor := m.cmdline.console(); port != c.port || divisor != c.divisor {
			t.Errorf("%q: port %#x, divisor %d, want %#x, %d", c.cmdline, port, divisor, c.port, c.divisor)
		}
	}
}

func TestConsoleSpeedIsReadFromTheCommandLine(t *testing.T) {
	for _, c := range []struct {
		options string
		divisor uint64
	}{
		{"", 0}, {" quiet", 0}, {",", 0}, {",n8", 0}, {",115200", 1}, {",115200n8 quiet", 1}, {",9600n8", 12}, {",9600 x", 12},
		{",38400", 3}, {",50", 2304}, {",49", 0}, {",0", 0}, {",115201", 0}, {",921600", 0}, {",99999999999999999999999", 0}, {"9600", 0},
	} {
		var m machine
		copy(m.cmdline.bytes[:], c.options)
		if got := m.cmdline.baudDivisor(0); got != c.divisor {
			t.Errorf("%q: divisor %d, want %d", c.options, got, c.divisor)
		}
	}
}

// TestIdentityEndsWithTheDirectMap: what it does not reach is no memory here.
func TestIdentityEndsWithTheDirectMap(t *testing.T) {
	b := newBench(t, 256, 5, 1)
	b.entry820(DirectEnd-2*gib, 4*gib, protocol.E820RAM)
	b.entry820(DirectEnd+8*gib, 4*gib, protocol.E820RAM)
	if !b.tables.identity(&b.e820) {
		t.Fatal("no page left")
	}
	if pa, size := b.maps(DirectEnd - gib); pa != DirectEnd-gib || size != gib {
		t.Errorf("the last GiB below the end leads to %#x in a page of %#x", pa, size)
	}
	for _, a := range []uint64{DirectEnd, DirectEnd + 8*gib} {
		if _, size := b.maps(a); size != 0 {
			t.Errorf("%#x is mapped", a)
		}
	}
}

// TestDirectMapCoversNoAddressBeyondIt: addresses that loaders give are looked for
// in the direct map alone.
func TestDirectMapCoversNoAddressBeyondIt(t *testing.T) {
	const image = 0x4000_0000_0000
	b := newBench(t, 64, 4, 1)
	if !b.tables.direct(0, 4*gib) || !b.tables.span(machineBase, 0, machineSize, PTEPresent, level4K) || !b.tables.span(image, 0, machineSize, PTEPresent, level4K) {
		t.Fatal("no page left")
	}
	for _, c := range []struct {
		a, n uint64
		want bool
	}{
		{0, 4 * gib, true}, {4*gib - 1, 1, true}, {4 * gib, 1, false}, {4*gib - 16, 17, false}, {16, 0, true},
		{DirectEnd, 16, false}, {DirectEnd - 8, 16, false}, {1<<64 - 8, 16, false}, {image + (1<<64 - DirectMap), 16, false}, {16, 1<<64 - 1, false},
	} {
		if got := b.tables.directCovers(c.a, c.n); got != c.want {
			t.Errorf("%#x bytes at %#x: %v, want %v", c.n, c.a, got, c.want)
		}
	}
	// Firmware's tables are brought in, as far as it reaches.
	for _, c := range []struct {
		a, n uint64
		want bool
	}{
		{5 * gib, 36, true}, {6*gib - 1, 2, true}, {DirectEnd - 36, 36, true}, {DirectEnd - 36, 37, false}, {DirectEnd, 36, false},
		{DirectEnd + 4096, 36, false}, {machineBase - DirectMap + 1<<40, 36, false}, {1<<64 - 36, 36, false}, {1<<64 - 36, 35, false}, {4096, 1<<64 - 4096, false},
	} {
		if got := b.tables.cover(c.a, c.n); got != c.want {
			t.Errorf("firmware's %#x bytes at %#x: %v, want %v", c.n, c.a, got, c.want)
		}
	}
}

// region820 is a region of the map.
func region820(addr, size, kind uint64) protocol.Region {
	return protocol.Region{Addr: addr, Size: size, Type: kind}
}

// TestE820NeverMakesRAMOfReservedMemory: the same cases as package boot has.
func TestE820NeverMakesRAMOfReservedMemory(t *testing.T) {
	for _, c := range []struct {
		name       string
		addr, size uint64
		kind       uint32
		want       protocol.Region // size 0: none
	}{
		{"reserved that wraps", 512 * mib, 1<<64 - 1, 2, region820(512*mib, 1<<52-512*mib, 2)},
		{"reserved above all", 512 * mib, 1 << 53, 2, region820(512*mib, 1<<52-512*mib, 2)},
		{"ACPI tables that wrap", 512 * mib, 1<<64 - 1, 3, region820(512*mib, 1<<52-512*mib, 2)},
		{"RAM that wraps", 512 * mib, 1<<64 - 1, 1, protocol.Region{}},
		{"RAM above all", 512 * mib, 1 << 53, 1, protocol.Region{}},
		{"RAM to the end", 512 * mib, 1<<52 - 512*mib, 1, region820(512*mib, 1<<52-512*mib, 1)},
		{"reserved where nothing is", 1 << 52, 4096, 2, protocol.Region{}},
		{"reserved of no bytes", 512 * mib, 0, 2, protocol.Region{}},
	} {
		b := newBench(t, 2, 4, 0)
		b.entry820(c.addr, c.size, c.kind)
		if b.e820.Regions[0] != c.want || (b.e820.Count == 1) != (c.want.Size > 0) {
			t.Errorf("%s: %d entries, %#x, want %#x", c.name, b.e820.Count, b.e820.Regions[0], c.want)
		}
	}

	b := newBench(t, 2, 4, 0)
	for range 1022 {
		b.entry820(0xa0000, 0x1000, 2)
	}
	b.entry820(0x2f00_0000, 0x1000, 20) // the last that is kept as it is
	b.entry820(0x2200_0000, 0x1000, 3)  // the others make one
	b.entry820(0x1_0000_0000, 4096, 1)  // RAM without room is lost
	b.entry820(0x2000_0000, 0x1000, 2)
	b.entry820(0x2400_0000, 0x10000, 7)
	b.entry820(0x2100_0000, 0x1000, 20)
	if want := (region820(0x2000_0000, 0x401_0000, 2)); b.e820.Count != 1024 || b.e820.Regions[1023] != want {
		t.Errorf("%d entries, the last %#x, want %#x", b.e820.Count, b.e820.Regions[1023], want)
	}
	if want := (region820(0x2f00_0000, 0x1000, 20)); b.e820.Regions[1022] != want {
		t.Errorf("entry 1022 is %#x, want %#x", b.e820.Regions[1022], want)
	}
}

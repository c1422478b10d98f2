//go:build metal

package kernel_test

import (
	"bytes"
	"crypto/sha256"
	"encoding/binary"
	"fmt"
	"os"
	"strings"
	"testing"
	"time"
	"unsafe"

	"ferry/board/amd64"
	"ferry/board/amd64/internal/kernel"
	_ "ferry/board/amd64/start"
	"ferry/phys"
)

// mapping is a run of pages with equal rights, as the page tables have it.
type mapping struct {
	start, end     uint64
	write, execute bool
}

func (m mapping) String() string {
	return fmt.Sprintf("[%#x-%#x] write %v execute %v", m.start, m.end-1, m.write, m.execute)
}

// leaf is a page of whatever size, as the page tables have it.
type leaf struct {
	va, pa, size   uint64
	write, execute bool
}

// leaves calls f for each page that is mapped, and table for each page of tables,
// with physical addresses.
func leaves(f func(leaf), table func(pa uint64)) {
	root, levels := kernel.PageTables()
	var walk func(at, va, level uint64, rights uint64)
	walk = func(at, va, level uint64, rights uint64) {
		table(at)
		for i := range uint64(512) {
			a := kernel.DirectMap + at + i*8
			e := **(**uint64)(unsafe.Pointer(&a))
			size := uint64(amd64.PageSize) << (9 * (level - 1))
			va := va + i*size
			if level == levels && i >= 256 {
				va |= ^uint64(0) << (12 + 9*levels - 1) // canonical
			}
			switch pa := e & 0x000f_ffff_ffff_f000; {
			case e&kernel.PTEPresent == 0:
			case level == 1 || e&kernel.PTELarge != 0 && level <= 3:
				f(leaf{va, pa &^ (size - 1), size, rights&e&kernel.PTEWrite != 0, e&kernel.NoExecute() == 0})
			default:
				walk(pa, va, level-1, rights&e)
			}
		}
	}
	walk(root, 0, levels, ^uint64(0))
}

// mappings joins the pages that are mapped side by side with equal rights.
func mappings(t *testing.T) (all []mapping) {
	leaves(func(l leaf) {
		m := mapping{l.va, l.va + l.size, l.write, l.execute}
		if n := len(all); n > 0 && all[n-1].end == m.start && all[n-1].write == m.write && all[n-1].execute == m.execute {
			all[n-1].end = m.end
		} else {
			all = append(all, m)
		}
	}, func(uint64) {})
	if len(all) < 5 {
		t.Fatalf("only %d mappings: %v", len(all), all)
	}
	return all
}

// TestNothingIsWritableAndExecutable walks the page tables: writable or
// executable, never both; only the image is executable; page 0 is not there.
func TestNothingIsWritableAndExecutable(t *testing.T) {
	if _, _, _, d := kernel.CPUID(0x8000_0001, 0); d&(1<<20) == 0 {
		t.Skip("this processor executes whatever it can read")
	}
	var executable []mapping
	for _, m := range mappings(t) {
		if m.start == 0 {
			t.Errorf("page 0 is mapped: %v", m)
		}
		if m.execute {
			executable = append(executable, m)
		}
	}
	text := kernel.SegmentAt(0)
	if len(executable) != 1 || executable[0].write || executable[0].start != text.Start || executable[0].end < text.FileEnd {
		t.Errorf("executable: %v, want only the text [%#x-%#x], not writable", executable, text.Start, text.FileEnd-1)
	}
}

// TestDirectMapHoldsMemoryOnly proves that nothing but what e820 calls memory, the
// first MiB, and the pages around their edges is in the direct map: devices must
// not be cached.
func TestDirectMapHoldsMemoryOnly(t *testing.T) {
	memory := phys.NewRanges(phys.Range{Start: 0, End: 1 << 20})
	for _, r := range amd64.E820() {
		if r.Type == amd64.E820RAM || r.Type == amd64.E820ACPI || r.Type == amd64.E820NVS {
			end, _ := phys.AlignUp(r.End, phys.PageSize)
			memory = memory.Add(phys.Range{Start: r.Start.Page(), End: end})
		}
	}
	var mapped phys.Ranges
	for _, m := range mappings(t) {
		if m.start >= kernel.DirectMap && m.end <= kernel.MachineBase {
			mapped = mapped.Add(phys.Range{Start: phys.Addr(m.start - kernel.DirectMap), End: phys.Addr(m.end - kernel.DirectMap)})
		}
	}
	if extra := mapped.Sub(memory...); len(extra) > 0 {
		t.Errorf("in the direct map, but no memory: %v", extra)
	}
	if missing := memory.Sub(mapped...); len(missing) > 0 {
		t.Errorf("memory outside the direct map: %v", missing)
	}
}

// TestStrayInterruptsAreAcknowledged sends what a device of the old kernel might
// still send, to vectors that nobody set up, while the program runs and while the
// processor idles.
func TestStrayInterruptsAreAcknowledged(t *testing.T) {
	if kernel.LAPICBase() == 0 {
		t.Skip("this machine has no local APIC")
	}
	for vector := 0x20; vector < 0x100; vector++ {
		kernel.SendToSelf(uint8(vector))
	}
	time.Sleep(5 * time.Millisecond)
	if n := kernel.InService(); n != 0 {
		t.Errorf("%d interrupts still in service", n)
	}
	start := time.Now()
	time.Sleep(2 * time.Millisecond) // the timer still works
	if d := time.Since(start); d > 500*time.Millisecond {
		t.Errorf("slept %v", d)
	}
}

// TestLAPICIsGivenBackAsFound takes over what an old kernel may have left: its own
// spurious vector and timer, another divider.
func TestLAPICIsGivenBackAsFound(t *testing.T) {
	if kernel.LAPICBase() == 0 {
		t.Skip("this machine has no local APIC")
	}
	const masked = 1 << 16
	for _, c := range [][3]uint64{{0x1fe, masked | 0xec, 0b0011}, {0x1ff, masked | 1<<17 | 0xec, 0b1011}, {0xff, masked, 0}} {
		found, left := kernel.FoundLAPIC(c[0], c[1], c[2])
		if found != c || left != c {
			t.Errorf("set to %#x, found %#x, left %#x", c, found, left)
		}
	}
	start := time.Now()
	time.Sleep(2 * time.Millisecond) // the timer still works
	if d := time.Since(start); d > 500*time.Millisecond {
		t.Errorf("slept %v", d)
	}
}

func TestStuckConsoleIsGivenUp(t *testing.T) {
	if !kernel.PrintStuck('x') {
		t.Error("the console is kept though it took no character")
	}
	if !kernel.PrintStuck('\n') {
		t.Error("the console is kept though it took no line feed")
	}
}

func TestBootTellsHowItWasStarted(t *testing.T) {
	info := amd64.Boot()
	if !strings.Contains(info.Cmdline, " -- ") || !strings.Contains(info.Cmdline, os.Args[1]) {
		t.Errorf("command line %q does not hold the arguments %q", info.Cmdline, os.Args[1:])
	}
	if info.Stage.Size() < 8<<20 || !info.Stage.Start.Aligned(phys.PageSize) {
		t.Errorf("stage at %v", info.Stage)
	}
	if info.ZeroPage == 0 || info.Stage.Contains(phys.Range{Start: info.ZeroPage, End: info.ZeroPage + 1}) {
		t.Errorf("zero page at %v, stage at %v", info.ZeroPage, info.Stage)
	}
}

func TestConsoleTakesWholeWrites(t *testing.T) {
	const line = "written to the console by a test\n"
	if n, err := fmt.Fprint(amd64.Console{}, line); n != len(line) || err != nil {
		t.Errorf("wrote %d bytes, %v; want %d", n, err, len(line))
	}
	if n, err := (amd64.Console{}).Write(nil); n != 0 || err != nil {
		t.Errorf("writing nothing: %d, %v", n, err)
	}
}

func TestRandomBytesAreBalanced(t *testing.T) {
	b := make([]byte, 64<<10)
	amd64.Random(b)
	ones := 0
	for _, v := range b {
		for ; v != 0; v &= v - 1 {
			ones++
		}
	}
	if total := len(b) * 8; ones < total*49/100 || ones > total*51/100 {
		t.Errorf("%d of %d random bits are set", ones, total)
	}
}

// TestLoaderSeedGoesIntoTheKey: all of it, wherever in the list it stands.
func TestLoaderSeedGoesIntoTheKey(t *testing.T) {
	const page, node = phys.Addr(0x1500_0000), 0xd00
	b, err := amd64.Memory().Edit(page, phys.PageSize)
	if err != nil {
		t.Fatal(err)
	}
	for _, seeds := range [][]string{{""}, {"a"}, {"a seed of the loader, of some length that is no multiple of eight"}, {"two", "seeds"}} {
		clear(b)
		link := b[0x250:]
		for i, seed := range seeds {
			at := node + i*0x100
			binary.LittleEndian.PutUint64(link, uint64(page)+uint64(at))
			link = b[at:]
			binary.LittleEndian.PutUint32(link[8:], 9)
			binary.LittleEndian.PutUint32(link[12:], uint32(copy(link[16:], seed)))
		}
		var got []byte
		for _, w := range kernel.PoolOf(uint64(page)) {
			got = binary.BigEndian.AppendUint32(got, w)
		}
		if want := sha256.Sum256([]byte(strings.Join(seeds, ""))); !bytes.Equal(got, want[:]) {
			t.Errorf("%q: the pool's hash is %x, want %x", seeds, got, want)
		}
	}
}

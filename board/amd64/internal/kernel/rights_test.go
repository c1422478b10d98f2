//go:build metal

package kernel_test

import (
	"os"
	"runtime/debug"
	"testing"
	"unsafe"

	"ferry/board/amd64"
	"ferry/board/amd64/internal/kernel"
	"ferry/phys"
)

// opened are the pages of the direct map that could be written before any test
// asked for one.
var opened []leaf

func TestMain(m *testing.M) {
	leaves(func(l leaf) {
		if l.write && inDirectMap(l.va) {
			opened = append(opened, l)
		}
	}, func(uint64) {})
	os.Exit(m.Run())
}

func inDirectMap(va uint64) bool { return va >= kernel.DirectMap && va < kernel.MachineBase }

func TestDirectMapIsReadOnlyUntilItIsEdited(t *testing.T) {
	for _, l := range opened {
		t.Errorf("%#x bytes at %#x were writable from the start", l.size, l.pa)
	}
}

// TestNoPageIsWritableAndExecutable looks at physical pages: what is executable at
// one address is writable at none.
func TestNoPageIsWritableAndExecutable(t *testing.T) {
	if !hasNX() {
		t.Skip("this processor executes whatever it can read")
	}
	var written, executed phys.Ranges
	leaves(func(l leaf) {
		r := phys.Range{Start: phys.Addr(l.pa), End: phys.Addr(l.pa + l.size)}
		if l.write {
			written = append(written, r)
		}
		if l.execute {
			executed = append(executed, r)
		}
	}, func(uint64) {})
	written, executed = phys.NewRanges(written...), phys.NewRanges(executed...)
	if len(written) == 0 || executed.Size() < 1<<19 {
		t.Fatalf("%d bytes are writable, %d executable: the walk looks at the wrong thing", written.Size(), executed.Size())
	}
	if rest := executed.Sub(written...); rest.Size() != executed.Size() {
		t.Errorf("of %v executable, only %v cannot be written", executed, rest)
	}
}

// TestConstantsAreWritableNowhere looks for the image's read-only segments.
func TestConstantsAreWritableNowhere(t *testing.T) {
	load := uint64(amd64.Boot().Stage.Start)
	var constant phys.Ranges
	for i := range kernel.SegmentCount() {
		if s := kernel.SegmentAt(i); s.Flags&kernel.SegmentWrite == 0 {
			constant = append(constant, phys.Range{Start: phys.Addr(load + s.Start - kernel.ImageBase()), End: phys.Addr(load + s.FileEnd - kernel.ImageBase())})
		}
	}
	if len(constant) < 2 {
		t.Fatalf("read-only: %v, want text and constants", constant)
	}
	leaves(func(l leaf) {
		if r := (phys.Range{Start: phys.Addr(l.pa), End: phys.Addr(l.pa + l.size)}); l.write && len(constant.Sub(r)) > 0 && constant.Sub(r).Size() != phys.NewRanges(constant...).Size() {
			t.Errorf("%v is writable at %#x", r, l.va)
		}
	}, func(uint64) {})
}

// TestPageTablesAreWritableInOnePlace: nothing but the board's own view of its pages
// can change them.
func TestPageTablesAreWritableInOnePlace(t *testing.T) {
	tables := map[uint64]int{}
	leaves(func(leaf) {}, func(pa uint64) { tables[pa] = 0 })
	leaves(func(l leaf) {
		if !l.write {
			return
		}
		for pa := l.pa; pa < l.pa+l.size; pa += amd64.PageSize {
			if n, ok := tables[pa]; ok {
				tables[pa] = n + 1
				if l.va+pa-l.pa != kernel.FrameAddress(pa) {
					t.Errorf("the page table at %#x is writable at %#x", pa, l.va)
				}
			}
		}
	}, func(uint64) {})
	for pa, n := range tables {
		if n != 1 {
			t.Errorf("the page table at %#x is writable in %d places, want 1", pa, n)
		}
	}
}

func TestOwnMemoryHasUnmappedNeighbours(t *testing.T) {
	for _, o := range kernel.Own {
		if kernel.Leaf(o.Start) == 0 || kernel.Leaf(o.Start+o.Size-8) == 0 {
			t.Errorf("%s is not mapped", o.Name)
		}
		if kernel.Leaf(o.Start-8) != 0 || kernel.Leaf(o.Start+o.Size) != 0 {
			t.Errorf("%s has mapped neighbours", o.Name)
		}
	}
}

func hasNX() bool {
	_, _, _, d := kernel.CPUID(0x8000_0001, 0)
	return d&(1<<20) != 0
}

const ret = 0xc3 // the instruction

var (
	constant = "in read-only data: " + string(rune('x'))
	variable = [64]byte{0: ret}
)

// TestForbiddenAccessesFault tries each of them.
func TestForbiddenAccessesFault(t *testing.T) {
	ram := uint64(0x1400_0000) // nobody edits it
	load := uint64(amd64.Boot().Stage.Start)
	inStage := func(va uint64) uint64 { return kernel.DirectMap + load + va - kernel.ImageBase() }
	root, _ := kernel.PageTables()
	text := **(**uint64)(unsafe.Pointer(&function))
	heap := make([]byte, 1<<16)
	heap[0] = ret
	var stack [64]byte
	stack[0] = ret
	at := func(p *byte) uint64 { return uint64(uintptr(unsafe.Pointer(p))) }

	for _, c := range []struct {
		name   string
		access func(uint64)
		at     uint64
	}{
		{"write text", write, text},
		{"write text in the direct map", write, inStage(text)},
		{"write constants", write, at(unsafe.StringData(constant))},
		{"write constants in the direct map", write, inStage(at(unsafe.StringData(constant)))},
		{"write own data in the direct map", write, inStage(at(&variable[0]))},
		{"write memory that nobody opened", write, kernel.DirectMap + ram},
		{"write the first page of memory", write, kernel.DirectMap},
		{"write a page table", write, kernel.DirectMap + root + 511*8},
		{"read page 0", read, 0},
		{"read the end of page 0", read, 0xfff},
		{"write page 0", write, 0},
		{"read the header page", read, kernel.ImageBase()},
		{"read past all memory", read, kernel.DirectMap + 1<<45},
		{"execute page 0", execute, 0},
		{"execute the heap", execute, at(&heap[0])},
		{"execute a stack", execute, at(&stack[0])},
		{"execute data", execute, at(&variable[0])},
		{"execute constants", execute, at(unsafe.StringData(constant))},
		{"execute the direct map", execute, kernel.DirectMap + ram},
		{"execute text in the direct map", execute, inStage(text)},
		{"execute the board's memory", execute, kernel.MachineBase},
		{"execute the pages of page tables", execute, kernel.FrameAddress(root)},
		{"execute the departure page", execute, kernel.Own[len(kernel.Own)-1].Start},
	} {
		if c.at < 0x1000 || hasNX() || !isExecute(c.name) {
			if !faultsAt(c.access, c.at) {
				t.Errorf("%s at %#x: no fault", c.name, c.at)
			}
		}
	}
	for _, o := range kernel.Own {
		for _, a := range []uint64{o.Start - 8, o.Start + o.Size} {
			if !faultsAt(write, a) {
				t.Errorf("write next to %s at %#x: no fault", o.Name, a)
			}
		}
	}

	// And that a fault is not all that the accesses can do.
	for _, c := range []struct {
		name   string
		access func(uint64)
		at     uint64
	}{
		{"write the heap", write, at(&heap[8])},
		{"read text", read, text},
		{"read the direct map", read, kernel.DirectMap + ram},
		{"execute text", execute, text},
	} {
		if faultsAt(c.access, c.at) {
			t.Errorf("%s at %#x: a fault", c.name, c.at)
		}
	}
	if stack[0] != ret || variable[0] != ret {
		t.Error("what must not be written was")
	}
}

func isExecute(name string) bool { return len(name) > 7 && name[:7] == "execute" }

var function = nothing

//go:noinline
func nothing() {}

func write(a uint64) { **(**byte)(unsafe.Pointer(&a)) = ret }

var sink byte

func read(a uint64) { sink += **(**byte)(unsafe.Pointer(&a)) }

func execute(a uint64) {
	code := &a // what a func value points to
	f := *(*func())(unsafe.Pointer(&code))
	f()
}

// faultsAt reports whether an access faults.
func faultsAt(access func(uint64), a uint64) (faulted bool) {
	defer debug.SetPanicOnFault(debug.SetPanicOnFault(true))
	defer func() { faulted = recover() != nil }()
	access(a)
	return false
}

// TestProcessorIsToldToProtect: what it has is on.
func TestProcessorIsToldToProtect(t *testing.T) {
	_, _, _, d1 := kernel.CPUID(1, 0)
	var b7, c7 uint32
	if top, _, _, _ := kernel.CPUID(0, 0); top >= 7 {
		_, b7, c7, _ = kernel.CPUID(7, 0)
	}
	cr0, cr4 := kernel.ControlRegisters()
	if cr0&(1<<16) == 0 {
		t.Errorf("CR0 is %#x: write protection is off", cr0)
	}
	for _, c := range []struct {
		name string
		has  bool
		bit  uint
	}{
		{"machine checks", d1>>7&1 != 0, 6},
		{"UMIP", c7>>2&1 != 0, 11},
		{"SMEP", b7>>7&1 != 0, 20},
		{"SMAP", b7>>20&1 != 0, 21},
	} {
		if on := cr4>>c.bit&1 != 0; on != c.has {
			t.Errorf("%s: the processor has it %v, on %v", c.name, c.has, on)
		}
	}
}

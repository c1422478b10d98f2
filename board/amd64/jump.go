package amd64

import (
	"fmt"

	"ferry/phys"
)

// Jump starts the next kernel by the 64-bit boot protocol, in the state that
// kexec leaves: interrupts off, identity page tables of large pages over all RAM and
// ACPI memory (page 0 among it), LA57 as it is, flat segments, RSI = zeroPage, all
// other registers 0 but RSP. entry is the kernel's 64-bit entry point.
//
// The LAPIC is as it was found, but for its timer, which is stopped and masked.
// Other devices are not put back: the two 8259s have vectors 0x20 to 0x2f and every
// input masked, the interval timer's channel 0 counts from 65536 in mode 2, and the
// console's port is at 8N1 without interrupts.
//
// Before the next kernel's first instruction, all memory of the stage that a Go
// program may have written to is zeroed: data, heap, stacks, and the board's own.
// So are the ranges to wipe, which must be RAM outside the stage and at most 32:
// what held secrets and the next kernel does not need.
//
// It returns only where it fails, which is before anything changed: with an
// [*phys.Error] wrapping [phys.ErrNotRAM] for a place outside RAM, or where the
// stage's memory does not suffice for the page tables. Until the very jump, a
// fallback stays in force.
//
// The page tables, the segment table and RSP lie in the stage's memory, and the
// last instructions run there: the next kernel must not write to it before it has
// its own. Nothing else may run any more: other threads stop where they are.
func Jump(entry, zeroPage phys.Addr, wipe ...phys.Range) error {
	if err := checkTarget(entry, zeroPage, wipe); err != nil {
		return err
	}
	mach.next.set(entry, zeroPage, wipe)
	if !readyJump() {
		return noTables(zeroPage)
	}
	leave()
	return nil
}

// maxWipes bounds the ranges that are zeroed for one jump.
const maxWipes = 32

// target is a kernel to start.
type target struct {
	entry, zeroPage uint64
	wipes           [maxWipes][2]uint64 // address, bytes
	wipeCount       uint64
}

// set takes over what checkTarget has checked.
func (t *target) set(entry, zeroPage phys.Addr, wipe []phys.Range) {
	t.entry, t.zeroPage, t.wipeCount = uint64(entry), uint64(zeroPage), 0
	for _, r := range wipe {
		t.wipes[t.wipeCount] = [2]uint64{uint64(r.Start), r.Size()}
		t.wipeCount++
	}
}

// checkTarget proves that a kernel can be started at a place, as far as the board
// can tell.
func checkTarget(entry, zeroPage phys.Addr, wipe []phys.Range) error {
	ram := RAM()
	if err := phys.Check(ram, entry, 1); err != nil {
		return phys.In("entry of the next kernel", entry, err)
	}
	if err := phys.Check(ram, zeroPage, phys.PageSize); err != nil {
		return phys.In("zero page of the next kernel", zeroPage, err)
	}
	if len(wipe) > maxWipes {
		return &phys.Error{Object: "memory to wipe", Addr: wipe[maxWipes].Start, Found: fmt.Sprintf("%d ranges", len(wipe)),
			Want: fmt.Sprintf("at most %d", maxWipes)}
	}
	for _, r := range wipe {
		if err := phys.Check(ram, r.Start, r.Size()); err != nil {
			return phys.In("memory to wipe", r.Start, err)
		}
		for _, keep := range []phys.Range{Boot().Stage, {Start: entry, End: entry + 1}, {Start: zeroPage, End: zeroPage + phys.PageSize}} {
			if r.Overlaps(keep) {
				return &phys.Error{Object: "memory to wipe", Addr: r.Start, Found: r.String(), Want: "a range apart from " + keep.String()}
			}
		}
	}
	return nil
}

func noTables(at phys.Addr) error {
	return &phys.Error{Object: "page tables for the next kernel", Addr: at,
		Found: "no page left of the stage's memory", Hint: "link the image with a larger init_size"}
}

// leave switches to the kernel stack and departs for the next kernel.
func leave()

// readyJump calls buildJump on the kernel stack.
func readyJump() bool

// buildJump builds the page tables for the jump, where that is not done. It runs
// on the kernel stack with interrupts off.
func buildJump() bool {
	m := mach
	if m.jumpCR3 != 0 {
		return true
	}
	// Fresh pages alone, so that they are one piece, which is not to be wiped.
	free := m.frameFree
	m.frameFree = 0
	own, first := m.cr3, m.frameNext
	m.cr3 = m.frame()
	ok := m.cr3 != 0 && m.identity() && m.span(departBase, m.departPage(), PageSize, PTEPresent, level4K)
	m.jumpCR3, m.cr3 = m.cr3, own
	m.frameFree = free
	m.jumpFrames, m.jumpEnd = first, m.frameNext
	if !ok {
		m.jumpCR3 = 0
		for pa := first; pa < m.jumpEnd; pa += PageSize {
			m.freeFrame(pa)
		}
		m.jumpFrames = m.jumpEnd
	}
	return ok
}

// identity maps RAM and ACPI memory where it stands, in whole 2 MiB pages, and
// where a range fills them and nothing smaller is there, in 1 GiB pages: as kexec
// does, and in a page of tables for each 512 GiB.
func (m *machine) identity() bool {
	step := levelSize(level2M)
	for i := uint64(0); i < m.regions; i++ {
		e := &m.e820[i&(maxRegions-1)]
		if e.kind != E820RAM && e.kind != E820ACPI && e.kind != E820NVS {
			continue
		}
		if !m.identical(e.addr&^(step-1), (e.addr+e.size+step-1)&^(step-1)) {
			return false
		}
	}
	return m.identical(0, step)
}

// identical maps the physical range, of whole 2 MiB pages, where it stands, as far
// as the direct map reaches.
func (m *machine) identical(start, end uint64) bool {
	if end > directEnd {
		end = directEnd
	}
	large := levelSize(level1G)
	for start < end {
		stop := (start + large) &^ (large - 1)
		if stop > end {
			stop = end
		}
		level := uint64(level2M)
		if m.gigabyte != 0 && stop-start == large {
			a := m.entry(start, level1G, true)
			if a == 0 {
				return false
			}
			if *word(a) == 0 {
				level = level1G
			}
		}
		if !m.span(start, start, stop-start, PTEPresent|PTEWrite, level) {
			return false
		}
		start = stop
	}
	return true
}

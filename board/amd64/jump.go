package amd64

import (
	"fmt"

	"ferry/board/amd64/internal/kernel"
	"ferry/board/record"
	"ferry/phys"
)

// Jump starts the next kernel by the 64-bit boot protocol, in the state that
// kexec leaves: interrupts off, identity page tables of large pages over all RAM and
// ACPI memory (page 0 among it), LA57 as it is, flat segments, RSI = zeroPage, all
// other registers 0 but RSP. entry is the kernel's 64-bit entry point.
//
// The LAPIC is as it was found, except for its timer, which is stopped and masked.
// Other devices are not put back: the two 8259s have vectors 0x20 to 0x2f and every
// input masked, the interval timer's channel 0 counts from 65536 in mode 2, and the
// console's port is at 8N1 without interrupts.
//
// Before the next kernel's first instruction, all memory of the stage that a Go
// program may have written to is zeroed: data, heap, stacks, and the board's own.
// So are the ranges to wipe, which must be RAM outside the stage and at most 32:
// what held secrets and the next kernel does not need.
//
// It returns only if it fails, which is before anything changed: with an
// [*phys.Error] wrapping [phys.ErrNotRAM] for a place outside RAM, or if the
// stage's memory does not suffice for the page tables. Until the very jump, a
// fallback stays in force.
//
// The page tables, the segment table and RSP are in the stage's memory, and the
// last instructions run there: the next kernel must not write to it before it has
// its own. Nothing else may run any more: other threads stop where they are.
func Jump(entry, zeroPage phys.Addr, wipe ...phys.Range) error {
	t, err := target(entry, zeroPage, wipe)
	if err != nil {
		return err
	}
	if !kernel.ReadyJump() {
		return noTables(zeroPage)
	}
	kernel.Jump(t)
	return nil
}

// SetFallback names the kernel that is started, in the state that [Jump] describes,
// if the run ends in any other way than by Jump: its 64-bit entry and its zero
// page, which must be whole by now. wipe is as for Jump. The console calls it name,
// of which 63 bytes are kept. All that the start takes is made ready here, so that
// it needs no memory then. It replaces the fallback before; if it fails, with the
// errors of Jump, there is none.
func SetFallback(name string, entry, zeroPage phys.Addr, wipe ...phys.Range) error {
	kernel.ClearFallback()
	t, err := target(entry, zeroPage, wipe)
	if err != nil {
		return err
	}
	if !kernel.ReadyJump() {
		return noTables(zeroPage)
	}
	kernel.SetFallback(name, t)
	return nil
}

// ClearFallback makes the machine halt, its memory as it is, if the run ends in any
// other way than by [Jump]: as it does before the first [SetFallback]. What a later
// Jump takes is made ready here too, while there is memory.
func ClearFallback() {
	kernel.ClearFallback()
	kernel.ReadyJump()
}

// SetStep names the part of the work that begins now, for a report of its failure:
// 31 bytes at most are kept.
func SetStep(name string) { kernel.SetStep(name) }

// SetFailure keeps what the program failed over in the record of the run.
func SetFailure(f record.Failure) { kernel.SetFailure(f) }

// Exit ends the run of the Go program. If a fallback is set, it is started,
// whatever the code: the program had to start a kernel, and did not. Else
// QEMU's debug exit device takes the exit code, and a machine without one halts.
// Codes above 63 are reported as 63.
func Exit(code int) { kernel.Exit(code) }

// Reset restarts the machine: through the chipset's reset register, the keyboard
// controller, or a triple fault.
func Reset() { kernel.Reset() }

// target proves that a kernel can be started at a place, as far as the board
// knows.
func target(entry, zeroPage phys.Addr, wipe []phys.Range) (*kernel.Target, error) {
	ram := RAM()
	if err := phys.Check(ram, entry, 1); err != nil {
		return nil, phys.In("entry of the next kernel", entry, err)
	}
	if err := phys.Check(ram, zeroPage, phys.PageSize); err != nil {
		return nil, phys.In("zero page of the next kernel", zeroPage, err)
	}
	if len(wipe) > kernel.MaxWipes {
		return nil, &phys.Error{Object: "memory to wipe", Addr: wipe[kernel.MaxWipes].Start, Found: fmt.Sprintf("%d ranges", len(wipe)),
			Want: fmt.Sprintf("at most %d", kernel.MaxWipes)}
	}
	t := &kernel.Target{Entry: uint64(entry), ZeroPage: uint64(zeroPage)}
	for i, r := range wipe {
		if err := phys.Check(ram, r.Start, r.Size()); err != nil {
			return nil, phys.In("memory to wipe", r.Start, err)
		}
		for _, keep := range []phys.Range{Boot().Stage, {Start: entry, End: entry + 1}, {Start: zeroPage, End: zeroPage + phys.PageSize}} {
			if r.Overlaps(keep) {
				return nil, &phys.Error{Object: "memory to wipe", Addr: r.Start, Found: r.String(), Want: "a range apart from " + keep.String()}
			}
		}
		t.Wipes[i] = [2]uint64{uint64(r.Start), r.Size()}
		t.WipeCount++
	}
	return t, nil
}

func noTables(at phys.Addr) error {
	return &phys.Error{Object: "page tables for the next kernel", Addr: at,
		Found: "no page left of the stage's memory", Hint: "link the image with a larger init_size"}
}

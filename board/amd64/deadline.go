package amd64

import (
	"time"

	"ferry/board/record"
)

// The deadline is kept by the local APIC's timer, and where there is none by the
// interval timer (PIT), which interrupts 18 times a second through the first 8259.

// SetDeadline says by when the run must have ended by [Jump]: d from now on, at
// any time for a d of 0. A run that takes longer ends as for any other failure,
// even where the Go program makes no system calls any more. It reports false on a
// machine without a timer that interrupts: there the deadline is looked at only
// when the program makes a system call.
//
// What is not watched in any machine is code that runs with interrupts off: the
// board's and the kernel's own, which is bounded.
func SetDeadline(d time.Duration) bool {
	enabled := disableInterrupts()
	ok := mach.setDeadline(d)
	if enabled {
		enableInterrupts()
	}
	return ok
}

func (m *machine) setDeadline(d time.Duration) bool {
	m.deadline = 0
	if d > 0 {
		m.deadline = uint64(Nanotime() + int64(d))
	}
	if m.lapicBase != 0 {
		return SetTimer(int64(m.armed))
	}
	if d <= 0 {
		m.stopPIT()
		return true
	}
	return m.startPIT()
}

const (
	pic1Command = 0x20
	pic1Mask    = 0x21
	pic1EOI     = 0x20
	vectorPIT   = 0x20 // input 0 of the first 8259, see maskPIC
)

// startPIT makes the interval timer interrupt. It reports false where that timer
// stands still or is missing.
func (m *machine) startPIT() bool {
	if m.ticking != 0 {
		return true
	}
	m.refined = 1 // what Refine would measure ends here
	startPITCounter()
	first := pitRead()
	for range 10_000 {
		if r := pitRead(); r.count != first.count && (r.count-first.count)&pitMask < pitMask/2 {
			m.ticking = 1
			out8(pic1Mask, 0xfe)
			return true
		}
	}
	return false
}

// stopPIT masks the interval timer again.
func (m *machine) stopPIT() {
	if m.ticking != 0 {
		m.ticking = 0
		out8(pic1Mask, 0xff)
	}
}

// late ends the run where the deadline has passed.
func (m *machine) late(c *Context) {
	if m.deadline != 0 && m.deadline <= uint64(Nanotime()) {
		m.deadline = 0
		end(c, record.CauseDeadline, exitFatal, "the time that was set is up")
	}
}

// Interrupt acknowledges the device interrupt that came when the processor was as
// c says, and ends the run where the deadline has passed.
func Interrupt(c *Context) {
	m := mach
	EndOfInterrupt(c.Vector)
	m.late(c)
	if m.deadline != 0 && c.Vector == VectorTimer {
		SetTimer(0)
	}
}

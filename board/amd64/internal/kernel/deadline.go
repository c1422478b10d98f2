package kernel

import "ferry/board/record"

// The deadline is kept by the local APIC's timer, or without one by the
// interval timer (PIT), which interrupts 18 times a second through the first 8259.

// deadline is when the run must be over.
type deadline struct {
	at      uint64 // Nanotime; 0: none
	ticking uint64 // not 0: the interval timer interrupts
}

// SetDeadline sets when the run must have ended, in nanoseconds from now on; 0 is
// never. It reports false on a machine without a timer that interrupts.
func SetDeadline(d int64) bool {
	enabled := disableInterrupts()
	ok := mach.setDeadline(d)
	if enabled {
		enableInterrupts()
	}
	return ok
}

func (m *machine) setDeadline(d int64) bool {
	m.deadline.at = 0
	if d > 0 {
		m.deadline.at = uint64(Nanotime() + d)
	}
	if m.lapic.base != 0 {
		return SetTimer(int64(m.lapic.armed))
	}
	if d <= 0 {
		m.deadline.stopPIT()
		return true
	}
	m.clock.refined = 1 // what Refine would measure ends here
	return m.deadline.startPIT()
}

const (
	pic1Command = 0x20
	pic1Mask    = 0x21
	pic1EOI     = 0x20
	vectorPIT   = 0x20 // input 0 of the first 8259, see maskPIC
)

// startPIT makes the interval timer interrupt. It reports false if that timer
// has stopped or is missing.
func (d *deadline) startPIT() bool {
	if d.ticking != 0 {
		return true
	}
	startPITCounter()
	first := pitRead()
	for range 10_000 {
		if r := pitRead(); r.count != first.count && (r.count-first.count)&pitMask < pitMask/2 {
			d.ticking = 1
			out8(pic1Mask, 0xfe)
			return true
		}
	}
	return false
}

// stopPIT masks the interval timer again.
func (d *deadline) stopPIT() {
	if d.ticking != 0 {
		d.ticking = 0
		out8(pic1Mask, 0xff)
	}
}

// checkDeadline ends the run if the deadline has passed.
func (m *machine) checkDeadline(c *Context) {
	if m.deadline.at != 0 && m.deadline.at <= uint64(Nanotime()) {
		m.deadline.at = 0
		end(c, record.CauseDeadline, exitFatal, "the time that was set is up")
	}
}

// Interrupt acknowledges the device interrupt that arrived when the processor was as
// c says, and ends the run if the deadline has passed.
func Interrupt(c *Context) {
	m := mach
	EndOfInterrupt(c.Vector)
	m.checkDeadline(c)
	if m.deadline.at != 0 && c.Vector == VectorTimer {
		SetTimer(0)
	}
}

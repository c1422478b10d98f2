package kernel

import "ferry/board/record"

// The deadline is kept by the local APIC's timer, and where there is none by the
// interval timer (PIT), which interrupts 18 times a second through the first 8259.

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
	m.deadline = 0
	if d > 0 {
		m.deadline = uint64(Nanotime() + d)
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

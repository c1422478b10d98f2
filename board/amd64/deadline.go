package amd64

import (
	"time"

	"ferry/board/record"
)

// SetDeadline says by when the run must have ended by [Jump]: d from now on, at
// any time for a d of 0. A run that takes longer ends as for any other failure,
// even where the Go program makes no system calls any more. It reports false on a
// machine without a timer, where nothing is watched.
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
	return SetTimer(int64(m.armed))
}

// Interrupt acknowledges the device interrupt that came when the processor was as
// c says, and ends the run where the deadline has passed.
func Interrupt(c *Context) {
	m := mach
	EndOfInterrupt(c.Vector)
	if m.deadline == 0 {
		return
	}
	if m.deadline <= uint64(Nanotime()) {
		m.deadline = 0
		end(c, record.CauseDeadline, exitFatal, "the time that was set is up")
	}
	if c.Vector == VectorTimer {
		SetTimer(0)
	}
}

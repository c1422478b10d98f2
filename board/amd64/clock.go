package amd64

import (
	"time"

	"ferry/board/amd64/internal/kernel"
)

// Clock returns the frequency of the time stamp counter in Hz and how it is known.
func Clock() (hz uint64, source string) { return kernel.Clock() }

// Nanotime returns nanoseconds since the board was set up. It never goes back.
func Nanotime() int64 { return kernel.Nanotime() }

// TSC returns the time stamp counter.
func TSC() uint64 { return kernel.TSC() }

// EntryTSC returns the time stamp counter at the image's first instructions.
func EntryTSC() uint64 { return kernel.EntryTSC() }

// SetDeadline says by when the run must have ended by [Jump]: d from now on, at
// any time for a d of 0. A run that takes longer ends as for any other failure,
// even if the Go program makes no system calls any more. It reports false on a
// machine without a timer that interrupts: there the deadline is looked at only
// when the program makes a system call.
//
// What is not watched in any machine is code that runs with interrupts off: the
// board's and the kernel's own, which is bounded.
func SetDeadline(d time.Duration) bool { return kernel.SetDeadline(int64(d)) }

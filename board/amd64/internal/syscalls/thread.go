package syscalls

import (
	"unsafe"

	"ferry/board/amd64/internal/kernel"
)

// maxThreads bounds the threads. The Go runtime starts one for each goroutine
// that is locked to a thread or sits in a system call, and a few of its own.
const maxThreads = 64

// timeSlice is how long a thread runs while others want to, in nanoseconds.
const timeSlice = 10_000_000

// flagsUser is RFLAGS of a new thread: interrupts on.
const flagsUser = 0x202

// forever is the deadline of a wait without timeout.
const forever = 1<<63 - 1

// States of a thread.
const (
	threadFree = iota
	threadRuns // runs or may run
	threadSleeps
	threadWaitsFutex
	threadWaitsEvents
	threadWaitsPipe
)

// thread is one thread of the Go program. Its size is a multiple of 64, which the
// context's alignment needs.
type thread struct {
	ctx      kernel.Context
	state    uint64
	tid      uint64
	deadline int64  // Nanotime at which a wait ends by itself, or forever
	futex    uint64 // address that a futex wait is about; which pipe a pipe wait is
	events   uint64 // where an event wait puts its event

	pending, blocked      uint64 // signals, bit n-1 for signal n
	stackStart, stackSize uint64 // alternate signal stack
	call                  uint64 // number of the system call that it is in
	_                     [6]uint64
}

const _ = -(unsafe.Sizeof(thread{}) % 64) // must be 0: a negative constant does not fit uintptr

// schedule chooses the thread that continues: the current one, if it can and
// nothing is against it, else the next that can. If none can, it idles.
func schedule(preempt bool) {
	cur := k.current & (maxThreads - 1)
	for {
		first := wakeSleepers()
		if k.threads[cur].state == threadRuns && !preempt {
			setDeadline(first)
			break
		}
		if next := nextThread(cur); next < maxThreads {
			if next != cur || kernel.Nanotime() >= k.slice {
				k.slice = kernel.Nanotime() + timeSlice
			}
			k.current = next
			setDeadline(first)
			break
		}
		if first == forever {
			kernel.FatalKernel(&k.threads[cur].ctx, "deadlock: every thread waits for another")
		}
		idle(first)
	}
	t := &k.threads[k.current&(maxThreads-1)]
	kernel.SetCurrent(&t.ctx)
	deliver(t)
}

// nextThread returns the next thread after cur that may run, cur itself last.
func nextThread(cur uint64) uint64 {
	for range k.threadEnd {
		if cur++; cur >= k.threadEnd {
			cur = 0
		}
		if threadAt(cur).state == threadRuns {
			return cur
		}
	}
	return maxThreads
}

// threadAt returns thread i; i must be below threadEnd.
func threadAt(i uint64) *thread { return &k.threads[i&(maxThreads-1)] }

// wakeSleepers ends the waits whose time has come. It returns the first deadline
// of those that go on.
func wakeSleepers() (first int64) {
	first = forever
	now := int64(0)
	for i := range k.threadEnd {
		t := threadAt(i)
		if t.state < threadSleeps || t.deadline == forever {
			continue
		}
		if now == 0 {
			now = kernel.Nanotime()
		}
		if t.deadline > now {
			first = min(first, t.deadline)
			continue
		}
		result := uint64(0)
		if t.state == threadWaitsFutex {
			result = fail(eTIMEDOUT)
		}
		wake(t, result)
	}
	return first
}

// wake lets a waiting thread go on, its system call returning result.
func wake(t *thread, result uint64) {
	t.state = threadRuns
	t.ctx.RAX = result
}

// setDeadline arms the timer for the first of: the next sleeper's end, and the
// end of the time slice if another thread could use it.
func setDeadline(first int64) {
	if first != forever || k.threadEnd > 1 {
		running := 0
		for i := range k.threadEnd {
			if threadAt(i).state == threadRuns {
				running++
			}
		}
		if running > 1 {
			first = min(first, k.slice)
		}
	}
	if first == forever {
		first = 0
	}
	kernel.SetTimer(first)
}

// idle waits for the deadline or an interrupt.
func idle(until int64) {
	if kernel.SetTimer(until) {
		kernel.Idle()
		kernel.Refine()
	}
}

// block puts the current thread into a waiting state until a time.
func block(t *thread, state uint64, until int64) {
	t.state, t.deadline = state, until
}

// sysClone serves clone: a new thread that starts where its parent called, with
// 0 as the result, on its own stack.
func sysClone(t *thread, flags, stack, tls uint64) uint64 {
	const wanted = cloneVM | cloneThread
	if flags&wanted != wanted || stack == 0 {
		return fail(eINVAL)
	}
	for i := range k.threads {
		n := &k.threads[i]
		if n.state != threadFree {
			continue
		}
		kernel.Copy(uintptr(address(&n.ctx.RAX)), uintptr(address(&t.ctx.RAX)), contextGeneral)
		n.ctx.HaveFPU = 0
		n.ctx.RAX = 0
		n.ctx.RSP = stack
		if flags&cloneSetTLS != 0 {
			n.ctx.FSBase = tls
		}
		k.lastTID++
		n.tid = k.lastTID
		n.blocked, n.pending = t.blocked, 0
		n.stackStart, n.stackSize = 0, 0
		n.state = threadRuns
		k.threadEnd = max(k.threadEnd, uint64(i)+1)
		return n.tid
	}
	kernel.Print("ferry: more threads than the kernel has room for\n")
	return fail(eAGAIN)
}

// Flags of clone, linux/sched.h.
const (
	cloneVM     = 0x100
	cloneThread = 0x10000
	cloneSetTLS = 0x80000
)

// contextGeneral is the part of a context before the FPU state, in bytes.
const contextGeneral = 256

// sysFutex serves FUTEX_WAIT and FUTEX_WAKE.
func sysFutex(t *thread, a, op, val, timeout uint64) uint64 {
	const opMask, wait, wakeOp = 0x7f, 0, 1
	switch {
	case a&3 != 0:
		return fail(eINVAL)
	case !touch(a, 4, false):
		return fail(eFAULT)
	}
	switch op & opMask {
	case wait:
		until := int64(forever)
		if timeout != 0 {
			if !touch(timeout, 16, false) {
				return fail(eFAULT)
			}
			until = deadlineOf(*word(timeout), *word(timeout + 8))
		}
		if *half(a) != uint32(val) {
			return fail(eAGAIN)
		}
		t.futex = a
		block(t, threadWaitsFutex, until)
		return 0
	case wakeOp:
		n := uint64(0)
		for i := range k.threadEnd {
			if w := threadAt(i); n < uint64(uint32(val)) && w.state == threadWaitsFutex && w.futex == a {
				wake(w, 0)
				n++
			}
		}
		return n
	}
	return fail(eNOSYS)
}

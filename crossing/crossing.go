// Package crossing takes a handover from one Linux kernel to the next: it reads
// what started the stage, restores the incoming state, writes it again for
// the kernel that follows, and places that kernel. It is plain Go over
// [phys.Memory] and runs on a host as well as on metal.
//
// A crossing is a line of values, each made from the ones before it:
//
//	Started   what the stage was started with: parameters, options, payload   start.go
//	Incoming  the incoming handover, all of it proved                         incoming.go
//	Plan      every format, drop and limit of the new one, before any write   decide.go
//	Outgoing  the new handover: written, read back, compared                  outgoing.go
//
// Beside them are two that change on the way: [WayOut] knows which kernel runs
// next, whatever happens, and [Report] collects what there is to say.
//
// Everything that comes in - zero page, handover, payload - was written by
// someone else and is proved by the packages below before it is used. Ferry writes
// only to scratch: the next kernel goes there, new pages are cut off it, and one
// address, stored last, decides which of the two handovers is handed over. So every
// failure on the way leaves the old state as it was, and [Options.OnError] says what
// to do with it.
package crossing

import (
	"fmt"
	"io"
	"runtime/debug"
	"time"

	"ferry/boot"
	"ferry/phys"
)

// Machine is what a crossing runs on.
type Machine struct {
	Memory   phys.Memory
	ZeroPage phys.Addr    // of the boot protocol, as the stage was started with
	Stage    phys.Range   // the memory that this code runs in
	Nanotime func() int64 // a monotonic clock
	Random   func([]byte) // fills with entropy
	Console  io.Writer    // where the report goes

	boot.Processor
	Encryption string // what encrypts memory for the kernels only, such as "AMD SEV"; empty: nothing

	MemoryUsed func() uint64   // bytes of the stage's memory used so far; nil: unknown
	Figures    func() []string // what the machine itself reports at the end; nil: nothing

	// Trust is the area of the stage's image that says whose payloads it takes, see
	// ParseTrust of package payload; no bytes are an image without a key.
	Trust []byte

	// Watch, if it is not nil, takes over if the crossing ends without returning.
	Watch Watch
}

// Watch is what a machine does for a crossing that may end without a return from
// [Run]: by a fault in Ferry itself, out of memory, in a loop.
type Watch interface {
	// Fallback names the kernel that the machine then starts: it is placed and
	// written. nil is none: the machine halts.
	Fallback(*Jump) error
	// Deadline says how long the crossing may take from now on; 0 is any time. When
	// it has passed, the machine starts the fallback.
	Deadline(time.Duration)
	// Step names the part of the crossing that begins, for the machine's record.
	Step(name string)
	// Failed keeps the first failure, and with it what a halt is for, in the machine's
	// record.
	Failed(*Failure)
}

// Jump is where the next kernel starts.
type Jump struct {
	Name     string       // what it is, for the console: at most 63 bytes
	Entry    phys.Addr    // its 64-bit entry
	ZeroPage phys.Addr    // what RSI holds there
	Wipe     []phys.Range // memory outside the stage to clear before: it may hold secrets
}

// Run takes the handover across and places the next kernel; the caller jumps.
// It prints a report, the last line of which is the verdict. An error means that there
// is nothing to jump to: the caller halts. It wraps the reason and every failure of the report. The incoming
// handover is untouched in any case.
func Run(m *Machine) (Jump, error) {
	r := newReport(m)
	jump, err := run(m, r)
	if err != nil {
		jump, err = Jump{}, r.halt(err)
	}
	r.print(m.Console)
	return jump, err
}

// run is Run without the report. Its error is why there is no kernel to start,
// which the report may have already.
func run(m *Machine, r *Report) (Jump, error) {
	s, err := start(m, r)
	if err != nil {
		return Jump{}, err
	}
	raw, none := s.handover(r)
	w := newWayOut(s, r, raw)
	if none {
		return w.withoutHandover()
	}
	s.identify(r)
	w.prepare()
	w.setDeadline()
	if !r.failed() && s.options.Mode == Cross {
		jump, err := cross(s, w, r)
		if err == nil {
			return jump, nil
		}
		r.fail(err)
	}
	return w.rollBack()
}

// cross restores the handover, writes it again, and commits to the new one.
func cross(s *Started, w *WayOut, r *Report) (Jump, error) {
	var out Outgoing
	err := guarded(func() error {
		in, err := w.receive()
		if err != nil {
			return err
		}
		r.begin(stepSerialize)
		plan, err := decide(in.contents(), s.next.gen, s.from, s.options.BeyondLimits)
		if err != nil {
			return err
		}
		for _, n := range plan.Notes {
			r.note("%s", n)
		}
		out, err = plan.write(in, w, r)
		return err
	})
	if err != nil {
		return Jump{}, err
	}
	return w.commit(out)
}

// guarded calls work and returns a panic or a memory fault on the way as an error: a
// defect of Ferry's own ends as the policy says, like any other failure.
func guarded(work func() error) (err error) {
	defer debug.SetPanicOnFault(debug.SetPanicOnFault(true))
	defer func() {
		if r := recover(); r != nil {
			err = &defect{fmt.Sprint(r), string(debug.Stack())}
		}
	}()
	return work()
}

// defect is a panic, or a memory fault, in Ferry itself.
type defect struct{ what, stack string }

func (d *defect) Error() string { return "a defect in Ferry, please report it: " + d.what }

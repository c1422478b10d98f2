// Package record is the last page of a stage's memory: what the stage was doing, what
// it failed over, and how it ended if it did not end by starting the next kernel. It is
// for whoever looks at the memory of a halted machine, or at a dump of it.
//
// The board writes the page with nothing but stores, while it runs and when everything
// else has failed. Nothing proves what it holds: a reader treats it as untrusted. All
// numbers are little endian, addresses are physical unless they
// are registers, and reserved bytes are zero:
//
//	0x000  u64      Magic, "FERRYREC" in memory
//	0x008  u32      Version
//	0x00c  u32      Size, bytes of the record
//	0x010  u32      cause, a Cause
//	0x014  u32      failures: 0, 1, or 2 if handling the first failed
//	0x018  u32      outcome, an Outcome
//	0x01c  u32      exit code of the program, with CauseExit
//	0x020  u64      stage: its first byte; the record is in its last page
//	0x028  u64      stage: its size in bytes
//	0x030  u64      time stamp counter at the stage's first instructions
//	0x038  u64      time stamp counter when the step began
//	0x040  u64      time stamp counter at the failure
//	0x048  u64      time stamp counter's frequency in Hz
//	0x050  u64      fallback: its entry, 0 for none
//	0x058  u64      fallback: its zero page
//	0x060  [32]u8   step, its name in UTF-8, zero after it
//	0x080  [128]u8  error text in UTF-8, zero after it
//	0x100  [16]u64  RAX RBX RCX RDX RSI RDI RBP RSP R8 to R15
//	0x180  u64      RIP
//	0x188  u64      RFLAGS
//	0x190  u64      CR2
//	0x198  u64      FS base
//	0x1a0  u64      vector of the exception, with a Cause that has one
//	0x1a8  u64      its error code
//	0x1b0  [6]u64   the second failure: vector, error code, RIP, RSP, CR2, time
//	0x1e0  [16]u64  return addresses on the stack, innermost first, 0 after the last
//	0x260  u64      address of the object that the crossing failed over
//	0x268  [400]u8  what it failed over, a [Failure]: step, object, found, want and hint in
//	                UTF-8, each with a zero behind it, cut to fit; all zero: nothing failed
//	0x3f8  u64      bytes that were ever written to the console
//	0x400  [3072]u8 the last of them, byte n at n modulo 3072
package record

import (
	"bytes"
	"encoding/binary"
	"errors"
	"fmt"
	"strconv"

	"ferry/phys"
)

// What a record starts with.
const (
	Magic   = 0x4345525952524546 // "FERRYREC"
	Version = 1
	Size    = phys.PageSize
)

// Cause says how a stage ended.
type Cause uint32

// Causes. Zero is that of a stage that runs, or that something outside stopped.
const (
	CauseNone      Cause = iota
	CauseException       // the processor refused an instruction: vector and registers
	CauseExit            // the program ended itself; the error text is the Go runtime's, if it gave one
	CauseDeadline        // the time that was set is up; registers are those of the interrupted code
	CauseMemory          // the stage is out of memory
	CauseKernel          // the code below the Go program found that it cannot go on
)

func (c Cause) String() string {
	names := []string{"none", "exception", "exit", "deadline", "out of memory", "kernel"}
	if int(c) < len(names) {
		return names[c]
	}
	return fmt.Sprintf("cause %d", uint32(c))
}

// Outcome says what followed.
type Outcome uint32

// Outcomes.
const (
	OutcomeNone     Outcome = iota // nothing yet
	OutcomeFallback                // the fallback was started
	OutcomeHalted                  // the machine halted
)

func (o Outcome) String() string {
	names := []string{"running", "fallback started", "halted"}
	if int(o) < len(names) {
		return names[o]
	}
	return fmt.Sprintf("outcome %d", uint32(o))
}

// Layout is the record in memory. The board stores into it; others
// use [Decode].
type Layout struct {
	Magic         uint64
	Version, Size uint32

	Cause, Failures, Outcome, ExitCode uint32

	StageStart, StageSize           uint64
	EntryTSC, StepTSC, FailTSC, Hz  uint64
	FallbackEntry, FallbackZeroPage uint64
	Step                            [32]byte
	Text                            [128]byte
	General                         [16]uint64
	RIP, RFLAGS, CR2, FSBase        uint64
	Vector, Error                   uint64
	Second                          [6]uint64
	Stack                           [16]uint64
	FailureAddr                     uint64
	Failure                         [0x3f8 - 0x268]byte
	ConsoleBytes                    uint64
	Console                         [consoleSize]byte
}

const consoleSize = Size - 0x400

// ConsoleSize is the number of the console's last bytes that a record keeps.
const ConsoleSize = consoleSize

// Failure is what a crossing failed over. The texts after Step are those of a
// [phys.Error].
type Failure struct {
	Step              string    // what was being done
	Object            string    // path of the object, outermost first; empty: it is nothing in memory
	Addr              phys.Addr // of the object
	Found, Want, Hint string
}

// Store writes the failure into the record, cut to fit.
func (f Failure) Store(l *Layout) {
	l.FailureAddr, l.Failure = uint64(f.Addr), [len(l.Failure)]byte{}
	n := 0
	for _, text := range []string{f.Step, f.Object, f.Found, f.Want, f.Hint} {
		n = min(n+copy(l.Failure[n:len(l.Failure)-1], text)+1, len(l.Failure)-1)
	}
}

// CrossingFailure returns what the crossing failed over, false if nothing is said.
func (r *Record) CrossingFailure() (f Failure, ok bool) {
	f.Addr = phys.Addr(r.FailureAddr)
	rest := r.Failure[:]
	for _, to := range []*string{&f.Step, &f.Object, &f.Found, &f.Want, &f.Hint} {
		*to = text(rest)
		_, rest, _ = bytes.Cut(rest, []byte{0})
	}
	return f, f.Found != ""
}

// String describes the failure in one line.
func (f Failure) String() string {
	s := f.Found
	if f.Object != "" {
		s = (&phys.Error{Object: f.Object, Addr: f.Addr, Found: f.Found, Want: f.Want, Hint: f.Hint}).Error()
	}
	return strconv.Quote(s)
}

// Record is a record that was found in memory.
type Record struct {
	At phys.Addr // of the page
	Layout
}

// ErrNone is wrapped by the errors about a page that holds no record.
var ErrNone = errors.New("record: no record")

// Decode reads the page at physical address a. It refuses what cannot be the last
// page of a stage, so that copies of the image in other memory are none.
func Decode(a phys.Addr, page []byte) (*Record, error) {
	if len(page) < Size || binary.LittleEndian.Uint64(page) != Magic {
		return nil, ErrNone
	}
	r := &Record{At: a}
	if _, err := binary.Decode(page[:Size], binary.LittleEndian, &r.Layout); err != nil {
		return nil, fmt.Errorf("%w at %v: %w", ErrNone, a, err)
	}
	switch {
	case r.Version != Version || r.Size != Size:
		return nil, &phys.Error{Object: "record", Addr: a, Found: fmt.Sprintf("version %d of %d bytes", r.Version, r.Size),
			Want: fmt.Sprintf("version %d of %d", Version, Size), Err: ErrNone}
	case r.StageSize < Size || r.StageStart+r.StageSize-Size != uint64(a):
		return nil, &phys.Error{Object: "record", Addr: a, Found: fmt.Sprintf("a stage of %#x bytes at %#x", r.StageSize, r.StageStart),
			Want: "a stage that ends with this page", Err: ErrNone}
	}
	return r, nil
}

// Find returns the records in the machine's memory, in ascending order. It looks
// at the first bytes of every page.
func Find(mem phys.Memory) (found []*Record) {
	for _, r := range mem.RAM() {
		a, ok := phys.AlignUp(r.Start, phys.PageSize)
		for ; ok && a < r.End && r.End-a >= Size; a += phys.PageSize {
			head, err := mem.View(a, 8)
			if err != nil || binary.LittleEndian.Uint64(head) != Magic {
				continue
			}
			page, err := mem.View(a, Size)
			if err != nil {
				continue
			}
			if r, err := Decode(a, page); err == nil {
				found = append(found, r)
			}
		}
	}
	return found
}

// StepName returns the step that the stage was in, "" if it named none.
func (r *Record) StepName() string { return text(r.Step[:]) }

// Message returns the error text.
func (r *Record) Message() string { return text(r.Text[:]) }

func text(b []byte) string {
	if i := bytes.IndexByte(b, 0); i >= 0 {
		b = b[:i]
	}
	return string(bytes.ToValidUTF8(b, []byte("?")))
}

// LastWords returns the end of what the stage wrote to its console.
func (r *Record) LastWords() []byte {
	if r.ConsoleBytes <= consoleSize {
		return bytes.Clone(r.Console[:r.ConsoleBytes])
	}
	i := r.ConsoleBytes % consoleSize
	return append(bytes.Clone(r.Console[i:]), r.Console[:i]...)
}

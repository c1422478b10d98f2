package kernel

import "ferry/board/record"

// The end of a run that does not start the next kernel. Whatever happens - an
// exception, a panic in the Go program, the runtime's own fatal errors, memory
// that is used up, a deadline - ends in [finish], which needs nothing but the
// page tables, a stack of its own and the console: it writes a [record.Layout]
// into the stage's last page, says on the console what happened, and starts the
// fallback if [SetFallback] has named one. A failure on that way halts the machine.

// rec is the record, at its fixed virtual address: defined in entry_amd64.s.
var rec *record.Layout

// exitFatal is the exit code of a run that ended in a fatal report.
const exitFatal = 62

// msrMCGStatus says whether a machine check is being handled.
const msrMCGStatus = 0x17a

// openRecord fills in what is known from the start.
func (m *machine) openRecord() {
	zero(recordBase, PageSize)
	rec.Magic, rec.Version, rec.Size = record.Magic, record.Version, record.Size
	rec.StageStart, rec.StageSize = m.image.load, m.image.initSize
	rec.EntryTSC = m.image.entryTSC
}

// SetStep names the part of the work that begins now, for a report of its failure:
// 31 bytes at most are kept.
func SetStep(name string) {
	rec.StepTSC = tsc()
	for i := range uint64(len(rec.Step)) {
		rec.Step[i&31] = 0
		if i < 31 && i < uint64(len(name)) {
			rec.Step[i&31] = name[i]
		}
	}
}

// SetFailure keeps what the program failed over in the record of the run.
func SetFailure(f record.Failure) { f.Store(rec) }

// SetFallback sets the kernel that is started if the run ends in any other way than
// by [Jump]. [ReadyJump] must have reported true. 63 bytes of the name are kept.
func SetFallback(name string, t *Target) {
	m := mach
	m.exits.fallback = *t
	for i := range uint64(len(m.exits.fallbackName)) {
		m.exits.fallbackName[i&63] = 0
		if i < 63 && i < uint64(len(name)) {
			m.exits.fallbackName[i&63] = name[i]
		}
	}
	rec.FallbackZeroPage, rec.FallbackEntry = m.exits.fallback.ZeroPage, m.exits.fallback.Entry
	m.exits.fallbackSet = 1
}

// ClearFallback makes the machine halt if the run ends in any other way than by
// [Jump].
func ClearFallback() {
	mach.exits.fallbackSet = 0
	rec.FallbackEntry, rec.FallbackZeroPage = 0, 0
}

// Fatal prints what happened, the registers and the stack, and ends the run. It
// does not return. A program that cannot go on for a reason that is no exception
// calls it with registers that are all zero.
func Fatal(c *Context, what string) { end(c, record.CauseException, exitFatal, what) }

// FatalMemory is Fatal when memory is used up.
func FatalMemory(c *Context, what string) { end(c, record.CauseMemory, exitFatal, what) }

// FatalKernel is Fatal for what the kernel below the Go program finds wrong with
// itself, or with the program.
func FatalKernel(c *Context, what string) { end(c, record.CauseKernel, exitFatal, what) }

// Exit ends the run of the Go program. If a fallback is set, it is started,
// whatever the code: the program had to start a kernel, and did not. Else
// QEMU's debug exit device takes the exit code, and a machine
// without one halts. Codes above 63 become 63.
func Exit(code int) {
	if code < 0 || code > 63 {
		code = 63
	}
	end(nil, record.CauseExit, uint64(code), "the program ended before it started a kernel")
}

// advice ends the verdict of a machine that halts.
const advice = "; memory intact; do: dump the memory for `ferry inspect`, then restart the machine\n"

// exitRuntime is the exit code of Go's runtime after an error that nothing recovers.
const exitRuntime = 2

// end calls finish, on the kernel stack if Go code calls.
func end(c *Context, cause record.Cause, code uint64, what string) {
	if mach.traps.inKernel != 0 {
		finish(c, cause, code, what)
	}
	finishFromGo(c, cause, code, what)
}

func finishFromGo(c *Context, cause record.Cause, code uint64, what string)

// finish ends the run. It does not return.
func finish(c *Context, cause record.Cause, code uint64, what string) {
	m := mach
	if m.exits.failing != 0 {
		failTwice(c)
	}
	m.exits.failing = 1
	if cause != record.CauseExit || code != 0 || m.exits.fallbackSet != 0 {
		m.remember(c, cause, code, what)
	}
	if c != nil && c.Vector == VectorMachine {
		wrmsr(msrMCGStatus, 0) // during one, the next kernel's first would be its last
	}
	switch {
	case cause == record.CauseDeadline:
		traceStack(c, false) // for the record: it says what the program was doing
		m.printDeadline()
	case c != nil:
		Print("\nferry: fatal: ")
		Print(what)
		printStep()
		Print("\n")
		PrintContext(c)
	}
	if m.exits.fallbackSet != 0 {
		Print("ferry: ")
		if c == nil {
			Print(what)
			Print(", with exit code ")
			PrintDec(code)
			printStep()
			Print("; ")
		}
		Print("starting ")
		printBytes(m.exits.fallbackName[:])
		Print(" at ")
		PrintHex(m.exits.fallback.Entry)
		Print("\n")
		rec.Outcome = uint32(record.OutcomeFallback)
		m.exits.fallbackSet = 0
		m.depart(&m.exits.fallback)
	}
	rec.Outcome = uint32(record.OutcomeHalted)
	if cause != record.CauseExit || code == exitRuntime {
		Print("ferry: HALTED: ") // else the program has said why it ends
		Print(what)
		printStep()
		Print(advice)
	}
	endRun(code)
}

// printDeadline says that the deadline has passed: nothing is broken, so that neither
// registers nor a stack would help a reader of the console.
func (m *machine) printDeadline() {
	ms := uint64(Nanotime()) / 1_000_000
	Print("\nferry: the time is up, ")
	PrintDec(ms / 1000)
	Print(".")
	for _, digit := range [3]uint64{ms / 100, ms / 10, ms} {
		Printk('0' + byte(digit%10))
	}
	Print(" s after the start")
	printStep()
	Print("\n")
}

// printStep names the step, if there is one.
func printStep() {
	if rec.Step[0] != 0 {
		Print(", in step ")
		printBytes(rec.Step[:])
	}
}

// printBytes prints text up to its first zero byte.
func printBytes(b []byte) {
	for _, c := range b {
		if c == 0 {
			return
		}
		Printk(c)
	}
}

// remember writes the first failure into the record.
func (m *machine) remember(c *Context, cause record.Cause, code uint64, what string) {
	rec.FailTSC = tsc()
	rec.Hz = ratio(1_000_000_000<<32, m.clock.mult)
	rec.Cause = uint32(cause)
	if cause == record.CauseExit {
		rec.ExitCode = uint32(code)
	}
	for i := 0; i < len(what) && i < len(rec.Text)-1; i++ {
		rec.Text[i&127] = what[i]
	}
	rec.Failures = 1
	if c == nil {
		for i := 0; i < lineBytes && m.serial.complaint[0] != 0; i++ {
			rec.Text[i&127] = m.serial.complaint[i&127]
		}
		return
	}
	g := &rec.General
	g[0], g[1], g[2], g[3] = c.RAX, c.RBX, c.RCX, c.RDX
	g[4], g[5], g[6], g[7] = c.RSI, c.RDI, c.RBP, c.RSP
	g[8], g[9], g[10], g[11] = c.R8, c.R9, c.R10, c.R11
	g[12], g[13], g[14], g[15] = c.R12, c.R13, c.R14, c.R15
	rec.RIP, rec.RFLAGS, rec.CR2, rec.FSBase = c.RIP, c.RFLAGS, c.CR2, c.FSBase
	rec.Vector, rec.Error = c.Vector, c.Error
}

// failTwice ends the run that failed while it was ending.
func failTwice(c *Context) {
	m := mach
	if m.exits.failing++; m.exits.failing > 2 {
		Halt()
	}
	if rec.Failures++; rec.Failures == 2 && c != nil {
		s := &rec.Second
		s[0], s[1], s[2], s[3], s[4], s[5] = c.Vector, c.Error, c.RIP, c.RSP, c.CR2, tsc()
	}
	rec.Outcome = uint32(record.OutcomeHalted)
	Print("\nferry: HALTED: failed again, while it ended")
	Print(advice)
	endRun(exitFatal)
}

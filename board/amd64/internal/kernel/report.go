package kernel

// Fatal reports: what the processor was doing when nothing could go on. They are
// written with nothing but the console, a stack and the page tables.

// nestedTrap takes a trap that arrived while kernel code ran: device interrupts
// while it idles, else a fault of the kernel itself. Runs on the trap's stack.
func nestedTrap(c *Context) {
	if c.Vector >= 32 {
		Interrupt(c)
		return
	}
	if mach.ready == 0 {
		mach.serial.port.Base = com1
	}
	Fatal(c, "fault in the kernel")
}

// PrintContext prints the registers of c, and the functions on its stack as far as
// frame pointers lead.
func PrintContext(c *Context) {
	if c.Vector < 32 {
		Print(exceptionName(c.Vector))
		PrintRegister(", error code ", c.Error)
		if c.Vector == VectorPageFault {
			PrintRegister(", address ", c.CR2)
		}
		Print("\n")
	}
	PrintRegister("rip ", c.RIP)
	PrintRegister(" rsp ", c.RSP)
	PrintRegister(" rbp ", c.RBP)
	PrintRegister(" rflags ", c.RFLAGS)
	PrintRegister(" fs ", c.FSBase)
	PrintRegister("\nrax ", c.RAX)
	PrintRegister(" rbx ", c.RBX)
	PrintRegister(" rcx ", c.RCX)
	PrintRegister(" rdx ", c.RDX)
	PrintRegister("\nrsi ", c.RSI)
	PrintRegister(" rdi ", c.RDI)
	PrintRegister(" r8 ", c.R8)
	PrintRegister(" r9 ", c.R9)
	PrintRegister("\nr10 ", c.R10)
	PrintRegister(" r11 ", c.R11)
	PrintRegister(" r12 ", c.R12)
	PrintRegister(" r13 ", c.R13)
	PrintRegister("\nr14 ", c.R14)
	PrintRegister(" r15 ", c.R15)
	Print("\n")
	traceStack(c, true)
}

// PrintRegister prints a label and a number in hexadecimal.
func PrintRegister(label string, v uint64) {
	Print(label)
	PrintHex(v)
}

// maxFrames bounds a stack that is followed.
const maxFrames = 40

// traceStack follows the frame pointers that Go code keeps: at RBP the caller's
// RBP, above it the return address. It keeps what it finds in the record, and
// prints it if show is set.
func traceStack(c *Context, show bool) {
	traceFrame(c.RIP, show)
	if c.RSP&7 == 0 && mach.tables.leaf(c.RSP) != 0 && InText(*word(c.RSP)) {
		traceFrame(*word(c.RSP), show) // the caller, if the function has no frame of its own
	}
	bp, low := c.RBP, uint64(0)
	for range maxFrames {
		if bp <= low || bp&7 != 0 || mach.tables.leaf(bp) == 0 || mach.tables.leaf(bp+15) == 0 {
			return
		}
		pc := *word(bp + 8)
		if pc == 0 {
			return
		}
		traceFrame(pc, show)
		low, bp = bp, *word(bp)
	}
}

func traceFrame(pc uint64, show bool) {
	for i := range rec.Stack {
		if rec.Stack[i] == 0 {
			rec.Stack[i] = pc
			break
		}
	}
	if !show {
		return
	}
	PrintRegister("  ", pc)
	Print(" ")
	PrintSymbol(pc)
	Print("\n")
}

// exceptionName returns the SDM's name of an exception.
func exceptionName(v uint64) string {
	switch v {
	case VectorDivide:
		return "divide error"
	case VectorDebug:
		return "debug exception"
	}
	switch v {
	case VectorBreakpoint:
		return "breakpoint"
	case VectorUndefined:
		return "invalid opcode"
	case VectorDoubleFault:
		return "double fault"
	case VectorStack:
		return "stack fault"
	}
	switch v {
	case VectorProtection:
		return "general protection"
	case VectorPageFault:
		return "page fault"
	case VectorX87, VectorSIMD:
		return "floating point exception"
	case VectorMachine:
		return "machine check"
	}
	return "exception"
}

package syscalls

import (
	"unsafe"

	"ferry/board/amd64/internal/kernel"
)

// state is all that this package remembers. It lies in pages of its own and holds no
// pointer that the garbage collector could care for.
type state struct {
	threads   [maxThreads]thread
	threadEnd uint64 // threads at and after this index were never used
	current   uint64 // index of the thread that runs, or ran last
	lastTID   uint64
	slice     int64 // end of the current thread's time slice, Nanotime

	areas     [maxAreas]area
	areaCount uint64
	mmapNext  uint64
	allowed   uint64 // address of the last fault that the page tables allowed

	actions [65]action
	files   [maxFiles]file
	pipes   [maxPipes]pipe

	wall    int64     // Unix time in nanoseconds at Nanotime 0
	seen    [8]uint64 // system calls that were made, a bit each
	unknown [8]uint64 // unknown system calls that were reported
}

// k is the state at its fixed virtual address: defined in entry_amd64.s.
var k *state

// boot prepares the first thread to enter the Go runtime like a process that
// Linux has just executed.
func boot() {
	if _, ok := kernel.MapKernel(0, (uint64(unsafe.Sizeof(state{}))+kernel.PageSize-1)/kernel.PageSize); !ok {
		kernel.Print("ferry: no memory for the kernel's own data\n")
		kernel.Halt()
	}
	k.mmapNext = mmapBase
	for i := uint64(0); i < kernel.SegmentCount(); i++ {
		s := kernel.SegmentAt(i)
		prot := uint64(protRead)
		if s.Flags&kernel.SegmentWrite != 0 {
			prot |= protWrite
		}
		if s.Flags&kernel.SegmentExec != 0 {
			prot |= protExec
		}
		insertArea(s.Start, pageUp(s.MemEnd), prot, true)
	}
	insertArea(stackTop-stackSize, stackTop, protRead|protWrite, false)
	for i := range k.files[:3] {
		k.files[i].kind = fileConsole
	}

	t := &k.threads[0]
	t.tid, t.state = 1, threadRuns
	k.lastTID, k.threadEnd = 1, 1
	t.ctx.RIP = addressOfRuntime()
	t.ctx.RSP = buildArguments()
	t.ctx.RFLAGS = flagsUser
	t.ctx.CS, t.ctx.SS = 0x10, 0x18
	k.slice = kernel.Nanotime() + timeSlice
	kernel.SetHandler(addressOfTrapped())
	kernel.SetCurrent(&t.ctx)
}

// trap is the kernel's one entry: a system call, an exception or an interrupt of
// the current thread, whose registers are saved in c.
func trap(c *kernel.Context) {
	preempt := false
	switch {
	case c.Vector == kernel.VectorSyscall:
		preempt = syscall(&k.threads[k.current&(maxThreads-1)])
	case c.Vector >= 32:
		kernel.Interrupt(c)
		if preempt = c.Vector == kernel.VectorTimer; preempt {
			kernel.Refine()
		}
	default:
		exception(&k.threads[k.current&(maxThreads-1)])
	}
	schedule(preempt)
}

const noMemory = "the stage's memory is used up: link with a larger init_size"

// exception turns a processor exception into memory or into a signal.
func exception(t *thread) {
	c := &t.ctx
	sig, code, addr := uint64(sigSEGV), int32(siKernel), uint64(0)
	switch c.Vector {
	case kernel.VectorPageFault:
		switch fault(c.CR2, c.Error) {
		case faultDone:
			return
		case faultMemory:
			kernel.FatalMemory(c, noMemory)
		case faultTables:
			kernel.FatalKernel(c, "page fault on memory that the program may access: damaged page tables")
		case faultAccess:
			code = segvAccess
		default:
			code = segvMap
		}
		addr = c.CR2
	case kernel.VectorDivide:
		sig, code, addr = sigFPE, fpeDivide, c.RIP
	case kernel.VectorX87, kernel.VectorSIMD:
		sig, code, addr = sigFPE, fpeInvalid, c.RIP
	case kernel.VectorUndefined:
		sig, code, addr = sigILL, illOperand, c.RIP
	case kernel.VectorBreakpoint:
		sig, code = sigTRAP, siKernel
	case kernel.VectorProtection, kernel.VectorStack:
	default:
		kernel.Fatal(c, "unexpected exception")
	}
	if h := k.actions[sig].handler; h <= handlerIgnore || t.blocked>>(sig-1)&1 != 0 {
		kernel.Fatal(c, "exception in the Go program, before it takes signals or inside its handler")
	}
	if !pushSignal(t, sig, code, addr) {
		kernel.Fatal(c, "exception in the Go program, and no memory for its signal handler's stack")
	}
}

// Assembler in entry_amd64.s.

func started()
func trapped(c *kernel.Context)
func addressOfTrapped() uint64
func addressOfRuntime() uint64

// word returns the 8 bytes at virtual address a; see the board's own.
func word(a uint64) *uint64 { return *(**uint64)(unsafe.Pointer(&a)) }

// half returns the 4 bytes at virtual address a.
func half(a uint64) *uint32 { return *(**uint32)(unsafe.Pointer(&a)) }

// byteAt returns the byte at virtual address a.
func byteAt(a uint64) *byte { return *(**byte)(unsafe.Pointer(&a)) }

// address returns where p points.
func address(p *uint64) uint64 { return uint64(uintptr(unsafe.Pointer(p))) }

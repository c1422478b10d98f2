package kernel

import "unsafe"

// Context is a thread's registers as a trap or SYSCALL found them, and as
// [Resume] puts them back. It must be 64-byte aligned; the assembler knows its
// fields by name.
type Context struct {
	RAX, RBX, RCX, RDX, RSI, RDI, RBP uint64
	R8, R9, R10, R11, R12, R13, R14   uint64
	R15                               uint64
	FSBase                            uint64
	HaveFPU                           uint64 // not 0: FPU is to be restored
	Vector                            uint64 // exception or interrupt number, [VectorSyscall]
	Error                             uint64 // error code of exceptions that have one
	CR2                               uint64 // address of a page fault

	// In the order of IRETQ.
	RIP, CS, RFLAGS, RSP, SS uint64

	_   [7]uint64
	FPU [832]byte // XSAVE area with x87, SSE and AVX state, or FXSAVE image
}

// Vectors, Intel SDM volume 3, 6.3.1.
const (
	VectorDivide      = 0
	VectorDebug       = 1
	VectorNMI         = 2
	VectorBreakpoint  = 3
	VectorUndefined   = 6
	VectorDoubleFault = 8
	VectorStack       = 12
	VectorProtection  = 13
	VectorPageFault   = 14
	VectorX87         = 16
	VectorAlignment   = 17
	VectorMachine     = 18
	VectorSIMD        = 19
	VectorTimer       = 0xf0
	VectorSpurious    = 0xff
	VectorSyscall     = 0x100
)

// FPUAddress returns the address of c's FPU state.
func (c *Context) FPUAddress() uint64 { return uint64(uintptr(unsafe.Pointer(&c.FPU))) }

// contextAt returns the context at virtual address a; see word.
func contextAt(a uint64) *Context { return *(**Context)(unsafe.Pointer(&a)) }

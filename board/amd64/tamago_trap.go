//go:build tamago

package amd64

import (
	"runtime/debug"
	"unsafe"
)

// trap is the handler of every trap of the Go program, whose registers are saved
// in c. Kernel code, as all that the board runs on its own stack.
func trap(c *Context) {
	switch {
	case c.Vector == VectorSyscall:
		Fatal(c, "system call")
	case c.Vector >= 32:
		Interrupt(c)
		if c.Vector == VectorTimer {
			Refine()
		}
	case c.Vector == VectorPageFault && c.RSP >= mach.base && c.RSP < mach.windowTop-ramStackOffset-firstStack:
		faulted(c)
	default:
		Fatal(c, "exception in the Go program")
	}
}

// lastFault is what the last page fault found.
var lastFault Context

// faulted makes the goroutine go on in sigpanic, as if the instruction that
// faulted had called it: what the runtime does on systems with signals.
func faulted(c *Context) {
	Copy(uintptr(unsafe.Pointer(&lastFault)), uintptr(unsafe.Pointer(c)), unsafe.Sizeof(*c))
	if inText(c.RIP) { // else a call of what is no code left the return address there
		c.RSP -= 8
		*word(c.RSP) = c.RIP
	}
	c.RIP = addressOfSigpanic()
}

// panicMemory is what sigpanic calls. An access through nil is a panic; one to any
// other address is one where debug.SetPanicOnFault asks for it, and otherwise the
// end.
func panicMemory() {
	at, pc := lastFault.CR2, lastFault.RIP
	if at >= PageSize && !debug.SetPanicOnFault(true) {
		Fatal(&lastFault, "exception in the Go program: unexpected fault address")
	}
	panic(memoryError{at, pc})
}

// memoryError is the error of the panic.
type memoryError struct{ address, pc uint64 }

// RuntimeError implements runtime.Error.
func (memoryError) RuntimeError() {}

func (e memoryError) Error() string {
	return "runtime error: invalid memory address or nil pointer dereference [page fault: addr=" +
		hexadecimal(e.address) + " pc=" + hexadecimal(e.pc) + "]"
}

func hexadecimal(v uint64) string {
	const digits = "0123456789abcdef"
	b := make([]byte, 0, 18)
	for ; v != 0 || len(b) == 0; v >>= 4 {
		b = append([]byte{digits[v&15]}, b...)
	}
	return "0x" + string(b)
}

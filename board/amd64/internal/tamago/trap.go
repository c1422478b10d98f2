//go:build tamago

package tamago

import (
	"runtime/debug"
	"unsafe"

	"ferry/board/amd64/internal/kernel"
)

// trap is the handler of every trap of the Go program, whose registers are saved
// in c. Kernel code, like all that runs on the board's own stack.
func trap(c *kernel.Context) {
	switch {
	case c.Vector == kernel.VectorSyscall:
		kernel.Fatal(c, "system call")
	case c.Vector >= 32:
		kernel.Interrupt(c)
		if c.Vector == kernel.VectorTimer {
			kernel.Refine()
		}
	case c.Vector == kernel.VectorPageFault && kernel.OnGoroutine(c.RSP):
		faulted(c)
	default:
		kernel.Fatal(c, "exception in the Go program")
	}
}

// lastFault is what the last page fault found.
var lastFault kernel.Context

// faulted makes the goroutine go on in sigpanic, as if the instruction that
// faulted had called it: what the runtime does on systems with signals.
func faulted(c *kernel.Context) {
	kernel.Copy(uintptr(unsafe.Pointer(&lastFault)), uintptr(unsafe.Pointer(c)), unsafe.Sizeof(*c))
	if kernel.InText(c.RIP) { // else a call of what is no code left the return address there
		c.RSP -= 8
		*word(c.RSP) = c.RIP
	}
	c.RIP = addressOfSigpanic()
}

// panicMemory is what sigpanic calls. An access through nil is a panic; one to any
// other address is one if debug.SetPanicOnFault is set, and otherwise ends the
// run.
func panicMemory() {
	at, pc := lastFault.CR2, lastFault.RIP
	if at >= kernel.PageSize && !debug.SetPanicOnFault(true) {
		kernel.Fatal(&lastFault, "exception in the Go program: unexpected fault address")
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

// word returns the 8 bytes at virtual address a. The detour through memory is for
// vet, whose rule is about addresses of Go objects; this is none.
func word(a uint64) *uint64 { return *(**uint64)(unsafe.Pointer(&a)) }

// Package metal lets a binary of the stock Go toolchain run with no operating
// system. Import it for its side effect and link with
//
//	-ldflags '-E ferry_entry -T 0x400000001000'
//
// The binary believes that it runs on Linux: the Go runtime's own system calls
// arrive at the SYSCALL instruction's target and are answered here, on the same
// processor and in the same privilege level, by a kernel that does no more than
// the runtime needs: memory on demand, threads, futexes, clocks, signals, the
// console, one event queue, and exit. There are no files, and one processor.
//
// Kernel code in this package runs with interrupts off, on a stack of its own,
// between two instructions of the Go program. It must not allocate, store
// pointers into the heap, use maps, channels, defer, or interfaces, or call into
// the runtime; a test inspects the built binary for it. Nothing it touches may
// be paged in on demand: its variables live in [kernel], in pages that are there
// from the start. What the Go program passes in is checked only so far that a
// mistake becomes a report and not a silent hang: both sides are one program.
//
// Interfaces: Linux x86-64 system calls as Go 1.26 uses them
// (runtime/os_linux.go, sys_linux_amd64.s, internal/runtime/syscall/linux).
package metal

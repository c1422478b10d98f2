// Package syscalls answers the Linux system calls of a stock Go runtime, so that a
// binary of the stock toolchain runs with no operating system. It is linked by package
// start, with
//
//	-ldflags '-E ferry_entry -T 0x400000001000'
//
// The runtime's calls arrive at the SYSCALL instruction's target and are answered here,
// on the same processor and at the same privilege level, with no more than the runtime
// needs: memory on demand, threads, futexes, clocks, signals, the console, one event
// queue, and exit. There are no files, and one processor. A call without an answer
// returns ENOSYS and is named on the console, once; a program that ends well after one
// has exit code 60.
//
// All but init is kernel code, with the rules of package kernel: interrupts are off,
// the stack is the kernel's, nothing is allocated and nothing of the runtime is called,
// which a test proves by disassembling a binary. Nothing that it touches may be paged in
// on demand: its variables are in [state], in pages that are there from the start. What
// the Go program passes in is checked only so far that a mistake becomes a report and
// not a hang: both sides are one program.
//
// Source: Linux x86-64 system calls as Go 1.26 uses them (runtime/os_linux.go,
// sys_linux_amd64.s, internal/runtime/syscall/linux).
package syscalls

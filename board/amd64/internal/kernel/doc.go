// Package kernel is the board below the Go runtime: entry, frames, page tables, traps,
// serial port, local APIC, clock, random numbers, and the ways out. It starts at the
// first instruction of the image and knows nothing of Linux but the boot protocol.
//
// Kernel code runs before the runtime starts, or with interrupts off on a stack of its
// own between two instructions of the Go program. It does not allocate and uses no
// maps, channels, interfaces, defer or write barriers, and nothing of package runtime;
// it uses no variable but the [machine], which is there from the start. A test of
// package syscalls disassembles a built binary to prove it. Addresses in it are
// uint64; they are physical unless they are called virtual.
//
// Exported functions are for the packages beside this one and for package amd64, which
// is what programs see. Those that need interrupts off turn them off themselves if the
// Go program may call them.
//
// Code of this package runs on metal only. On a host it compiles, and calls fault.
package kernel

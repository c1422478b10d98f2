// Package amd64 is what the board does for programs: one x86-64 processor in long
// mode that runs a Go program with no operating system. It says how the image was
// started ([Boot], [E820], [RAM]), opens memory ([Memory]), starts the next kernel
// ([Jump]) or names the one to start if the run fails ([SetFallback], [SetDeadline]),
// and gives a [Console], a [Clock] and [Random] numbers. All of it is ordinary Go code
// for after main has started.
//
// What the loader and the firmware say (zero page, e820 map, command line) is
// believed as to addresses: there is nothing to check it against.
// Sources: Intel SDM volume 3, Documentation/arch/x86/boot.rst and zero-page.rst of
// Linux.
//
// Programs and tests that run on metal import package start as well, which links what
// is below: internal/kernel, from the first instruction on, and what a Go runtime
// needs of it, internal/syscalls for the stock toolchain's or internal/tamago for
// TamaGo's. On a host the package compiles, and calls fault.
package amd64

// Package amd64 is the board: one x86-64 processor in long mode, its page
// tables, exceptions, console, clock and ways out. It starts at the first
// instruction of the image and knows nothing of Linux but the boot protocol.
//
// The package has two sides. Entry, paging, traps and what a kernel above it
// needs run before or below the Go runtime: no allocation, no maps, no defer, no
// write barriers (a test inspects the built binary for it). Everything that
// [Boot], [RAM] and their neighbours return is for ordinary Go code after main
// has started.
//
// What the loader and the firmware say (zero page, e820 map, command line) is
// believed as far as addresses are concerned: there is nothing to check it
// against. Sources: Intel SDM volume 3, Documentation/arch/x86/boot.rst and
// zero-page.rst of Linux.
//
// Code of this package runs on metal only. On a host it compiles, and calls
// fault.
package amd64

//go:build linux

// Package metal attacks Ferry where it runs: the real image under QEMU, with all
// of the machine's memory in a file that can be looked at, changed and started
// again.
//
// [RAM] is the memory of a stopped machine as a [phys.Memory], so that the readers
// of a handover work on a dump. [Starter] is firmware that starts a kernel in such
// a memory as kexec does and writes no byte of it. [Machine] runs QEMU on it, and
// [Debugger] stops it where a symbol of the image says.
//
// The attacks themselves are tests with the tag qemu (mk/attack-metal.mk); each
// writes its section of docs/reliability.md with [Page.Write]. What a crossing made
// is judged by the decoder of package attack, which shares nothing with Ferry's
// readers. Memory and console were written by the machine under attack: the first is
// read by code that proves what it reads, but for that decoder, which runs on what
// those readers took; the second is searched for text.
package metal

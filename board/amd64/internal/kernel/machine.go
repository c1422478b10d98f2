package kernel

import (
	"unsafe"

	"ferry/boot/protocol"
)

// Virtual places of the board's own memory, each run of pages with unmapped
// ones around it. The entry code knows their sizes too: keep it in step.
const (
	machineBase = 0xffff_c000_0000_0000 // machine
	stackBase   = machineBase + 0x40000 // kernel stack
	trapBase    = machineBase + 0x60000 // stack of interrupts and faults
	fatalBase   = machineBase + 0x80000 // stack of double faults, machine checks, and at its far end NMI
	gateBase    = machineBase + 0xa0000 // see gate.go
	recordBase  = machineBase + 0xb0000 // the record of a failure
	departBase  = machineBase + 0xc0000 // see depart.go
	kernelBase  = machineBase + 0x1000000
	framesBase  = machineBase + 0x1000000000 // the pages of [Frame], see mapFrames

	machineSize = 0x10000
	stackSize   = 0x8000
	trapSize    = 0x2000
	fatalSize   = 0x2000
	nmiSize     = 64 // of the fatal stack's far end
	areaSize    = machineSize + stackSize + trapSize + fatalSize
)

// PageSize is the size of a page in bytes.
const PageSize = 4096

// machine is all that the board remembers, a room for each thing that it drives. It is
// in pages of its own, filled with zeros by the entry code, so that it is there before
// any demand paging. It holds no pointer that the garbage collector could care for. The
// methods of a room use only that room and what they are given; those of machine join
// rooms.
type machine struct {
	traps    traps        // first: its nested context is aligned
	image    image        // what was loaded, and where
	e820     protocol.Map // of the firmware
	cmdline  commandLine  // of the loader
	tables   tables       // page tables, and the frames that they and programs get
	serial   serial       // the console
	clock    clock        // the time stamp counter
	lapic    lapic        // the timer
	deadline deadline     // of the run
	rng      rng          // random numbers
	exits    exits        // the next kernel, and the one for a failure
	program  window       // memory of the Go program

	encrypted uint64 // what encrypts memory, see encryption.go
	ready     uint64 // not 0: the set-up is over
}

const _ = -(unsafe.Sizeof(machine{}) / machineSize) // must be 0: it fits its place

// mach is the machine, at its fixed virtual address: defined in entry_amd64.s.
var mach *machine

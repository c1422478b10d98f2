package kernel

import (
	"unsafe"

	"github.com/usbarmory/tamago/soc/intel/uart"

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

// maxCmdline bounds the command line, in bytes.
const maxCmdline = 4096

// PageSize is the size of a page in bytes.
const PageSize = 4096

// lapicState is what the local APIC's registers held when it was found.
type lapicState struct{ base, spurious, timer, divide uint64 }

// machine is all that the board remembers. It lies in pages of its own, filled
// with zeros by the entry code, so that it is there before any demand paging. It
// holds no pointer that the garbage collector could care for.
type machine struct {
	// Known to the assembler by name.
	tls        [2]uint64   // FS points at the second word while the kernel runs
	g          [64]uint64  // stands in for runtime.g: stack.lo, stack.hi, stackguard0, ...
	current    uint64      // *Context of the thread to save into and resume
	handler    uint64      // code address: called with a *Context for every trap
	inKernel   uint64      // not 0 while kernel code runs
	xsave      uint64      // not 0: XSAVE with XCR0 = 1|2|4; 0: FXSAVE
	avx        uint64      // not 0: AVX is on
	load       uint64      // physical address of the image
	base       uint64      // virtual address of the image
	zeroPage   uint64      // physical address of struct boot_params
	continueAt uint64      // virtual address of the code that takes over after the board's set-up
	cr3        uint64      // own page tables
	entryCR3   uint64      // page tables of the way in, see gate.go
	stackTop   uint64      // virtual
	entryTSC   uint64      // time stamp of the first instructions
	gdt        [8]uint64   // see trap_amd64.s
	tss        [16]uint64  // 104 bytes
	idt        [512]uint64 // 256 gates
	nested     Context     // what a trap interrupted inside the kernel

	initSize, fileSize uint64
	imageEnd           uint64 // virtual: end of the image, where it is part of one window
	windowTop          uint64 // virtual: end of that window
	segments           [maxSegments]Segment
	segmentCount       uint64

	frameNext, frameEnd    uint64 // physical: pages never used yet
	frameFirst             uint64 // physical: the first that was ever used
	enterFrames            uint64 // physical: where those of the way in start
	frameFree              uint64 // physical: head of the list of freed pages
	framesUsed, framesPeak uint64
	framesLeft             uint64
	frameBase              uint64 // what to add to the physical address of one of them
	noExecute              uint64 // PTE bit 63 where the processor has it
	gigabyte               uint64 // not 0: 1 GiB pages
	levels                 uint64 // 4 or 5
	encrypted              uint64 // what encrypts memory, see encryption.go

	e820       protocol.Map
	cmdline    [maxCmdline]byte
	cmdlineLen uint64

	com1      uart.UART
	line      [lineBytes]byte // that is being said
	lineLen   uint64
	complaint [lineBytes]byte // the first line by which the Go runtime says that it fails

	tscStart, tscMult uint64 // nanoseconds = (tsc - tscStart) * tscMult >> 32 + nanoBase
	nanoBase          uint64
	clockVersion      uint64 // counts corrections
	tscSource         uint64
	gauge             gauge  // what tscMult was measured by
	refined           uint64 // not 0: it is as good as it will be

	lapicBase  uint64 // physical and virtual; 0: none
	x2apic     uint64
	lapicMult  uint64 // timer ticks = nanoseconds * lapicMult >> 32
	lapicSaved lapicState
	armed      uint64 // Nanotime for which the timer is set; 0: none
	deadline   uint64 // Nanotime at which the run is over; 0: none
	ticking    uint64 // not 0: the interval timer interrupts

	rng     [5]uint64 // key and counter
	pool    sha256    // what the next key is made of
	ready   uint64
	failing uint64

	next, fallback      Target
	fallbackSet         uint64
	fallbackName        [64]byte // for the console
	jumpCR3             uint64   // page tables for the jump, 0 as long as there are none
	jumpFrames, jumpEnd uint64   // physical: where those tables lie
	leaveSP, leaveFS    uint64
}

const _ = -(unsafe.Sizeof(machine{}) / machineSize) // must be 0: it fits its place

// mach is the machine, at its fixed virtual address: defined in entry_amd64.s.
var mach *machine

// SetHandler names the code that takes every trap from now on: an assembler
// function of one argument, a *Context, which must return.
func SetHandler(pc uint64) { mach.handler = pc }

// SetCurrent names the context that [Resume] continues and the next trap is saved
// in. c must be 64-byte aligned and outside the Go heap.
func SetCurrent(c *Context) { mach.current = uint64(uintptr(unsafe.Pointer(c))) }

// Unmask lets interrupts come from now on. Called by the thread that runs, which has
// set FS itself.
func Unmask() {
	contextAt(mach.current).FSBase = rdmsr(msrFSBase)
	enableInterrupts()
}

const msrFSBase = 0xc000_0100

// SegmentCount returns the number of the image's segments.
func SegmentCount() uint64 { return mach.segmentCount }

// SegmentAt returns segment i of the image.
func SegmentAt(i uint64) Segment { return mach.segments[i&(maxSegments-1)] }

// Cmdline returns the kernel command line, without a copy: it never changes.
func Cmdline() string { return mach.commandLine() }

func (m *machine) commandLine() string {
	line := m.cmdline[:m.cmdlineLen&(maxCmdline-1)]
	return *(*string)(unsafe.Pointer(&line)) // a slice begins as a string does
}

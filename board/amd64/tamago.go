//go:build tamago

package amd64

import (
	"time"
	"unsafe"
)

// What a TamaGo toolchain's runtime calls, by the names of package goos, which
// declares it. There is one thread, and nothing preempts it: interrupts are
// acknowledged, and end the wait of [idle].

//go:linkname ramStart runtime/goos.RamStart
var ramStart uint

//go:linkname ramSize runtime/goos.RamSize
var ramSize uint

//go:linkname stackOffset runtime/goos.RamStackOffset
var stackOffset uint

//go:linkname exitHook runtime/goos.Exit
var exitHook func(code int32)

//go:linkname idleHook runtime/goos.Idle
var idleHook func(until int64)

// wall is the Unix time in nanoseconds at [Nanotime] 0: the runtime's clock is
// told as one with the wall clock.
var wall int64

// boot prepares what the runtime finds at its first instruction.
func boot() {
	va, ok := MapKernel(0, (uint64(unsafe.Sizeof(Context{}))+PageSize-1)/PageSize)
	if !ok {
		Print("ferry: no memory for the board's own data\n")
		Halt()
	}
	m := mach
	ramStart, ramSize, stackOffset = uint(m.base), uint(m.windowTop-m.base), ramStackOffset
	exitHook, idleHook = exit, idle
	c := contextAt(va)
	c.CS, c.SS = 0x10, 0x18
	c.RFLAGS = 2 // interrupts off, until hwinit0 knows FS
	c.RIP, c.RSP = addressOfRuntime(), m.windowTop-ramStackOffset
	m.current = va
	SetHandler(addressOfTrapped())
}

//go:linkname hwinit0 runtime/goos.Hwinit0
func hwinit0() {
	const msrFSBase = 0xc000_0100
	contextAt(mach.current).FSBase = rdmsr(msrFSBase)
	enableInterrupts()
}

//go:linkname hwinit1 runtime/goos.Hwinit1
func hwinit1() {
	// An update of the clock takes 2 ms.
	for end := Nanotime() + int64(10*time.Millisecond); Nanotime() < end; {
		if t, ok := WallClock(); ok {
			wall = t*1_000_000_000 - Nanotime()
			return
		}
	}
}

//go:linkname initRNG runtime/goos.InitRNG
func initRNG() {}

//go:linkname getRandomData runtime/goos.GetRandomData
func getRandomData(b []byte) { Random(b) }

//go:linkname nanotime runtime/goos.Nanotime
func nanotime() int64 { return Nanotime() + wall }

//go:linkname printk runtime/goos.Printk
func printk(c byte) { Printk(c) }

func exit(code int32) { Exit(int(code)) }

// exitDeadlock is the exit code of the runtime's own fatal errors.
const exitDeadlock = 2

// idle waits for the given time of the runtime's clock, or less.
func idle(until int64) {
	if until == 0 {
		// No timer, nothing runnable, and no interrupt that would change it.
		Print("fatal error: all goroutines are asleep - deadlock!\n")
		Exit(exitDeadlock)
	}
	disableInterrupts()
	if until -= wall; until > Nanotime() && SetTimer(until) {
		Idle()
	}
	enableInterrupts()
}

// Assembler in tamago_amd64.s.

func started()
func trapped(c *Context)
func addressOfTrapped() uint64
func addressOfRuntime() uint64
func addressOfSigpanic() uint64

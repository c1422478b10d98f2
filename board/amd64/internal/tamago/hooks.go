//go:build tamago

package tamago

import (
	"time"
	"unsafe"

	"ferry/board/amd64"
	"ferry/board/amd64/internal/kernel"
)

// What the runtime calls, by the names of package goos, which declares it.

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

// wall is the Unix time in nanoseconds at Nanotime 0 of the board: the runtime has
// one clock for both.
var wall int64

// boot prepares what the runtime finds at its first instruction.
func boot() {
	va, ok := kernel.MapKernel(0, (uint64(unsafe.Sizeof(kernel.Context{}))+kernel.PageSize-1)/kernel.PageSize)
	if !ok {
		kernel.Print("ferry: no memory for the board's own data\n")
		kernel.Halt()
	}
	start, size := kernel.Window()
	ramStart, ramSize, stackOffset = uint(start), uint(size), kernel.RAMStackOffset
	exitHook, idleHook = exit, idle
	c := *(**kernel.Context)(unsafe.Pointer(&va))
	c.CS, c.SS = 0x10, 0x18
	c.RFLAGS = 2 // interrupts off, until hwinit0 knows FS
	c.RIP, c.RSP = addressOfRuntime(), start+size-kernel.RAMStackOffset
	kernel.SetCurrent(c)
	kernel.SetHandler(addressOfTrapped())
}

//go:linkname hwinit0 runtime/goos.Hwinit0
func hwinit0() { kernel.Unmask() }

//go:linkname hwinit1 runtime/goos.Hwinit1
func hwinit1() {
	// An update of the clock takes 2 ms.
	for end := kernel.Nanotime() + int64(10*time.Millisecond); kernel.Nanotime() < end; {
		if t, ok := kernel.WallClock(); ok {
			wall = t*1_000_000_000 - kernel.Nanotime()
			return
		}
	}
}

//go:linkname initRNG runtime/goos.InitRNG
func initRNG() {}

//go:linkname getRandomData runtime/goos.GetRandomData
func getRandomData(b []byte) { amd64.Random(b) }

//go:linkname nanotime runtime/goos.Nanotime
func nanotime() int64 { return kernel.Nanotime() + wall }

//go:linkname printk runtime/goos.Printk
func printk(c byte) { kernel.Printk(c) }

func exit(code int32) { kernel.Exit(int(code)) }

// exitDeadlock is the exit code of the runtime's own fatal errors.
const exitDeadlock = 2

// idle waits for the given time of the runtime's clock, or less.
func idle(until int64) {
	if until == 0 {
		// No timer, nothing runnable, and no interrupt that would change it.
		kernel.Print("fatal error: all goroutines are asleep - deadlock!\n")
		kernel.Exit(exitDeadlock)
	}
	kernel.SleepUntil(until - wall)
}

// Assembler in entry_amd64.s.

func started()
func trapped(c *kernel.Context)
func addressOfTrapped() uint64
func addressOfRuntime() uint64
func addressOfSigpanic() uint64

//go:build tamago

package goos

import "unsafe"

// RamStart and RamSize are the memory that the runtime may use, image included:
// the window onto the stage's own memory, in bytes. The entry code sets them.
// RamStackOffset is how far below its end the first stack starts.
var (
	RamStart       uint
	RamSize        uint
	RamStackOffset uint
)

// CPUInit is the image's first instruction.
func CPUInit()

// Hwinit0 runs before the runtime is set up: it must not allocate.
func Hwinit0()

// Hwinit1 runs after the runtime is set up.
func Hwinit1()

// InitRNG prepares the random generator.
func InitRNG()

// GetRandomData fills b with random bytes.
func GetRandomData(b []byte)

// Nanotime returns nanoseconds since the start. It must not allocate.
func Nanotime() int64

// Printk writes one character to the console. It must not allocate.
func Printk(c byte)

// Optional hooks, nil where the runtime's own behaviour will do.
var (
	// Bloc is the start of the heap, where it does not follow the image.
	Bloc uintptr

	// Exit ends the program.
	Exit func(code int32)

	// Idle waits until the given Nanotime at the latest.
	Idle func(until int64)

	// ProcID names the processor in traces.
	ProcID func() uint64

	// Task starts a thread.
	Task func(sp, mp, gp, fn unsafe.Pointer)
)

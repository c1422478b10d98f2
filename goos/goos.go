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

// What runtimes since TamaGo 1.26.2 are built with: mem.go of TamaGo's package goos,
// for 64-bit processors with an MMU.
const (
	// ArenaBaseOffset is the address that has index 0 in the map of heap arenas.
	ArenaBaseOffset = 0

	// HeapAddrBits is the number of bits of a heap address.
	HeapAddrBits = 40

	// LogHeapArenaBytes is the size of a heap arena: 4 MiB.
	LogHeapArenaBytes = 22

	// LogPallocChunkPages is how many pages a chunk of the allocator's bitmap
	// covers: 512.
	LogPallocChunkPages = 9

	// MinPhysPageSize is the least size of a page, in bytes.
	MinPhysPageSize = 4096

	// StackSystem is what each goroutine's stack holds for the system, in bytes:
	// nothing, because the board takes traps on its own stacks.
	StackSystem = 0
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

// Optional hooks, nil if the runtime's own behaviour will do.
var (
	// Bloc is the start of the heap, if it does not follow the image.
	Bloc uintptr

	// Exit ends the program.
	Exit func(code int32)

	// Idle waits until the given Nanotime at the latest.
	Idle func(until int64)

	// ProcID names the processor in traces.
	ProcID func() uint64

	// Task starts a thread.
	Task func(sp, mp, gp, fn unsafe.Pointer)

	// Wake wakes a processor that Idle has halted, by its ProcID. Runtimes since
	// TamaGo 1.27 need it.
	Wake func(procid uint64)
)

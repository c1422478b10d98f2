//go:build metal

package syscalls

import (
	"runtime/debug"
	"time"

	"ferry/board/amd64/internal/kernel"
)

// The Go side of the kernel: what can only be done once the runtime is up, and
// only on metal.
func init() {
	debug.SetMaxStack(kernel.MaxGoStack)
	setWallClock()
}

// setWallClock reads the real time clock. A machine without one lives in 1970.
func setWallClock() {
	for range 3 {
		if t, ok := kernel.WallClock(); ok {
			k.wall = t*1_000_000_000 - kernel.Nanotime()
			return
		}
		time.Sleep(3 * time.Millisecond) // an update takes 2 ms
	}
}

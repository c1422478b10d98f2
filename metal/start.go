//go:build metal

package metal

import (
	"runtime/debug"
	"time"

	"ferry/board/amd64"
)

// The Go side of the kernel: what can only be done once the runtime is up, and
// only on metal. The collector has to work harder as the heap nears the end of
// the stage's memory: beyond three quarters of it, the rest being the image, page
// tables and stacks.
func init() {
	debug.SetMaxStack(amd64.MaxGoStack)
	debug.SetMemoryLimit(int64(amd64.MemoryUse().Total) / 4 * 3)
	setWallClock()
}

// setWallClock reads the real time clock. A machine without one lives in 1970.
func setWallClock() {
	for range 3 {
		if t, ok := amd64.WallClock(); ok {
			k.wall = t.UnixNano() - amd64.Nanotime()
			return
		}
		time.Sleep(3 * time.Millisecond) // an update takes 2 ms
	}
}

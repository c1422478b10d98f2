//go:build metal

package metal

import (
	"runtime/debug"
	"time"

	"ferry/board/amd64"
)

// The Go side of the kernel: what can only be done once the runtime is up, and
// only on metal.
func init() {
	debug.SetMaxStack(amd64.MaxGoStack)
	setWallClock()
}

// setWallClock reads the real time clock. A machine without one lives in 1970.
func setWallClock() {
	for range 3 {
		if t, ok := amd64.WallClock(); ok {
			k.wall = t*1_000_000_000 - amd64.Nanotime()
			return
		}
		time.Sleep(3 * time.Millisecond) // an update takes 2 ms
	}
}

//go:build metal

package metal

import (
	"runtime/debug"
	"time"

	"github.com/usbarmory/tamago/soc/intel/rtc"

	"ferry/board/amd64"
)

// maxGoStack bounds a goroutine's stack in bytes, so that endless recursion ends
// in the runtime's own report and not with the stage's memory.
const maxGoStack = 8 << 20

// The Go side of the kernel: what can only be done once the runtime is up, and
// only on metal. The collector has to work harder as the heap nears the end of
// the stage's memory: beyond three quarters of it, the rest being the image, page
// tables and stacks.
func init() {
	debug.SetMaxStack(maxGoStack)
	debug.SetMemoryLimit(int64(amd64.MemoryUse().Total) / 4 * 3)
	setWallClock()
}

// setWallClock reads the real time clock. A machine without one lives in 1970.
func setWallClock() {
	clock := rtc.RTC{Location: time.UTC}
	for range 3 {
		t, err := clock.Now()
		if err == nil && t.Year() >= 1980 && t.Year() < 2200 {
			k.wall = t.UnixNano() - amd64.Nanotime()
			return
		}
		time.Sleep(3 * time.Millisecond) // an update takes 2 ms
	}
}

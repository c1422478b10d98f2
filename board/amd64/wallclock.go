package amd64

import (
	"time"

	"github.com/usbarmory/tamago/soc/intel/rtc"
)

// MaxGoStack bounds a goroutine's stack in bytes, so that endless recursion ends
// in the runtime's own report and not with the stage's memory.
const MaxGoStack = 8 << 20

// WallClock reads the real time clock. It reports false while the clock changes,
// which takes 2 ms, and on a machine without one.
func WallClock() (t time.Time, ok bool) {
	clock := rtc.RTC{Location: time.UTC}
	t, err := clock.Now()
	return t, err == nil && t.Year() >= 1980 && t.Year() < 2200
}

package metal

import (
	"time"

	"github.com/usbarmory/tamago/soc/intel/rtc"

	"ferry/board/amd64"
)

// Clocks, linux/time.h. All but the first two are told as the monotonic one.
const clockRealtime, clockRealtimeCoarse = 0, 5

// deadlineOf returns the Nanotime at which a struct timespec from now ends.
func deadlineOf(sec, nsec uint64) int64 {
	const longest = 1 << 62
	if sec > longest/1_000_000_000 {
		return forever
	}
	return amd64.Nanotime() + int64(sec*1_000_000_000+nsec)
}

// sysNanosleep serves nanosleep.
func sysNanosleep(t *thread, req uint64) uint64 {
	if !touch(req, 16, false) {
		return fail(eFAULT)
	}
	block(t, threadSleeps, deadlineOf(*word(req), *word(req + 8)))
	return 0
}

// sysClockGettime serves clock_gettime and, with resolution 1, clock_getres.
func sysClockGettime(clock, ts uint64) uint64 {
	if !touch(ts, 16, true) {
		return fail(eFAULT)
	}
	now := amd64.Nanotime()
	if clock == clockRealtime || clock == clockRealtimeCoarse {
		now += k.wall
	}
	*word(ts) = uint64(now / 1_000_000_000)
	*word(ts + 8) = uint64(now % 1_000_000_000)
	return 0
}

// setWallClock reads the real time clock, once. A machine without one lives in
// 1970.
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

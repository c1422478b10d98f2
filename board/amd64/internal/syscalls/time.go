package syscalls

import "ferry/board/amd64/internal/kernel"

// Clocks, linux/time.h. All but these two read the monotonic one.
const clockRealtime, clockRealtimeCoarse = 0, 5

// deadlineOf returns the Nanotime at which a struct timespec from now ends.
func deadlineOf(sec, nsec uint64) int64 {
	const longest = 1 << 62
	if sec > longest/1_000_000_000 {
		return forever
	}
	return kernel.Nanotime() + int64(sec*1_000_000_000+nsec)
}

// shortestNap is the least that nanosleep sleeps, in nanoseconds. Only the
// runtime's monitor calls it, with 20 µs at first: on the one processor
// that there is, each of these naps ends in the middle of other work.
const shortestNap = 1_000_000

// sysNanosleep serves nanosleep.
func sysNanosleep(t *thread, req uint64) uint64 {
	if !touch(req, 16, false) {
		return fail(eFAULT)
	}
	block(t, threadSleeps, max(deadlineOf(*word(req), *word(req + 8)), kernel.Nanotime()+shortestNap))
	return 0
}

// sysClockGettime serves clock_gettime and, with resolution 1, clock_getres.
func sysClockGettime(clock, ts uint64) uint64 {
	if !touch(ts, 16, true) {
		return fail(eFAULT)
	}
	now := kernel.Nanotime()
	if clock == clockRealtime || clock == clockRealtimeCoarse {
		now += k.wall
	}
	*word(ts) = uint64(now / 1_000_000_000)
	*word(ts + 8) = uint64(now % 1_000_000_000)
	return 0
}

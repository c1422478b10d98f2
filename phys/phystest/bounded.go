package phystest

import (
	"runtime"
	"testing"
)

// Bounded fails the test if work takes more than limit bytes from the heap in all,
// given back or not. It calls work again, up to three times, before it does: what
// the test binary does beside it counts as well.
func Bounded(t testing.TB, limit uint64, work func()) {
	t.Helper()
	if underRace {
		limit *= 2
	}
	least := ^uint64(0)
	for i := 0; i < 3 && least > limit; i++ {
		least = min(least, allocated(work))
	}
	if least > limit {
		t.Errorf("%d bytes taken from the heap, want at most %d", least, limit)
	}
}

// allocated returns how many bytes work takes from the heap.
func allocated(work func()) uint64 {
	var before, after runtime.MemStats
	runtime.ReadMemStats(&before)
	work()
	runtime.ReadMemStats(&after)
	return after.TotalAlloc - before.TotalAlloc
}

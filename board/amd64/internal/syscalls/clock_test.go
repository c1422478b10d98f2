//go:build metal

package syscalls_test

import (
	"math"
	"testing"
	"time"

	"ferry/board/amd64"
)

// TestSleepTakesItsTime: never less, and not much more, but for what an emulated
// processor loses to others, which the shortest of several sleeps is spared.
func TestSleepTakesItsTime(t *testing.T) {
	for _, d := range []time.Duration{100 * time.Microsecond, 3 * time.Millisecond, 60 * time.Millisecond} {
		least := time.Duration(math.MaxInt64)
		for range 10 {
			start := time.Now()
			time.Sleep(d)
			took := time.Since(start)
			if took < d {
				t.Errorf("sleep of %v took %v", d, took)
			}
			if least = min(least, took); least <= 2*d+500*time.Millisecond {
				break
			}
		}
		if least > 2*d+500*time.Millisecond {
			t.Errorf("the shortest of ten sleeps of %v took %v", d, least)
		}
	}
}

func TestTimersFireWhenTheyShould(t *testing.T) {
	start := time.Now()
	timers := map[time.Duration]*time.Timer{}
	for _, n := range []time.Duration{5, 1, 3, 2, 4} {
		timers[n*20*time.Millisecond] = time.NewTimer(n * 20 * time.Millisecond)
	}
	stopped := time.NewTimer(30 * time.Millisecond)
	if !stopped.Stop() {
		t.Error("timer fired before its time")
	}
	for d, timer := range timers {
		if took := (<-timer.C).Sub(start); took < d || took > d+time.Second {
			t.Errorf("timer of %v fired after %v", d, took)
		}
	}
	select {
	case <-stopped.C:
		t.Error("a stopped timer fired")
	default:
	}
}

func TestClockNeverGoesBack(t *testing.T) {
	last := amd64.Nanotime()
	for range 200_000 {
		now := amd64.Nanotime()
		if now < last {
			t.Fatalf("clock went from %d to %d ns", last, now)
		}
		last = now
	}
	hz, source := amd64.Clock()
	t.Logf("time stamp counter: %d Hz, from %v", hz, source)
	if hz < 100e6 || hz > 20e9 {
		t.Errorf("time stamp counter of %d Hz", hz)
	}
}

func TestWallClockIsPlausible(t *testing.T) {
	if y := time.Now().Year(); y < 2024 || y > 2200 {
		t.Errorf("the year is %d", y)
	}
}

//go:build linux && !metal

package attack

import (
	"fmt"
	"os"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"
)

// routes are the crossings of the bit flips: each generation to itself, and to one
// other that can hold its vector.
var routes = [][2]string{
	{"A", "A"}, {"A", "E"}, {"B", "B"}, {"B", "A"}, {"C", "C"}, {"C", "F"}, {"D", "D"}, {"D", "E'"},
	{"E", "E"}, {"E", "F"}, {"E'", "E'"}, {"E'", "F"}, {"F", "F"}, {"F", "E'"},
}

// flips flips up to budget bits of the metadata of a handover on two machines at a
// time.
func flips(t *testing.T, from, to string, budget int64) *Tally {
	tally := NewTally()
	machines := []*Subject{Vector(t, from, to), Vector(t, from, to)}
	var wait sync.WaitGroup
	var alone sync.RWMutex
	for w, s := range machines {
		var since atomic.Int64
		since.Store(time.Now().UnixNano())
		done := make(chan bool)
		var at atomic.Pointer[string]
		go func() { // a crossing that never ends cannot be ended, only reported
			for {
				select {
				case <-done:
					return
				case <-time.After(time.Second):
					if time.Since(time.Unix(0, since.Load())) > 3*maxTime {
						panic("a crossing hangs: " + from + " to " + to + ": " + *at.Load())
					}
				}
			}
		}()
		wait.Go(func() {
			defer close(done)
			rs := s.Regions()
			n := Sample(rs, budget)
			for _, r := range rs {
				for i := int64(w); i < n[r]; i += int64(len(machines)) {
					a, bit := r.Pick(i, n[r])
					where := fmt.Sprintf("%s to %s, %s, bit %d of the byte at %v", from, to, r.Role, bit, a)
					at.Store(&where)
					since.Store(time.Now().UnixNano())
					alone.RLock()
					v, what, log := s.Flip(a, bit)
					alone.RUnlock()
					if what == unbounded {
						alone.Lock()
						v, what, log = s.Flip(a, bit)
						alone.Unlock()
					}
					tally.Add(r.Role, v, what, where, log)
				}
			}
		})
	}
	wait.Wait()
	return tally
}

// TestFlippedBitsAreRefusedOrHarmless flips some bits of each generation's
// metadata, FERRY_FLIPS for each crossing. `make attack-flips` flips all of them.
func TestFlippedBitsAreRefusedOrHarmless(t *testing.T) {
	budget := int64(600)
	if n, err := strconv.ParseInt(os.Getenv("FERRY_FLIPS"), 10, 64); err == nil {
		budget = n
	}
	only := os.Getenv("FERRY_ROUTES")
	for _, r := range routes {
		if name := r[0] + r[1]; only != "" && !strings.Contains(" "+only+" ", " "+name+" ") {
			continue
		}
		begin := time.Now()
		tally := flips(t, r[0], r[1], budget)
		tally.Report(t, fmt.Sprintf("%s to %s, %v", r[0], r[1], time.Since(begin).Round(time.Second)))
	}
}

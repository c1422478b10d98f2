//go:build linux && !metal

package attack

import (
	"encoding/json"
	"flag"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"ferry/internal/report"
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

var (
	page    = flag.String("page", "", "page of documentation to write the result into")
	results = flag.String("results", "", "folder for the counts of each route: those of this commit and as many flips are not counted again")
	commit  = flag.String("commit", "", "the tree that is tested, ending in "+dirty+" where it is no commit")
	budget  = flag.Int64("flips", 600, "bits to flip on each route of a generation to itself at most; 0: all of the structures")
	sampled = flag.Int64("sample", 600, "bits to flip on each other route at most; 0: all of the structures")
	only    = flag.String("routes", "", "routes to take, such as \"FF FE'\"; all where it is empty")
)

// TestFlippedBitsAreRefusedOrHarmless flips bits of the metadata of each
// generation's handover. `make attack-flips` flips all and writes the page.
func TestFlippedBitsAreRefusedOrHarmless(t *testing.T) {
	var rows []*Row
	for _, r := range routes {
		if name := r[0] + r[1]; *only != "" && !slices.Contains(strings.Fields(*only), name) {
			continue
		}
		n := *sampled
		if r[0] == r[1] {
			n = *budget
		}
		if testing.Short() {
			n = 40 // enough for both machines to run at once
		}
		row := new(Row)
		file := filepath.Join(*results, fmt.Sprintf("flips-%s-%s.json", r[0], r[1]))
		if *results != "" && load(file, row) && row.Fits(*commit, n) {
			rows = append(rows, row)
			continue
		}
		begin := time.Now()
		tally := flips(t, r[0], r[1], n)
		tally.Report(t, fmt.Sprintf("%s to %s, %v", r[0], r[1], time.Since(begin).Round(time.Second)))
		row = tally.Row(r[0], r[1], Vector(t, r[0], r[1]).Regions())
		row.Commit, row.Date, row.Budget = *commit, begin.Format(time.DateOnly), n
		rows = append(rows, row)
		if *results != "" {
			save(t, file, row)
		}
	}
	if *page == "" || t.Failed() {
		return
	}
	if len(rows) != len(routes) || *commit == "" {
		t.Fatal("the page wants all routes and -commit")
	}
	if err := report.Page(*page).Write("attack 2", FlipTable(rows)); err != nil {
		t.Error(err)
	}
}

func load(file string, v any) bool {
	b, err := os.ReadFile(file)
	return err == nil && json.Unmarshal(b, v) == nil
}

func save(t *testing.T, file string, v any) {
	b, err := json.MarshalIndent(v, "", " ")
	if err == nil {
		err = os.WriteFile(file, b, 0o644)
	}
	if err != nil {
		t.Error(err)
	}
}

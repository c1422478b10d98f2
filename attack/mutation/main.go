// Command mutation takes the rules of the audit away, one at a time, and says
// which of them no test misses.
//
// A rule is a condition - of an if, or of a case of a switch without a tag - under
// which a function makes an error of its own: not one that passes on what another
// function returned. Without it the condition is never true. The tests of the
// package have to fail then, or those of the whole crossing and of package attack.
//
//	go run ./attack/mutation -state build/attack/mutants.json -page docs/reliability.md
package main

import (
	"context"
	"encoding/json"
	"flag"
	"fmt"
	"log"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"time"

	"ferry/attack/metal"
)

// Result is what became of one mutant.
type Result struct {
	Killed string  // the package whose tests failed; empty: none
	Stage  int     // the last that was run
	Why    string  // the first of them
	Time   float64 // in seconds
}

// whole are tests that take long and in which nothing is wrong: no rule that is
// gone can fail them.
const whole = "^(TestOdditiesCrossToEveryGeneration|TestStateIsTheSameAfterManyCrossings|TestEveryGenerationCrossesToEveryOther|TestUndamagedHandoversArrive|TestLargeHandoversCross)$"

type config struct {
	state, page, root string
	packages          []string
	timeout           time.Duration
}

func main() {
	var c config
	flag.StringVar(&c.state, "state", "", "file of results: what is in it is not run again")
	flag.StringVar(&c.page, "page", "", "page to write the result into")
	packages := flag.String("packages", "fdt blockset kho luo memfd boot crossing", "folders with rules")
	workers := flag.Int("parallel", 2, "mutants at a time")
	flag.DurationVar(&c.timeout, "timeout", 10*time.Minute, "for the tests of one package; a mutant that hangs is found")
	only := flag.Bool("report", false, "only write down what the file of results has")
	list := flag.Bool("list", false, "only list the rules")
	flag.Parse()
	c.packages = strings.Fields(*packages)
	var err error
	if c.root, err = os.Getwd(); err != nil {
		log.Fatal(err)
	}
	var all []*Mutant
	for _, p := range c.packages {
		ms, err := Rules(p)
		if err != nil {
			log.Fatal(err)
		}
		all = append(all, ms...)
	}
	if *list {
		for _, m := range all {
			fmt.Println(m.Name(), m.Text)
		}
		return
	}
	results := make(map[string]Result)
	if b, err := os.ReadFile(c.state); err == nil {
		if err := json.Unmarshal(b, &results); err != nil {
			log.Fatal(err)
		}
	}
	for stage := range stages {
		if *only {
			break
		}
		c.run(all, results, *workers, stage+1)
	}
	survivors := report(all, results)
	if c.page != "" {
		if err := metal.Page(c.page).Write("attack 9", section(all, results, time.Now())); err != nil {
			log.Fatal(err)
		}
	}
	if survivors > 0 {
		os.Exit(1)
	}
}

// stages are the tests that a mutant has to survive, the likeliest to notice it
// first: those of its package that say so in their name, all of them, and those of
// what is built on it.
const stages = 3

// likely are the names of tests of what is refused.
const likely = "Refuse|Reject|Refused|Damage|Missing|BeforeAny|Loses|Whole|Name|Hides|Cannot"

func (c *config) tests(m *Mutant, stage int) [][]string {
	switch stage {
	case 1:
		return [][]string{{m.Package, "-run", likely}}
	case 2:
		return [][]string{{m.Package}}
	}
	var all [][]string
	for _, p := range []string{"attack", "crossing"} {
		if p != m.Package {
			all = append(all, []string{p})
		}
	}
	return all
}

// run tries every mutant that survived the stages before.
func (c *config) run(all []*Mutant, results map[string]Result, workers, stage int) {
	work := make(chan *Mutant)
	var wait sync.WaitGroup
	var mu sync.Mutex
	for range workers {
		wait.Go(func() {
			for m := range work {
				r, err := c.try(m, c.tests(m, stage))
				if err != nil {
					log.Fatal(err)
				}
				mu.Lock()
				r.Stage = stage
				results[m.Name()] = r
				b, err := json.MarshalIndent(results, "", " ")
				if err == nil && c.state != "" {
					err = os.WriteFile(c.state, b, 0o644)
				}
				if err != nil {
					log.Fatal(err)
				}
				log.Printf("%s %s: killed by %q %s, %.0f s", m.Name(), m.Text, r.Killed, r.Why, r.Time)
				mu.Unlock()
			}
		})
	}
	for _, m := range all {
		mu.Lock()
		r, done := results[m.Name()]
		mu.Unlock()
		if !done || r.Killed == "" && r.Stage < stage {
			work <- m
		}
	}
	close(work)
	wait.Wait()
}

// try runs the tests of the packages against one mutant.
func (c *config) try(m *Mutant, tests [][]string) (r Result, err error) {
	dir, err := os.MkdirTemp("", "mutant")
	if err != nil {
		return r, err
	}
	defer os.RemoveAll(dir)
	file := filepath.Join(dir, "mutant.go")
	if err := os.WriteFile(file, m.Source, 0o644); err != nil {
		return r, err
	}
	overlay, err := json.Marshal(map[string]any{"Replace": map[string]string{filepath.Join(c.root, m.File): file}})
	if err != nil {
		return r, err
	}
	over := filepath.Join(dir, "overlay.json")
	if err := os.WriteFile(over, overlay, 0o644); err != nil {
		return r, err
	}
	begin := time.Now()
	for _, p := range tests {
		ctx, cancel := context.WithTimeout(context.Background(), c.timeout)
		cmd := exec.CommandContext(ctx, "go", "test", "-vet=off", "-count=1", "-failfast", "-skip", whole, "-overlay", over)
		cmd.Args = append(append(cmd.Args, p[1:]...), "./"+p[0])
		out, err := cmd.CombinedOutput()
		late := ctx.Err() != nil
		cancel()
		if err == nil {
			continue
		}
		if strings.Contains(string(out), "[build failed]") {
			return r, fmt.Errorf("%s: does not build:\n%s", m.Name(), out)
		}
		r.Killed, r.Why = p[0], first(string(out))
		if late {
			r.Why = "hangs"
		}
		break
	}
	r.Time = time.Since(begin).Seconds()
	return r, nil
}

// first returns the name of the first test that failed.
func first(out string) string {
	for line := range strings.Lines(out) {
		if _, name, ok := strings.Cut(line, "--- FAIL: "); ok {
			name, _, _ = strings.Cut(name, " ")
			return name
		}
		if strings.HasPrefix(line, "panic:") {
			return strings.TrimSpace(line)
		}
	}
	return "?"
}

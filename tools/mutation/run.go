package main

import (
	"context"
	"encoding/json"
	"fmt"
	"log"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"time"
)

// Result is what became of one mutant.
type Result struct {
	Rule   string  // for people
	Killed string  // the package whose tests failed; empty: none
	Hangs  bool    // its tests did not end in time
	Stage  int     // the last that was run
	Why    string  // the first test that failed
	Time   float64 // in seconds
	Commit string  // that was attacked
}

// State is the file of results.
type State struct {
	Commit  string // the last that was attacked
	Results map[string]Result
}

// whole are tests that take long and in which nothing is wrong: no rule that is
// gone can fail them.
const whole = "^(TestOdditiesCrossToEveryGeneration|TestStateIsTheSameAfterManyCrossings|TestEveryGenerationCrossesToEveryOther|TestUndamagedHandoversArrive|TestLargeHandoversCross)$"

// stages are the tests that a mutant has to survive, the likeliest to notice it
// first: those of its package, and those of the whole crossing.
const stages = 2

func stage(pkg string, n int) []string {
	if n == 1 {
		return []string{pkg}
	}
	var all []string
	for _, p := range []string{"crossing", "attack"} {
		if p != pkg {
			all = append(all, p)
		}
	}
	return all
}

// building is how long a package and its tests may take to build on a busy machine.
const building = 5 * time.Minute

type config struct {
	state, root, commit string
	timeout             time.Duration
	workers             int

	mu    sync.Mutex
	saved State
	fails []error
}

// load reads the results of runs before. What survived on another commit is tried
// again, since that may have more tests; what was noticed holds as long as the
// text of its function does, which the key has.
func (c *config) load(all []*Mutant) error {
	c.saved.Results = make(map[string]Result)
	if b, err := os.ReadFile(c.state); err == nil {
		if err := json.Unmarshal(b, &c.saved); err != nil {
			return fmt.Errorf("%s: %w", c.state, err)
		}
	}
	c.saved.Commit = c.commit
	known := make(map[string]bool)
	for _, m := range all {
		known[m.Key] = true
	}
	for key, r := range c.saved.Results {
		if !known[key] || r.Killed == "" && r.Commit != c.commit {
			delete(c.saved.Results, key)
		}
	}
	return nil
}

// save keeps a result. The file is replaced whole, so that a run can be stopped.
func (c *config) save(m *Mutant, r Result) error {
	c.saved.Results[m.Key] = r
	if c.state == "" {
		return nil
	}
	b, err := json.MarshalIndent(c.saved, "", " ")
	if err != nil {
		return err
	}
	if err := os.WriteFile(c.state+".new", b, 0o644); err != nil {
		return err
	}
	return os.Rename(c.state+".new", c.state)
}

// sound runs the tests without any mutant: what fails then says nothing.
func (c *config) sound(packages []string) error {
	all := stage("", 2)
	for _, p := range packages {
		if p != "crossing" && p != "attack" {
			all = append(all, p)
		}
	}
	for _, p := range all {
		log.Printf("tests of %s with all rules in place", p)
		noticed, hangs, why, err := c.test(p, "")
		if err != nil {
			return fmt.Errorf("%s with all rules in place: %w", p, err)
		}
		if noticed {
			return fmt.Errorf("%s fails with all rules in place: %s (hangs: %v)", p, why, hangs)
		}
	}
	return nil
}

// run tries every mutant that survived the stages before.
func (c *config) run(all []*Mutant, n int) {
	work := make(chan *Mutant)
	var wait sync.WaitGroup
	for range c.workers {
		wait.Go(func() {
			for m := range work {
				r, err := c.try(m, n)
				c.mu.Lock()
				if err == nil {
					err = c.save(m, r)
				}
				if err != nil {
					c.fails = append(c.fails, fmt.Errorf("%s: %w", m.Name(), err))
					log.Printf("ERROR %s: %v", m.Name(), err)
				} else {
					log.Printf("%s: noticed by %q %s, %.0f s", m.Name(), r.Killed, r.Why, r.Time)
				}
				c.mu.Unlock()
			}
		})
	}
	for _, m := range all {
		c.mu.Lock()
		r, done := c.saved.Results[m.Key]
		c.mu.Unlock()
		if n == 1 && !done || n > 1 && done && r.Killed == "" && r.Stage < n {
			work <- m
		}
	}
	close(work)
	wait.Wait()
}

// try runs the tests of a stage against one mutant.
func (c *config) try(m *Mutant, n int) (r Result, err error) {
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
	r = Result{Rule: m.Name(), Stage: n, Commit: c.commit}
	begin := time.Now()
	for _, p := range stage(m.Package, n) {
		noticed, hangs, why, err := c.test(p, over)
		if err != nil {
			return r, err
		}
		if noticed {
			r.Killed, r.Hangs, r.Why = p, hangs, why
			break
		}
	}
	r.Time = time.Since(begin).Seconds()
	return r, nil
}

// test runs the tests of one package, and reports whether one of them failed or
// panicked, or whether they went on for too long. Everything else that can go
// wrong is an error, and proves nothing.
func (c *config) test(pkg, overlay string) (noticed, hangs bool, why string, err error) {
	ctx, cancel := context.WithTimeout(context.Background(), c.timeout+building)
	defer cancel()
	cmd := exec.CommandContext(ctx, "go", "test", "-vet=off", "-count=1", "-failfast", "-p", "1", "-skip", whole, "-timeout", c.timeout.String())
	if overlay != "" {
		cmd.Args = append(cmd.Args, "-overlay", overlay)
	}
	cmd.Args = append(cmd.Args, "./"+pkg)
	cmd.Env = append(os.Environ(), "GOMAXPROCS=1")
	b, err := cmd.CombinedOutput()
	if err == nil {
		return false, false, "", nil
	}
	out := string(b)
	if ctx.Err() != nil {
		return false, false, "", fmt.Errorf("%s neither built nor ended in %v:\n%s", pkg, c.timeout+building, out)
	}
	if strings.Contains(out, "panic: test timed out after") || strings.Contains(out, "*** Test killed") {
		return true, true, "hangs", nil
	}
	if why := first(out); why != "" && !strings.Contains(out, "[build failed]") && !strings.Contains(out, "[setup failed]") {
		return true, false, why, nil
	}
	return false, false, "", fmt.Errorf("%s: %w:\n%s", pkg, err, out)
}

// first returns the name of the first test that failed, or how the program ended.
func first(out string) string {
	for line := range strings.Lines(out) {
		line = strings.TrimSpace(line)
		if _, name, ok := strings.Cut(line, "--- FAIL: "); ok {
			name, _, _ = strings.Cut(name, " ")
			return name
		}
		for _, end := range []string{"panic:", "fatal error:", "runtime:", "unexpected fault"} {
			if strings.HasPrefix(line, end) {
				return line
			}
		}
	}
	return ""
}

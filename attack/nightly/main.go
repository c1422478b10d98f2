// Command nightly runs every fuzz target of the module for its share of a time
// budget, and writes what came of it into a page.
//
//	go run ./attack/nightly -budget 20m -page docs/reliability.md
package main

import (
	"cmp"
	"encoding/json"
	"flag"
	"fmt"
	"log"
	"os"
	"os/exec"
	"regexp"
	"runtime"
	"slices"
	"strconv"
	"strings"
	"time"

	"ferry/attack/metal"
)

// target is one fuzz target.
type target struct {
	pkg, name string
	count
}

// count is what came of it.
type count struct {
	Runs  int64
	Took  time.Duration
	Found string // the last lines of a run that failed
}

// share is how much more time a target gets than others: whole crossings are slow
// and have the most to find.
func (t *target) share() int {
	if t.name == "FuzzCrossing" {
		return 6
	}
	return 1
}

func main() {
	budget := flag.Duration("budget", 20*time.Minute, "processor time of all targets together")
	page := flag.String("page", "", "page to write the result into")
	state := flag.String("state", "", "file of counts: targets that have runs there are not run again")
	flag.Parse()
	all, err := targets()
	if err != nil {
		log.Fatal(err)
	}
	shares := 0
	for _, t := range all {
		shares += t.share()
	}
	each := *budget / time.Duration(shares*runtime.NumCPU())
	bad := 0
	counts := make(map[string]count)
	if b, err := os.ReadFile(*state); err == nil {
		if err := json.Unmarshal(b, &counts); err != nil {
			log.Fatal(err)
		}
	}
	for _, t := range all {
		if t.count = counts[t.pkg+" "+t.name]; t.Runs > 0 && t.Found == "" {
			continue
		}
		t.run(each * time.Duration(t.share()))
		if counts[t.pkg+" "+t.name] = t.count; *state != "" {
			b, err := json.MarshalIndent(counts, "", " ")
			if err == nil {
				err = os.WriteFile(*state, b, 0o644)
			}
			if err != nil {
				log.Fatal(err)
			}
		}
		log.Printf("%s %s: %d runs in %v", t.pkg, t.name, t.Runs, t.Took.Round(time.Second))
		if t.Found != "" {
			bad++
			log.Printf("%s", t.Found)
		}
	}
	if *page != "" {
		if err := metal.Page(*page).Write("attack 1", section(all, time.Now())); err != nil {
			log.Fatal(err)
		}
	}
	if bad > 0 {
		os.Exit(1)
	}
}

// targets lists every fuzz target of the module.
func targets() (all []*target, err error) {
	out, err := exec.Command("go", "list", "./...").Output()
	if err != nil {
		return nil, err
	}
	for _, pkg := range strings.Fields(string(out)) {
		out, err := exec.Command("go", "test", "-list", "^Fuzz", pkg).Output()
		if err != nil {
			return nil, fmt.Errorf("%s: %w", pkg, err)
		}
		for _, line := range strings.Fields(string(out)) {
			if strings.HasPrefix(line, "Fuzz") {
				all = append(all, &target{pkg: pkg, name: line})
			}
		}
	}
	slices.SortFunc(all, func(a, b *target) int { return cmp.Or(cmp.Compare(a.pkg, b.pkg), cmp.Compare(a.name, b.name)) })
	return all, nil
}

var execs = regexp.MustCompile(`execs: (\d+)`)

// run fuzzes for d. The end of the time is no failure, which go test sometimes
// takes it for.
func (t *target) run(d time.Duration) {
	begin := time.Now()
	out, err := exec.Command("go", "test", "-run", "^$", "-fuzz", "^"+t.name+"$", "-fuzztime", d.String(), "-fuzzminimizetime", "10x", t.pkg).CombinedOutput()
	t.Took = time.Since(begin)
	if all := execs.FindAllSubmatch(out, -1); len(all) > 0 {
		t.Runs, _ = strconv.ParseInt(string(all[len(all)-1][1]), 10, 64)
	}
	if err != nil && (strings.Contains(string(out), "Failing input") || !strings.Contains(string(out), "context deadline exceeded")) {
		t.Found = string(out[max(0, len(out)-4000):])
	}
}

// section is the part of the page.
func section(all []*target, now time.Time) string {
	var b strings.Builder
	var runs int64
	var took time.Duration
	bad := 0
	for _, t := range all {
		runs += t.Runs
		took += t.Took
		if t.Found != "" {
			bad++
		}
	}
	fmt.Fprintf(&b, "%s, `make fuzz-nightly`: every fuzz target of the module, %v together on %d processors that had other work too, %d runs. Seeds are handovers of real\n"+
		"kernels, whole or in parts; `FuzzCrossing` leads those of every generation, and those of the stand-ins, through a whole crossing after damage along\n"+
		"their structure: pointers to other pages of theirs, cycles, counts, orders and keys a little off, pages copied, cut short and shifted, tokens of\n"+
		"device trees, blocks more and less in the map. It proves that nothing was written where nothing may be, that a refused handover is handed on\n"+
		"untouched, and that what crosses reads as before to a decoder of its own. %d targets failed.\n\n", now.Format(time.DateOnly), took.Round(time.Second), runtime.NumCPU(), runs, bad)
	b.WriteString("| package | target | runs | seconds | found |\n| --- | --- | --- | --- | --- |\n")
	for _, t := range all {
		found := "nothing"
		if t.Found != "" {
			found = "a failure"
		}
		fmt.Fprintf(&b, "| %s | %s | %d | %.0f | %s |\n", strings.TrimPrefix(t.pkg, "ferry/"), t.name, t.Runs, t.Took.Seconds(), found)
	}
	return b.String()
}

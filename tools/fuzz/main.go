// Command fuzz runs every fuzz target of the module, each for an equal share of
// a budget of processor time, and writes what came of it into a page.
//
// The clock says little on a machine that has other work too. So what counts is the
// processor time that the system accounts to the test binary and its workers, after
// they were built: each target runs on until it had its share.
//
//	go run ./tools/fuzz -budget 20m -page docs/reliability.md
//	go run ./tools/fuzz -each 30s
//	go run ./tools/fuzz -keep
//
// What the fuzzer finds interesting it keeps in the build cache. -keep chooses from
// that, for each target, the inputs that together cover what all of them do and the
// seeds of the target do not, and puts them into testdata/fuzz, where plain tests run
// them too.
package main

import (
	"cmp"
	"encoding/json"
	"flag"
	"fmt"
	"log"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"runtime"
	"slices"
	"strconv"
	"strings"
	"time"

	"ferry/internal/report"
)

// target is one fuzz target.
type target struct {
	pkg, name string
	count
}

// count is what came of it.
type count struct {
	Runs  int64
	CPU   time.Duration // of all processors together
	Took  time.Duration // by the clock
	Found string        // the last lines of a run that failed
}

func main() {
	budget := flag.Duration("budget", 20*time.Minute, "processor time of all targets together")
	each := flag.Duration("each", 0, "processor time of each target, whatever the budget; 0: an equal share of it")
	page := flag.String("page", "", "page to write the result into")
	state := flag.String("state", "", "file of counts: targets that have runs there are not run again")
	keep := flag.Bool("keep", false, "fuzz nothing: put the least of what was found before that covers as much into testdata/fuzz")
	flag.Parse()
	all, err := targets()
	if err != nil {
		log.Fatal(err)
	}
	if len(all) == 0 {
		log.Fatal("no fuzz targets")
	}
	if *keep {
		if err := minimise(all); err != nil {
			log.Fatal(err)
		}
		return
	}
	if *each == 0 {
		*each = *budget / time.Duration(len(all))
	}
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
		if err := t.run(*each); err != nil {
			log.Fatal(err)
		}
		if counts[t.pkg+" "+t.name] = t.count; *state != "" {
			b, err := json.MarshalIndent(counts, "", " ")
			if err == nil {
				err = os.WriteFile(*state, b, 0o644)
			}
			if err != nil {
				log.Fatal(err)
			}
		}
		log.Printf("%s %s: %d runs, %v of processor time in %v", t.pkg, t.name, t.Runs, t.CPU.Round(time.Second), t.Took.Round(time.Second))
		if t.Found != "" {
			bad++
			log.Printf("%s", t.Found)
		}
	}
	if *page != "" {
		if err := report.Page(*page).Write("attack 1", section(all, time.Now())); err != nil {
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

// run fuzzes until the target had its share of processor time. The end of the time
// is no failure, which package testing sometimes takes it for.
func (t *target) run(share time.Duration) error {
	t.count = count{}
	dir, err := os.MkdirTemp("", "fuzz")
	if err != nil {
		return err
	}
	defer os.RemoveAll(dir)
	binary := filepath.Join(dir, "fuzz.test")
	if out, err := exec.Command("go", "test", "-c", "-fuzz", ".", "-o", binary, t.pkg).CombinedOutput(); err != nil {
		return fmt.Errorf("%s: %w:\n%s", t.pkg, err, out)
	}
	out, err := exec.Command("go", "list", "-f", "{{.Dir}}", t.pkg).Output()
	if err != nil {
		return fmt.Errorf("%s: %w", t.pkg, err)
	}
	folder := strings.TrimSpace(string(out))
	if out, err = exec.Command("go", "env", "GOCACHE").Output(); err != nil {
		return fmt.Errorf("go env: %w", err)
	}
	corpus := filepath.Join(strings.TrimSpace(string(out)), "fuzz", t.pkg) // that of go test -fuzz
	// Each start first runs what was found in other nights, so no more than needed.
	for share-t.CPU > share/20 && t.Found == "" {
		d := max((share-t.CPU)/time.Duration(runtime.NumCPU()), time.Second)
		cmd := exec.Command(binary, "-test.run", "^$", "-test.fuzz", "^"+t.name+"$", "-test.fuzztime", d.String(), "-test.fuzzminimizetime", "10x", "-test.fuzzcachedir", corpus)
		cmd.Dir = folder
		begin := time.Now()
		out, err := cmd.CombinedOutput()
		t.Took += time.Since(begin)
		t.CPU += cmd.ProcessState.UserTime() + cmd.ProcessState.SystemTime() // its workers' too, which it has waited for
		if all := execs.FindAllSubmatch(out, -1); len(all) > 0 {
			n, _ := strconv.ParseInt(string(all[len(all)-1][1]), 10, 64)
			t.Runs += n
		}
		if err != nil && (strings.Contains(string(out), "Failing input") || !strings.Contains(string(out), "context deadline exceeded")) {
			t.Found = string(out[max(0, len(out)-4000):])
		}
	}
	if t.Runs == 0 && t.Found == "" {
		return fmt.Errorf("%s %s ran nothing but what it knew, in %v of processor time: the budget is too small", t.pkg, t.name, t.CPU)
	}
	return nil
}

// section is the part of the page.
func section(all []*target, now time.Time) string {
	var b strings.Builder
	var runs int64
	var took, cpu time.Duration
	bad := 0
	for _, t := range all {
		runs += t.Runs
		took += t.Took
		cpu += t.CPU
		if t.Found != "" {
			bad++
		}
	}
	fmt.Fprintf(&b, "%s, `make fuzz-nightly`: every fuzz target of the module for an equal share of %v of processor time, %v by the clock on %d processors, %d runs. Seeds are handovers of real\n"+
		"kernels, whole or in parts; `FuzzCrossing` leads those of every generation, and those of the stand-ins, through a whole crossing after damage along\n"+
		"their structure: pointers to other pages of theirs, cycles, counts, orders and keys a little off, pages copied, cut short and shifted, tokens of\n"+
		"device trees, blocks more and less in the map. It proves that nothing was written where nothing may be, that a refused handover is handed on\n"+
		"untouched, and that what crosses reads as before to a decoder of its own. The target of each parser bounds what it takes from the heap as well, with\n"+
		"sub-trees of 4 MiB of nothing among the seeds. %d targets failed.\n\n", now.Format(time.DateOnly), cpu.Round(time.Second), took.Round(time.Second), runtime.NumCPU(), runs, bad)
	b.WriteString("| package | target | runs | processor seconds | found |\n| --- | --- | --- | --- | --- |\n")
	for _, t := range all {
		found := "nothing"
		if t.Found != "" {
			found = "a failure"
		}
		fmt.Fprintf(&b, "| %s | %s | %d | %.0f | %s |\n", strings.TrimPrefix(t.pkg, "ferry/"), t.name, t.Runs, t.CPU.Seconds(), found)
	}
	return b.String()
}

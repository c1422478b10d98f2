// Command nightly makes targets one after another, whatever becomes of each, and
// writes one dated page of what became of them:
//
//	go run ./tools/nightly -page docs/nightly.md -logs build/nightly attack-flips attack-kill
//
// Some targets replace a section of docs/reliability.md as well, with the figures of
// the attack. The page says which day and commit those are of. It ends with exit
// code 1 if some target failed.
package main

import (
	"errors"
	"flag"
	"fmt"
	"log"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"strings"
	"time"

	"ferry/internal/report"
)

// result is what became of one target.
type result struct {
	target     string
	took, cpu  time.Duration
	failed     bool
	lastWords  string // of one that failed
	notStarted error
}

func main() {
	log.SetFlags(log.Ltime)
	page := flag.String("page", "", "page to write")
	logs := flag.String("logs", "build/nightly", "folder for the output of each target")
	flag.Parse()
	if *page == "" || flag.NArg() == 0 {
		log.Fatal("want -page and targets")
	}
	begin := time.Now()
	commit, err := exec.Command("git", "describe", "--always", "--dirty").Output()
	if err != nil {
		log.Fatalf("git describe: %v", err)
	}
	if err := os.MkdirAll(*logs, 0o755); err != nil {
		log.Fatal(err)
	}
	var results []result
	failed := 0
	for _, target := range flag.Args() {
		r := run(target, filepath.Join(*logs, target+".log"))
		log.Printf("%s: %s in %v", r.target, r.outcome(), r.took.Round(time.Second))
		if r.failed {
			failed++
		}
		results = append(results, r)
		// After each: a machine that is taken away leaves what was done.
		if err := os.WriteFile(*page, []byte(text(begin, strings.TrimSpace(string(commit)), results, flag.NArg())), 0o644); err != nil {
			log.Fatal(err)
		}
	}
	if failed > 0 {
		log.Fatalf("%d of %d targets failed", failed, len(results))
	}
}

// run makes one target. Its output goes to a file, whose end is kept if it fails.
func run(target, name string) (r result) {
	r.target = target
	begin := time.Now()
	out, err := os.Create(name)
	if err != nil {
		return result{target: target, failed: true, notStarted: err}
	}
	cmd := exec.Command("make", "--no-print-directory", target)
	cmd.Stdout, cmd.Stderr = out, out
	err = errors.Join(cmd.Run(), out.Close())
	r.took = time.Since(begin)
	if cmd.ProcessState == nil {
		return result{target: target, failed: true, notStarted: err}
	}
	r.cpu = cmd.ProcessState.UserTime() + cmd.ProcessState.SystemTime()
	if r.failed = err != nil; r.failed {
		r.lastWords = tail(name)
	}
	return r
}

func (r result) outcome() string {
	switch {
	case r.notStarted != nil:
		return "did not start: " + r.notStarted.Error()
	case r.failed:
		return "FAILED"
	}
	return "passed"
}

// tail returns the last 30 lines of a file.
func tail(name string) string {
	b, err := os.ReadFile(name)
	if err != nil {
		return err.Error()
	}
	lines := strings.Split(strings.TrimSpace(string(b)), "\n")
	return strings.Join(lines[max(0, len(lines)-30):], "\n")
}

// text is the page.
func text(begin time.Time, commit string, results []result, all int) string {
	var b strings.Builder
	fmt.Fprintf(&b, "# The nightly of %s\n\nCommit %s, with %s on %d processors. `make nightly` writes this page; the figures of the attacks are in\n[reliability.md](reliability.md), each with its own date.\n\n",
		begin.UTC().Format(time.DateOnly), commit, runtime.Version(), runtime.NumCPU())
	if n := all - len(results); n > 0 {
		fmt.Fprintf(&b, "Targets still to come: %d.\n\n", n)
	}
	table := report.Table{{"target", "outcome", "minutes", "processor minutes"}}
	for _, r := range results {
		table = append(table, []string{"`make " + r.target + "`", r.outcome(), fmt.Sprintf("%.1f", r.took.Minutes()), fmt.Sprintf("%.1f", r.cpu.Minutes())})
	}
	b.WriteString(table.String())
	for _, r := range results {
		if r.lastWords != "" {
			fmt.Fprintf(&b, "\n## %s\n\n```\n%s\n```\n", r.target, r.lastWords)
		}
	}
	return b.String()
}

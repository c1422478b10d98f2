// Command mutation takes the rules of the audit away, one at a time, and says
// which of them no test misses.
//
// A rule is a condition under which a function makes an error of its own, not one
// that passes on what another function of the module returned:
//
//   - of an if, an else, or a case, in a function or a closure; of alternatives
//     each is a rule, and where a condition accepts, each of what it asks for;
//   - wherever the error goes: returned, assigned, added to findings, handed to
//     another function; as a record or as the words that become one;
//   - of a function that says yes or no, where a rule asks it for that;
//   - that the standard library refused something.
//
// Without its rule nothing is refused: the condition is never true, or always,
// where it accepts. The tests of the package have to fail then, or those of the
// whole crossing and of package attack. Nothing else counts: tests that do not end
// in time are a column of their own, and any other failure is an error.
//
// How none is left out: whatever makes an error is found by what it is - a literal
// of an error type, fmt.Errorf, errors.New, a sentinel, a function or closure whose
// only end is such an error - and is under a rule, or passes an error on, or is
// all that its function is for, or has no rule: -places says which, for every one
// of them. It then reads the same files without any knowledge of Go, for lines with
// the words Error{, Errorf(, errors.New( or Err and a capital letter, and lists
// those that it did not account for. What it lists is judged by eye.
//
//	go run ./tools/mutation -state build/attack/mutants.json -page docs/reliability.md
package main

import (
	"errors"
	"flag"
	"fmt"
	"log"
	"os"
	"os/exec"
	"strings"
	"time"

	"ferry/internal/report"
)

func main() {
	c := &config{}
	flag.StringVar(&c.state, "state", "", "file of results: what is in it is not run again")
	page := flag.String("page", "", "page to write the result into")
	packages := flag.String("packages", "phys own fdt blockset kho luo memfd boot boot/minisign boot/payload board/record crossing", "folders with rules")
	flag.IntVar(&c.workers, "parallel", 2, "mutants at a time, on a processor each")
	flag.DurationVar(&c.timeout, "timeout", time.Minute, "for the tests of one package")
	last := flag.Int("stages", stages, "1: only the tests of the package itself, 2: those of the crossing too")
	only := flag.Bool("report", false, "only write down what the file of results has")
	list := flag.Bool("list", false, "only list the rules")
	where := flag.Bool("places", false, "only list where errors are made, and which lines look like it and are not known")
	trust := flag.Bool("trust", false, "do not run the tests with all rules in place first")
	flag.Parse()
	all, made, err := Mutants(strings.Fields(*packages))
	if err != nil {
		log.Fatal(err)
	}
	if *list {
		for _, m := range all {
			fmt.Printf("%s:%d %s: %s\n", m.File, m.Line, m.Func, m.Text)
		}
		return
	}
	if *where {
		if err := places(strings.Fields(*packages), made); err != nil {
			log.Fatal(err)
		}
		return
	}
	if c.root, err = os.Getwd(); err != nil {
		log.Fatal(err)
	}
	if c.commit, err = commit(); err != nil {
		log.Fatal(err)
	}
	if err := c.load(all); err != nil {
		log.Fatal(err)
	}
	if !*only {
		if !*trust {
			if err := c.sound(strings.Fields(*packages)); err != nil {
				log.Fatal(err)
			}
		}
		for n := range *last {
			c.run(all, n+1)
		}
	}
	left := survivors(all, c.saved.Results)
	if *page != "" {
		if err := report.Page(*page).Write("attack 9", section(all, c.saved, time.Now())); err != nil {
			log.Fatal(err)
		}
	}
	if err := errors.Join(c.fails...); err != nil {
		log.Fatal(err)
	}
	if left > 0 {
		os.Exit(1)
	}
}

// commit names what is attacked. Files that are not committed would be attacked
// under a wrong name.
func commit() (string, error) {
	changed, err := exec.Command("git", "status", "--porcelain", "--untracked-files=no", "--", "*.go", "go.mod", "go.sum").Output()
	if err != nil {
		return "", fmt.Errorf("git status: %w", err)
	}
	if len(changed) > 0 {
		return "", fmt.Errorf("commit these first, or run in a clone: results are those of a commit:\n%s", changed)
	}
	head, err := exec.Command("git", "rev-parse", "--short=12", "HEAD").Output()
	return strings.TrimSpace(string(head)), err
}

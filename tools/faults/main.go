// Command faults puts one fault after another into a copy of this module and wants
// the tests to fail. None of the faults takes away a rule that refuses something, as
// tools/mutation does: they are slips of arithmetic, of order and of range in what
// Ferry does with sound input.
//
//	go run ./tools/faults                  every fault, its own tests alone
//	go run ./tools/faults -only flush      those whose name contains the word
//	go run ./tools/faults -check           only that each fault still fits its file
//
// A fault that no longer fits its file is a failure as well: put it where the code
// went.
package main

import (
	"bytes"
	"errors"
	"flag"
	"fmt"
	"io/fs"
	"log"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"time"

	"ferry/internal/report"
)

// fault is a text that stands in a file once, and what stands there instead.
type fault struct {
	name     string
	file     string
	old, new string
	test     string // a shell command in the root of the module, part of `make test`
}

func main() {
	log.SetFlags(0)
	log.SetPrefix("faults: ")
	only := flag.String("only", "", "take the faults whose name contains this")
	check := flag.Bool("check", false, "run no test")
	page := flag.String("page", "", "page to write the result into")
	flag.Parse()
	if err := run(*only, *check, *page); err != nil {
		log.Fatal(err)
	}
}

func run(only string, check bool, page string) error {
	table := report.Table{{"fault", "file", "`make test` runs", "seconds", "outcome"}}
	var problems []error
	for _, f := range faults {
		if !strings.Contains(f.name, only) {
			continue
		}
		if err := f.fits("."); err != nil || check {
			problems = append(problems, err)
			continue
		}
		begin := time.Now()
		outcome, err := f.try()
		if err != nil {
			problems = append(problems, err)
			outcome = "NOT CAUGHT"
		}
		fmt.Printf("%s: %s\n", f.name, outcome)
		table = append(table, []string{f.name, "`" + f.file + "`", "`" + f.test + "`", fmt.Sprintf("%.0f", time.Since(begin).Seconds()), outcome})
	}
	if err := errors.Join(problems...); err != nil || page == "" {
		return err
	}
	text := fmt.Sprintf("%s, `make attack-faults`: %d faults that take no rule away, one at a time. Each has to fail tests that `make test` runs.\n\n%s",
		time.Now().UTC().Format(time.DateOnly), len(table)-1, table)
	return report.Page(page).Write("attack 12", text)
}

// fits returns an error if the fault's text does not stand in its file exactly once.
func (f fault) fits(root string) error {
	b, err := os.ReadFile(filepath.Join(root, f.file))
	if err != nil {
		return fmt.Errorf("%s: %w", f.name, err)
	}
	if n := bytes.Count(b, []byte(f.old)); n != 1 {
		return fmt.Errorf("%s: %s has %q %d times, want it once", f.name, f.file, f.old, n)
	}
	return nil
}

// try runs the tests with the fault, in a copy, and returns the first that failed.
func (f fault) try() (string, error) {
	root, err := os.MkdirTemp("", "faults")
	if err != nil {
		return "", err
	}
	defer os.RemoveAll(root)
	if err := tree(root); err != nil {
		return "", err
	}
	name := filepath.Join(root, f.file)
	b, err := os.ReadFile(name)
	if err != nil {
		return "", err
	}
	if err := os.WriteFile(name, bytes.Replace(b, []byte(f.old), []byte(f.new), 1), 0o644); err != nil {
		return "", err
	}
	// A fault that does not build proves nothing.
	if out, err := command(root, "go vet ./"+filepath.Dir(f.file)).CombinedOutput(); err != nil {
		return "", fmt.Errorf("%s: does not build: %w\n%s", f.name, err, out)
	}
	out, err := command(root, f.test).CombinedOutput()
	if err == nil {
		return "", fmt.Errorf("%s: %s passes", f.name, f.test)
	}
	for line := range strings.Lines(string(out)) {
		if test, ok := strings.CutPrefix(strings.TrimSpace(line), "--- FAIL: "); ok {
			test, _, _ = strings.Cut(test, " ")
			return "fails `" + test + "`", nil
		}
	}
	if bytes.Contains(out, []byte("panic: ")) {
		return "panics", nil
	}
	return "", fmt.Errorf("%s: %s fails without a failed test: %w\n%s", f.name, f.test, err, out)
}

func command(root, line string) *exec.Cmd {
	cmd := exec.Command("sh", "-c", line)
	cmd.Dir = root
	return cmd
}

// tree copies what git knows of the module to root.
func tree(root string) error {
	out, err := exec.Command("git", "ls-files", "-z").Output()
	if err != nil {
		return fmt.Errorf("git ls-files: %w", err)
	}
	for _, name := range strings.Split(strings.TrimRight(string(out), "\x00"), "\x00") {
		b, err := os.ReadFile(name)
		if errors.Is(err, fs.ErrNotExist) {
			continue // deleted, and not committed yet
		}
		if err != nil {
			return err
		}
		info, err := os.Stat(name)
		if err != nil {
			return err
		}
		to := filepath.Join(root, name)
		if err := os.MkdirAll(filepath.Dir(to), 0o755); err != nil {
			return err
		}
		if err := os.WriteFile(to, b, info.Mode()); err != nil {
			return err
		}
	}
	return nil
}

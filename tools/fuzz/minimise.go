package main

import (
	"errors"
	"fmt"
	"io/fs"
	"log"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
)

const (
	candidates = 80 // inputs of a target that are looked at
	most       = 24 // that are kept
)

// minimise fills the folders testdata/fuzz of all targets. It adds to what is there.
func minimise(all []*target) error {
	cache, err := exec.Command("go", "env", "GOCACHE").Output()
	if err != nil {
		return fmt.Errorf("go env: %w", err)
	}
	for _, t := range all {
		found, err := filepath.Glob(filepath.Join(strings.TrimSpace(string(cache)), "fuzz", t.pkg, t.name, "*"))
		if err != nil {
			return err
		}
		if len(found) == 0 {
			continue
		}
		n, err := t.minimise(found)
		if err != nil {
			return fmt.Errorf("%s %s: %w", t.pkg, t.name, err)
		}
		log.Printf("%s %s: %d of %d inputs kept", t.pkg, t.name, n, len(found))
	}
	return nil
}

// minimise keeps of the inputs those that cover something that neither the seeds nor
// one before covers, and returns how many.
func (t *target) minimise(found []string) (kept int, err error) {
	out, err := exec.Command("go", "list", "-f", "{{.Dir}}", t.pkg).Output()
	if err != nil {
		return 0, err
	}
	dir, err := os.MkdirTemp("", "fuzz")
	if err != nil {
		return 0, err
	}
	defer os.RemoveAll(dir)
	folder, binary := strings.TrimSpace(string(out)), filepath.Join(dir, "fuzz.test")
	if out, err := exec.Command("go", "test", "-c", "-cover", "-o", binary, t.pkg).CombinedOutput(); err != nil {
		return 0, fmt.Errorf("%w:\n%s", err, out)
	}
	corpus := filepath.Join(folder, "testdata", "fuzz", t.name)
	if err := os.MkdirAll(corpus, 0o755); err != nil {
		return 0, err
	}
	covered, err := t.covers(binary, folder, "", filepath.Join(dir, "profile"))
	if err != nil {
		return 0, err
	}
	for i, name := range found {
		if i >= candidates || kept >= most {
			break
		}
		to := filepath.Join(corpus, filepath.Base(name))
		if _, err := os.Stat(to); !errors.Is(err, fs.ErrNotExist) {
			continue
		}
		b, err := os.ReadFile(name)
		if err != nil {
			return kept, err
		}
		if len(b) > 64<<10 {
			continue // too large to be looked at by a person
		}
		if err := os.WriteFile(to, b, 0o644); err != nil {
			return kept, err
		}
		blocks, err := t.covers(binary, folder, "/^"+filepath.Base(name)+"$", filepath.Join(dir, "profile"))
		if err != nil {
			return kept, errors.Join(err, fmt.Errorf("%s fails, and stays", to))
		}
		more := false
		for b := range blocks {
			more = more || !covered[b]
			covered[b] = true
		}
		if more {
			kept++
		} else if err := os.Remove(to); err != nil {
			return kept, err
		}
	}
	os.Remove(corpus) // unless something is in it
	os.Remove(filepath.Dir(corpus))
	os.Remove(filepath.Dir(filepath.Dir(corpus)))
	return kept, nil
}

// covers runs the target on some of its inputs, all of those in testdata and the
// seeds if which is empty, and returns the blocks of code that they reach.
func (t *target) covers(binary, folder, which, profile string) (map[string]bool, error) {
	cmd := exec.Command(binary, "-test.run", "^"+t.name+"$"+which, "-test.coverprofile", profile)
	cmd.Dir = folder
	if out, err := cmd.CombinedOutput(); err != nil {
		return nil, fmt.Errorf("%w:\n%s", err, out)
	}
	b, err := os.ReadFile(profile)
	if err != nil {
		return nil, err
	}
	blocks := make(map[string]bool)
	for line := range strings.Lines(string(b)) {
		// file.go:1.2,3.4 statements count
		if block, n, ok := strings.Cut(line, " "); ok && !strings.HasSuffix(strings.TrimSpace(n), " 0") {
			blocks[block] = true
		}
	}
	return blocks, nil
}

package main

import (
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"
)

// TestAFailureDoesNotHideTheOthers makes targets of a Makefile of its own.
func TestAFailureDoesNotHideTheOthers(t *testing.T) {
	dir := t.TempDir()
	t.Chdir(dir)
	t.Setenv("MAKEFLAGS", "") // the gate runs this below a make of its own, with a job server
	if err := os.WriteFile("Makefile", []byte("good:\n\t@echo fine\nbad:\n\t@echo it broke here; exit 3\n"), 0o644); err != nil {
		t.Fatal(err)
	}
	var all []result
	for _, target := range []string{"bad", "good", "missing"} {
		all = append(all, run(target, filepath.Join(dir, target+".log")))
	}
	page := text(time.Date(2026, 12, 1, 3, 0, 0, 0, time.UTC), "abc1234", all, 4)
	for _, want := range []string{"# The nightly of 2026-12-01", "Commit abc1234", "still to come: 1", "| `make bad` | FAILED |", "| `make good` | passed |",
		"| `make missing` | FAILED |", "## bad\n\n```\nit broke here\n", "No rule to make target"} {
		if !strings.Contains(page, want) {
			t.Errorf("the page does not say %q:\n%s", want, page)
		}
	}
	if strings.Contains(page, "## good") {
		t.Errorf("the page shows the output of a target that passed:\n%s", page)
	}
}

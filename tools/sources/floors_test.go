package main

import (
	"os"
	"regexp"
	"strconv"
	"strings"
	"testing"
)

// above are the folders that stand on all floors: programs for tests, tests and tools.
var above = []string{"attack", "board/amd64/trial", "cmd/probe", "goos/check", "internal", "linux", "tools"}

// TestNoPackageImportsAFloorAboveItsOwn reads the table of docs/architecture.md, so that
// the page and the code cannot differ.
func TestNoPackageImportsAFloorAboveItsOwn(t *testing.T) {
	t.Chdir("../..")
	floors := readFloors(t)
	seen := make(map[string]bool)
	for _, tags := range []string{"", "metal", "metal tamago"} {
		lines, err := list("-tags", tags, "-f", `{{.ImportPath}} {{join .Imports " "}}`, "./...")
		if err != nil {
			t.Fatal(err)
		}
		for _, line := range lines {
			pkg, imports, _ := strings.Cut(line, " ")
			pkg = strings.TrimPrefix(pkg, "ferry/")
			if forTests(pkg) {
				continue
			}
			floor, ok := floors[pkg]
			if !ok {
				t.Errorf("docs/architecture.md has no floor for %s", pkg)
			}
			seen[pkg] = true
			for imported := range strings.FieldsSeq(imports) {
				below, ours := strings.CutPrefix(imported, "ferry/")
				if !ours {
					continue
				}
				if at, ok := floors[below]; !ok || at >= floor {
					t.Errorf("%s, on floor %d, imports %s, on floor %d (0 if it has none)", pkg, floor, below, at)
				}
			}
		}
	}
	for pkg := range floors {
		if !seen[pkg] {
			t.Errorf("docs/architecture.md has a floor for %s, and there is no such package", pkg)
		}
	}
}

// forTests reports whether a package belongs to no floor: it is one of those above all,
// or helps the tests of another, as its name says.
func forTests(pkg string) bool {
	for _, folder := range above {
		if pkg == folder || strings.HasPrefix(pkg, folder+"/") {
			return true
		}
	}
	return strings.HasSuffix(pkg, "test")
}

var (
	floorRow = regexp.MustCompile("(?m)^\\| (\\d+) \\| ((?:`[a-z0-9/]+`(?:, )?)+) \\|")
	quoted   = regexp.MustCompile("`([^`]+)`")
)

func readFloors(t *testing.T) map[string]int {
	page, err := os.ReadFile("docs/architecture.md")
	if err != nil {
		t.Fatal(err)
	}
	floors := make(map[string]int)
	for _, row := range floorRow.FindAllStringSubmatch(string(page), -1) {
		floor, err := strconv.Atoi(row[1])
		if err != nil {
			t.Fatal(err)
		}
		for _, pkg := range quoted.FindAllStringSubmatch(row[2], -1) {
			if _, twice := floors[pkg[1]]; twice {
				t.Errorf("%s is on two floors", pkg[1])
			}
			floors[pkg[1]] = floor
		}
	}
	if len(floors) < 10 {
		t.Fatalf("docs/architecture.md has %d packages in its table of floors", len(floors))
	}
	return floors
}

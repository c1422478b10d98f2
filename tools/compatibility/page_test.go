package main

import (
	"strings"
	"testing"
	"time"

	"ferry/linux"
)

func result(kind string, fate linux.Fate, words string, way ...string) linux.Result {
	return linux.Result{Kind: kind, Route: linux.Route{Releases: way, Rounds: len(way) - 1, Direct: kind == "without"}, Fate: fate,
		Words: strings.Fields(words), Sessions: 7, Files: 151, Bytes: 15, Date: time.Date(2026, 11, 22, 18, 0, 0, 0, time.UTC),
		Steps: []linux.Step{{Banner: way[0] + " (gcc)", Number: "4", From: "x (count 2)", Digest: "0a"}}, Command: "make test-matrix"}
}

func TestEveryCellIsAResult(t *testing.T) {
	known := result("through", linux.Kept, "", "6.19.14", "7.3.4")
	known.Known = 1
	alone := result("through", linux.Kept, "", "6.18.15", "6.18.15")
	alone.Sessions = 0
	bare := result("chain", linux.Kept, "", "6.18.15", "6.19.14")
	bare.Sessions = 0
	got := string(page([]linux.Result{
		result("without", linux.Kept, "", "6.19.14", "6.19.14"),
		result("without", linux.Panicked, "luo:panic", "6.19.14", "7.3.4"),
		result("without", linux.Lost, "at-0x12345", "7.3.4", "6.19.14"),
		result("through", linux.Kept, "", "6.19.14", "6.19.14"),
		result("through", linux.Damaged, "kernel|0", "7.3.4", "6.19.14"),
		known, alone, bare,
		result("without", linux.Panicked, "luo:panic", "7.2.12-eprime", "7.1.13"),
		result("through", linux.Kept, "", "7.2.12", "7.2.12-eprime"),
		result("chain", linux.Kept, "", "6.19.14", "7.3.4", "6.19.14"),
		result("limit", linux.Refused, "819,0x6", "7.3.4", "6.19.14"),
	}))
	for _, want := range []string{
		"Not there: a kernel of 6.16, 6.17, 7.0, 7.1.",
		"| from \\ to | 6.18.15 | 6.19.14 | 7.2.12-eprime | 7.2.12 | 7.3.4 |",
		"| 6.19.14 | not run | kept | not run | not run | **panic** |\n",
		"| 7.3.4 | not run | **lost** | not run | not run | not run |\n",
		"| 6.18.15 | kept | not run | not run | not run | not run |\n| 6.19.14 | not run | kept | not run | not run | kept¹ |\n",
		"| 7.2.12 | not run | not run | kept | not run | not run |\n| 7.3.4 | not run | **damaged** | not run | not run | not run |\n",
		"1 of 3 pairs keep all of the state.",
		"4 of 5 pairs keep all of the state.",
		"| 7.3.4 -> 6.19.14 | lost | `at-0x...` |",
		"| 7.3.4 -> 6.19.14 | damaged | `kernel/0` |",
		"In a pair the state is 7 sessions, 151 files and 15 bytes",
		"## A chain in one boot, with 7 sessions and 151 files: kept",
		"## A chain in one boot, with a reserved region and the folios of test_kho: kept",
		"| 0 | 6.19.14 | 4 | x (count 2) | 0a |",
		"| 7.3.4 -> 6.19.14 | **refused** | `819,0x6` |",
		"| the second kernel panics in early boot | 1: 6.19 -> 7.3 | 1 of 1 kept |",
		"\"disabling KHO revival\", and its memory is used as free memory | 1: 7.3 -> 6.19 | 0 of 1 kept |",
		"| 7.2.12-eprime | `7.2.12-eprime (gcc)` |\n| 7.2.12 | `7.2.12 (gcc)` |\n",
	} {
		if !strings.Contains(got, want) {
			t.Errorf("no %q in\n%s", want, got)
		}
	}
}

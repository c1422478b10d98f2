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
	alone := result("through", linux.Kept, "", "6.18.15", "6.19.14")
	alone.Sessions = 0
	got := string(page([]linux.Result{
		result("without", linux.Kept, "", "6.19.14", "6.19.14"),
		result("without", linux.Panicked, "luo:panic", "6.19.14", "7.3.4"),
		result("without", linux.Lost, "at-0x12345", "7.3.4", "6.19.14"),
		result("through", linux.Kept, "", "6.19.14", "6.19.14"),
		result("through", linux.Damaged, "kernel|0", "7.3.4", "6.19.14"),
		known, alone,
		result("chain", linux.Kept, "", "6.19.14", "7.3.4", "6.19.14"),
		result("limit", linux.Refused, "819,0x6", "7.3.4", "6.19.14"),
	}))
	for _, want := range []string{
		"| from \\ to | 6.19.14 | 7.3.4 |",
		"| 6.19.14 | kept | **panic** |\n| 7.3.4 | **lost** | not run |",
		"| 6.19.14 | kept | kept¹ |\n| 7.3.4 | **damaged** | not run |",
		"1 of 3 pairs keep all of the state.",
		"2 of 3 pairs keep all of the state.",
		"| 7.3.4 -> 6.19.14 | lost | `at-0x...` |",
		"| 7.3.4 -> 6.19.14 | damaged | `kernel/0` |",
		"| 6.18.15 -> 6.19.14 | between | kept |  |",
		"## A chain in one boot: kept",
		"| 0 | 6.19.14 | 4 | x (count 2) | 0a |",
		"| 7.3.4 -> 6.19.14 | between | **refused** | `819,0x6` |",
		"| the second kernel panics in early boot | 1: 6.19 -> 7.3 | 1 of 1 kept |",
		"\"disabling KHO revival\", and its memory is used as free memory | 1: 7.3 -> 6.19 | 0 of 1 kept |",
		"| 6.19.14 | `(gcc)` |",
	} {
		if !strings.Contains(got, want) {
			t.Errorf("no %q in\n%s", want, got)
		}
	}
}

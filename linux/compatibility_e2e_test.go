//go:build linux_e2e

package linux

import (
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"ferry/linux/workload"
)

// A trial is one run of the suite and what has to become of its state.
type trial struct {
	kind  string
	run   Run
	words string   // for the command line
	fate  Fate     // empty: whatever it is
	says  []string // what some line has to say
	cover bool     // also part of the covering subset
}

// TestCompatibility carries state between real kernels of every series, through Ferry and without it, and leaves the
// results in the build folder, from which tools/compatibility writes docs/compatibility.md. Series of which no kernel was
// built have no part in it, which linux/kernels.sh says, and so does the page.
func TestCompatibility(t *testing.T) {
	t.Parallel()
	there := Matrix()
	if os.Getenv("FERRY_KERNELS") != "" {
		there = slices.DeleteFunc(there, func(s string) bool {
			_, err := Kernel(*build, s)
			if err != nil {
				t.Logf("without %s: %v", s, err)
			}
			return err != nil
		})
	}
	var all []trial
	all = append(all, pairs(t, there)...)
	all = append(all, chains(t, there)...)
	all = append(all, limits(t, there)...)
	for _, tr := range all {
		if !*whole && !tr.cover {
			continue
		}
		t.Run(tr.kind+"/"+strings.Join(tr.run.Releases, "-"), func(t *testing.T) {
			t.Parallel()
			tr.try(t)
		})
	}
}

// The pairs, each without Ferry and through it, that run every time. Without Ferry one of each fate: a panic, two ways to
// lose the state, one to keep it. Through Ferry every generation on either side: the chains go from each to its
// neighbours, up and down, and these pairs are the longer ways, and the ones from a generation to itself.
var (
	coveringWithout = []string{"6.19 7.0", "7.3 7.1", "6.16 6.17", "6.18 7.3"}
	coveringThrough = []string{"6.19 7.3", "7.3 6.19", "7.1 6.19", "7.0 7.2", "7.2 7.0", "7.2-eprime 7.2-eprime", "7.2-eprime 6.19",
		"6.16 6.16", "6.17 7.3", "7.3 6.16", "6.18 6.18", "6.18 7.3", "7.3 6.18"}
)

// pairs is every ordered pair, without Ferry and through it. Kernels before 6.19 have no LUO: to and from them goes what is
// handed over beside it, a reserved region and the folios of test_kho.
func pairs(t *testing.T, there []string) (all []trial) {
	for _, a := range there {
		for _, b := range there {
			pair := a + " " + b
			run := Run{Route: route(t, a, b), Region: true}
			if HasLUO(a) && HasLUO(b) {
				run.Plan = workload.Plan{Mixed: true}
			}
			without := trial{kind: "without", run: run, fate: alone(a, b), cover: slices.Contains(coveringWithout, pair)}
			without.run.Direct = true
			all = append(all, without, trial{kind: "through", run: run, fate: Kept, cover: slices.Contains(coveringThrough, pair)})
		}
	}
	return all
}

// alone is what becomes of the state without Ferry, nothing where nobody can say that beforehand. What the second kernel
// reads is lost unless the first one wrote the same formats.
func alone(a, b string) Fate {
	kept := []string{"7.2 7.3", "7.3 7.2", "7.0 6.19"}
	panics := []string{"6.19 7.0", "7.1 7.2-eprime", "7.2-eprime 7.1"}
	small, large := []string{"6.16", "6.17"}, []string{"6.18", "6.19", "7.0"} // bitmaps, under one name
	within := func(group []string) bool { return slices.Contains(group, a) && slices.Contains(group, b) }
	pair := a + " " + b
	switch {
	case a == b || slices.Contains(kept, pair):
		return Kept
	case slices.Contains(panics, pair):
		return Panicked
	case within(small) || within(large) && !(HasLUO(a) && HasLUO(b)):
		return Kept
	case within(slices.Concat(small, large)):
		return ""
	}
	return Lost
}

// chains goes through every series in one boot, up and down: those with LUO, and all.
func chains(t *testing.T, there []string) (all []trial) {
	for _, r := range []Run{{Plan: workload.Plan{Mixed: true}, Region: true}, {Region: true}} {
		way := slices.DeleteFunc(slices.Clone(there), func(s string) bool { return r.Plan.Mixed && !HasLUO(s) })
		down := slices.Clone(way[:len(way)-1])
		slices.Reverse(down)
		r.Route = route(t, append(way, down...)...)
		all = append(all, trial{kind: "chain", run: r, fate: Kept, cover: true})
	}
	return all
}

// limits hands over more sessions and files than Linux 7.1 and older make.
func limits(t *testing.T, there []string) (all []trial) {
	many := workload.Plan{Sessions: 900, Files: 1, Wide: 200}
	for _, pair := range [][]string{{"7.3", "7.1"}, {"7.3", "7.0"}, {"7.3", "6.19"}, {"7.3", "7.2"}, {"7.2", "7.3"},
		{"7.3", "7.2-eprime"}, {"7.2-eprime", "7.3"}, {"7.2-eprime", "7.1"}} {
		if !has(there, pair...) {
			continue
		}
		run := Run{Route: route(t, pair...), Plan: many}
		all = append(all, trial{kind: "beyond", run: run, words: "ferry.beyond-limits=1", fate: Kept, cover: pair[1] == "7.1"})
		if !hasBlocks(run.Release(1)) {
			all = append(all, trial{kind: "limit", run: run, words: "ferry.on-error=cold", fate: Refused,
				says: []string{"819", "ferry.beyond-limits=1"}, cover: pair[1] == "7.0"})
		}
	}
	for _, tr := range []struct {
		kind     string
		from, to string
		plan     workload.Plan
		words    string
		says     []string
	}{
		{"files", "7.3", "7.1", workload.Plan{Sessions: 1, Files: 1, Wide: 200}, "", []string{"200", "128", "ferry.beyond-limits=1"}},
		{"sessions", "6.19", "6.18", workload.Plan{Sessions: 1, Files: 1}, "", []string{"session"}},
		{"sessions", "7.2-eprime", "6.17", workload.Plan{Sessions: 1, Files: 1}, "", []string{"session"}},
		{"seals", "7.3", "7.0", workload.Plan{Mixed: true}, "crossing.seals=any", []string{"seals"}},
	} {
		if has(there, tr.from, tr.to) {
			run := Run{Route: route(t, tr.from, tr.to), Plan: tr.plan}
			all = append(all, trial{kind: tr.kind, run: run, words: tr.words + " ferry.on-error=cold", fate: Refused, says: tr.says, cover: tr.from != "7.2-eprime"})
		}
	}
	return all
}

// has reports whether all of the series are there.
func has(there []string, series ...string) bool {
	return !slices.ContainsFunc(series, func(s string) bool { return !slices.Contains(there, s) })
}

// try runs the trial, saves its result and wants the fate that it has to have.
func (tr trial) try(t *testing.T) {
	vm := VM{CPUs: 1, Memory: "1G", CPU: "max,la57=off", Timeout: 3*time.Minute + time.Duration(tr.run.Rounds)*time.Minute}
	tree, err := tr.run.Initrd(*build)
	if err != nil {
		t.Fatalf("%v: run make test-linux, which builds it", err)
	}
	vm.Kernel = built(t, Image(tr.run.Release(0)))
	begin := time.Now()
	log, err := start(t, vm, tree, tr.run.Words()+" "+tr.words)
	result := tr.run.Result(tr.kind, log, err)
	result.Seconds, result.Date, result.Command = time.Since(begin).Seconds(), begin.UTC(), command()
	if err := result.Save(filepath.Join(*build, "linux/compatibility"), log); err != nil {
		t.Error(err)
	}
	if tr.fate != "" && result.Fate != tr.fate {
		t.Errorf("%s, want %s:\n%s", result.Fate, tr.fate, strings.Join(result.Words, "\n"))
	}
	for _, text := range tr.says {
		if !log.Has(text) {
			t.Errorf("no line says %q", text)
		}
	}
}

// route is from each series to the next, by the releases that were built.
func route(t *testing.T, series ...string) Route {
	t.Helper()
	var releases []string
	for _, s := range series {
		name, err := Kernel(*build, s)
		if err != nil {
			t.Fatal(err)
		}
		releases = append(releases, name)
	}
	return NewRoute(releases...)
}

// command is how this test was started, as far as the results depend on it.
func command() string {
	if name := os.Getenv("FERRY_COMMAND"); name != "" {
		return name
	}
	return "go test ./linux"
}

// hasBlocks reports whether the release keeps sessions and files in chains of blocks, which have no limits to speak of.
func hasBlocks(name string) bool { return seriesNumber(name) >= 702 }

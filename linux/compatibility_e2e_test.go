//go:build linux_e2e

package linux

import (
	"flag"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"ferry/linux/workload"
)

var whole = flag.Bool("whole", false, "run every pair of TestCompatibility, not a covering subset")

// The series whose pairs the matrix crosses, and those that only hand over what is not LUO's.
var luoSeries = []string{"6.19", "7.0", "7.1", "7.2", "7.3"}

// A trial is one run of the suite and what has to become of its state.
type trial struct {
	kind  string
	run   Run
	words string // for the command line
	fate  Fate
	says  []string // what some line has to say
	cover bool     // also part of the covering subset
}

// TestCompatibility carries state between real kernels of every series, through Ferry and without it, and leaves the
// results in the build folder, from which linux/compatibility writes docs/compatibility.md.
func TestCompatibility(t *testing.T) {
	var all []trial
	all = append(all, pairs(t)...)
	all = append(all, khoAlone(t)...)
	all = append(all, chains(t)...)
	all = append(all, limits(t)...)
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

// pairs is every ordered pair, without Ferry and through it. Without it, what the second kernel reads is lost unless
// the first one wrote the same formats.
func pairs(t *testing.T) (all []trial) {
	kept := []string{"7.2-7.3", "7.3-7.2", "7.0-6.19"}
	for _, a := range luoSeries {
		for _, b := range luoSeries {
			pair := a + "-" + b
			run := Run{Route: route(t, a, b), Plan: workload.Plan{Mixed: true}, Region: true}
			without := trial{kind: "without", run: run, fate: Lost, cover: pair == "6.19-7.0" || pair == "7.3-7.1"}
			without.run.Direct = true
			switch {
			case a == b || slices.Contains(kept, pair):
				without.fate = Kept
			case pair == "6.19-7.0":
				without.fate = Panicked
			}
			all = append(all, without, trial{kind: "through", run: run, fate: Kept,
				cover: slices.Contains([]string{"6.19-7.3", "7.3-6.19", "7.1-6.19", "7.0-7.2", "7.2-7.0"}, pair)})
		}
	}
	return all
}

// khoAlone is what kernels hand over beside LUO, to and from 6.18, which has none: a reserved region, and the folios of test_kho.
func khoAlone(t *testing.T) (all []trial) {
	for _, pair := range [][]string{{"6.18", "6.18"}, {"6.18", "6.19"}, {"6.19", "6.18"}, {"6.18", "7.3"}, {"7.3", "6.18"}} {
		run := Run{Route: route(t, pair...), Region: true}
		without := trial{kind: "without", run: run, fate: Kept}
		if slices.Contains(pair, "7.3") {
			without.fate = Lost
		}
		without.run.Direct = true
		all = append(all, without, trial{kind: "through", run: run, fate: Kept, cover: true})
	}
	return all
}

// chains goes through every series in one boot, up and down.
func chains(t *testing.T) []trial {
	way := append(slices.Clone(luoSeries), "7.2", "7.1", "7.0", "6.19")
	return []trial{{kind: "chain", run: Run{Route: route(t, way...), Plan: workload.Plan{Mixed: true}, Region: true}, fate: Kept, cover: true}}
}

// limits hands over more sessions and files than Linux 7.1 and older make.
func limits(t *testing.T) (all []trial) {
	many := workload.Plan{Sessions: 900, Files: 1, Wide: 200}
	for _, pair := range [][]string{{"7.3", "7.1"}, {"7.3", "7.0"}, {"7.3", "6.19"}, {"7.3", "7.2"}, {"7.2", "7.3"}} {
		run := Run{Route: route(t, pair...), Plan: many}
		all = append(all, trial{kind: "beyond", run: run, words: "ferry.beyond-limits=1", fate: Kept, cover: pair[1] == "7.1"})
		if !hasBlocks(run.Release(1)) {
			all = append(all, trial{kind: "limit", run: run, words: "ferry.on-error=cold", fate: Refused,
				says: []string{"819", "ferry.beyond-limits=1"}, cover: pair[1] == "7.0"})
		}
	}
	wide := Run{Route: route(t, "7.3", "7.1"), Plan: workload.Plan{Sessions: 1, Files: 1, Wide: 200}}
	all = append(all, trial{kind: "files", run: wide, words: "ferry.on-error=cold", fate: Refused,
		says: []string{"200", "128", "ferry.beyond-limits=1"}, cover: true})
	sessions := Run{Route: route(t, "6.19", "6.18"), Plan: workload.Plan{Sessions: 1, Files: 1}}
	all = append(all, trial{kind: "sessions", run: sessions, words: "ferry.on-error=cold", fate: Refused, says: []string{"session"}, cover: true})
	sealed := Run{Route: route(t, "7.3", "7.0"), Plan: workload.Plan{Mixed: true}}
	return append(all, trial{kind: "seals", run: sealed, words: "crossing.seals=any ferry.on-error=cold", fate: Refused,
		says: []string{"seals"}, cover: true})
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
	if result.Fate != tr.fate {
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
		found, err := filepath.Glob(filepath.Join(*build, "linux", s+".*", "bzImage"))
		if err != nil || len(found) != 1 {
			t.Fatalf("%d kernels of series %s in %s/linux (%v): run make kernels", len(found), s, *build, err)
		}
		releases = append(releases, filepath.Base(filepath.Dir(found[0])))
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
func hasBlocks(release string) bool { return series(release) >= 702 }

//go:build linux_e2e && linux_hosts

package linux

import (
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"ferry/internal/report"
	"ferry/linux/workload"
)

// debugging is the series of the kernel that has every check for misused memory (linux/debug.config).
const debugging = "7.3-debug"

// debugMachine has memory enough for such a kernel. debugWords makes room in scratch for its shadow, an eighth of that, and
// turns on those checks that wait for a word.
var debugMachine = VM{CPUs: 1, Memory: "3G", CPU: "max,la57=off", Timeout: 40 * time.Minute}

// What ferry load does is no matter of these runs, and slow on such a kernel: crossing.plain=1 goes without.
const (
	debugWords = "kho_scratch=640M,0,384M " + checkWords
	checkWords = "page_owner=on page_poison=on"
)

// A debugRun is one machine with the debugging kernel in it.
type debugRun struct {
	name string
	run  Run
}

// debugRuns goes from each kernel of the matrix to the debugging kernel and back, and ten times from that to itself. The
// first ones are the control: straight from Linux to Linux, with the same state on the same machine, between kernels that
// read each other.
func debugRuns(t *testing.T) (all []debugRun) {
	rich := workload.Plan{Mixed: true}
	all = append(all, debugRun{"direct", Run{Route: Route{Releases: route(t, debugging).Releases, Rounds: 2, Direct: true}, Plan: rich}})
	back := Run{Route: route(t, "7.2", debugging, "7.2"), Plan: rich, Region: true}
	back.Direct = true
	all = append(all, debugRun{"direct", back})
	for _, s := range Matrix() {
		r := Run{Route: route(t, s, debugging, s), Region: true}
		if HasLUO(s) {
			r.Plan = rich
		}
		all = append(all, debugRun{"through Ferry", r})
	}
	return append(all, debugRun{"through Ferry", Run{Route: Route{Releases: route(t, debugging).Releases, Rounds: 10}, Plan: rich}})
}

// TestUnderADebuggingKernel wants no kernel, before the stage or behind it, to report more than it does after a kexec
// straight from Linux to Linux, where there is no report at all. What it shows is kept in the build folder, so that a
// part of it can be run alone, and written into the document as a whole.
func TestUnderADebuggingKernel(t *testing.T) {
	table := report.Table{{"", "kernels", "crossings", "state", "reports", "seconds", "date"}}
	name := route(t, debugging).Release(0)
	row := func(kind, what string, run func(t *testing.T) []string) {
		t.Run(kind+"/"+what, func(t *testing.T) {
			begin := time.Now()
			result := append([]string{kind}, run(t)...)
			if !t.Failed() {
				keepRow(t, append(result, fmt.Sprintf("%.0f", time.Since(begin).Seconds()), begin.UTC().Format("2006-01-02")))
			}
		})
		table = append(table, keptRow(t, t.Name()+"/"+kind+"/"+what))
	}
	for _, d := range debugRuns(t) {
		what := strings.Join(d.run.Releases, "-")
		way := strings.Join(d.run.Releases, ", ")
		if d.run.Rounds >= len(d.run.Releases) {
			way = fmt.Sprintf("%s, %d times", way, d.run.Rounds+1)
		}
		row(d.name, what, func(t *testing.T) []string {
			log := travel(t, watched(t), d.run, debugWords+" crossing.plain=1")
			judge(t, d.run, log)
			checkChecks(t, d.run.Route, log)
			reports := "none"
			for i, k := range log.Kernels()[1:] {
				if len(d.run.known(i, k).Lines) < len(k.Lines) {
					reports = "the reference count of 6.19's test alone"
				}
			}
			sessions, files, bytes := d.run.Plan.Totals()
			var state []string
			if sessions > 0 {
				state = append(state, fmt.Sprintf("%d sessions, %d files, %d MiB", sessions, files, bytes>>20))
			}
			if d.run.Region {
				state = append(state, "a reserved region")
			}
			return []string{way, fmt.Sprint(d.run.Rounds), strings.Join(state, ", "), reports}
		})
	}
	for _, test := range upstream {
		for _, direct := range []bool{true, false} {
			kind := map[bool]string{true: "direct", false: "through Ferry"}[direct]
			row(kind, test.name, func(t *testing.T) []string {
				vm := watched(t)
				vm.Kernel = built(t, Image(name))
				log := run(t, vm, debugTree(t, test.name, vm.Kernel, direct), debugWords)
				checkUpstream(t, log, test.passed)
				checkChecks(t, Route{Releases: []string{name}, Rounds: 1}, log)
				if !direct {
					checkStage(t, log, crossed)
				}
				return []string{name + ", twice", "1", "upstream's " + test.name, "none"}
			})
		}
	}
	written(t, "attack 11", fmt.Sprintf("`make test-debug`: machines of 3 GiB, started with `%s`. Every kernel found all of its state. Each log is searched for the lines that\nbegin a report (`linux/log.go`), and for those with which the debugging kernel says that its checks are on.", debugWords), table)
}

// watched is the machine with its console in a file, to which it writes as it comes.
func watched(t *testing.T) VM {
	t.Helper()
	path := strings.TrimSuffix(rowPath(t.Name()), ".json") + ".log"
	err := os.MkdirAll(filepath.Dir(path), 0o755)
	if err != nil {
		t.Fatal(err)
	}
	f, err := os.Create(path)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { f.Close() })
	vm := debugMachine
	vm.Console = f
	return vm
}

// rowPath is where the row of a test is kept.
func rowPath(name string) string {
	return filepath.Join(*build, "linux/debugging", strings.NewReplacer("/", "_", " ", "_").Replace(name)+".json")
}

func keepRow(t *testing.T, row []string) {
	t.Helper()
	b, err := json.Marshal(row)
	if err == nil {
		err = os.MkdirAll(filepath.Dir(rowPath(t.Name())), 0o755)
	}
	if err == nil {
		err = os.WriteFile(rowPath(t.Name()), b, 0o644)
	}
	if err != nil {
		t.Error(err)
	}
}

// keptRow returns the row of a test, from now or from before.
func keptRow(t *testing.T, name string) (row []string) {
	t.Helper()
	b, err := os.ReadFile(rowPath(name))
	if err == nil {
		err = json.Unmarshal(b, &row)
	}
	if err != nil {
		return []string{name[strings.Index(name, "/")+1:], "not run", "", "", "", "", ""}
	}
	return row
}

// checkChecks wants each debugging kernel of the log to say that its checks are on.
func checkChecks(t *testing.T, way Route, log Log) {
	t.Helper()
	for i, kernel := range log.Kernels()[1:] {
		if !isDebugging(way.Release(i)) {
			continue
		}
		for _, want := range []string{"KernelAddressSanitizer initialized", "CONFIG_PAGE_POISONING is on", "Lock dependency validator"} {
			if !kernel.Has(want) {
				t.Errorf("kernel %d does not say %q: are its checks on?", i, want)
			}
		}
	}
}

// debugTree is the initrd of upstream's test between two debugging kernels.
func debugTree(t *testing.T, test, kernel string, direct bool) Tree {
	t.Helper()
	if direct {
		tree := upstreamTree(t, test)
		add(t, tree, "/kernel", kernel)
		tree["/initrd.img"] = File{Data: archive(t, upstreamTree(t, test)), Mode: 0o600}
		return tree
	}
	return ferryTreeTo(t, test, kernel)
}

// TestKASANWithTooLittleScratch wants ferry load to know that the debugging kernel has no room for its shadow, and what it
// says to boot with to be enough.
func TestKASANWithTooLittleScratch(t *testing.T) {
	r := Run{Route: route(t, "7.3", debugging), Plan: workload.Plan{Mixed: true}}
	log := travel(t, watched(t), r, "kho_scratch=64M,0,256M")
	if n := len(log.Kernels()) - 1; n != 1 || !log.Has("the next kernel has KASAN, whose shadow of ") {
		t.Fatalf("%d kernels booted, want 1, and ferry load to say why", n)
	}
	advised := match(t, log, `boot with (kho_scratch=\S+);`)
	t.Log(advised)
	log = travel(t, watched(t), r, advised+" "+checkWords)
	judge(t, r, log)
	checkChecks(t, r.Route, log)
}

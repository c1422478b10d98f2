//go:build linux_e2e

package linux

import (
	"encoding/base64"
	"errors"
	"flag"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"ferry/internal/pairwise"
)

// khoAloneSeries are the series that have KHO and no live update: their lists are of two kinds under one name.
var khoAloneSeries = []string{"6.16", "6.17", "6.18"}

var (
	manyLists = flag.Int("lists", 100, "lists that each machine of TestListsAreToldApart makes")
	dumpLists = flag.String("dump", "", "folder for some of them, as kho/khotest/testdata has them")
)

// TestListsAreToldApart lets kernels make one list of preserved memory after the other, and reads each as the stage
// would. The smallest lists are what is hardest to tell apart: the root device tree and that of an empty test alone.
func TestListsAreToldApart(t *testing.T) {
	t.Parallel()
	series := khoAloneSeries
	if !*whole {
		series = series[1:] // 6.16 writes what 6.17 does
	}
	memories := []string{"1G", "6G"}
	options := []string{"", "crossing.fragmented=1", "test_kho.max_mem=0", "reserve_mem=1028K:4096:a reserve_mem=60K:4096:b"}
	for _, row := range rows(len(series), len(memories), len(options)) {
		r, memory, words := route(t, series[row[0]]), memories[row[1]], options[row[2]]
		t.Run(fmt.Sprintf("%s/%s/%s", r.Release(0), memory, words), func(t *testing.T) {
			t.Parallel()
			tree := Tree{}
			add(t, tree, InitPath, built(t, "linux/init"))
			vm := VM{Memory: memory, Kernel: built(t, Image(r.Release(0))), Timeout: 15 * time.Minute}
			more := ""
			if *dumpLists != "" {
				more = "crossing.dump=2"
			}
			log := run(t, vm, tree, fmt.Sprintf("%s crossing.lists=%d %s %s", r.Words(), *manyLists, words, more))
			dump(t, log)
			line, ok := log.Find(ReportPrefix + ListsLine)
			if !ok {
				t.Fatal("it does not say what became of the lists")
			}
			t.Log(line)
			field := func(key string, i int) (n int) {
				fmt.Sscan(strings.Split(log.field(ReportPrefix+ListsLine, key), ",")[i], &n)
				return n
			}
			if field("wrong", 0) > 0 || field("read", 2) > 0 {
				t.Error("a list was read as its kernel did not write it")
			}
			// With the right claim, what is refused is no more than what looks like both.
			if refused := field("refused", 1); refused > field("behind", 0) || !strings.Contains(words, "max_mem=0") && refused > max(*manyLists/50, 4) {
				t.Errorf("%d lists are refused although the claim is right", refused)
			}
		})
	}
}

// dump writes the lists that the machine printed.
func dump(t *testing.T, log Log) {
	for i := 0; *dumpLists != ""; i++ {
		line, ok := log.Find(ReportPrefix + DumpLine)
		if !ok {
			return
		}
		log.Lines = log.Lines[slices.Index(log.Lines, line)+1:]
		b, err := base64.StdEncoding.DecodeString(strings.TrimPrefix(line, ReportPrefix+DumpLine))
		if err != nil {
			t.Fatal(err)
		}
		name := fmt.Sprintf("list-%s-%d.json.gz", strings.NewReplacer("/", "-", " ", "_").Replace(t.Name()), i)
		if err := os.WriteFile(filepath.Join(*dumpLists, name), b, 0o644); err != nil {
			t.Fatal(err)
		}
	}
}

// A claim is what is said of the kernel that hands over, and by whom.
type claim struct {
	name  string
	words string // for the first kernel; %s is the release
	wrong bool
	plain bool // without ferry load
	cover bool // also part of the covering subset
}

var claims = []claim{
	{"ferry load", "", false, false, true},
	{"ferry load, a payload for it", "crossing.from=%s", false, false, false},
	{"ferry load, a payload for another", "crossing.from=%s", true, false, true},
	{"nobody", "crossing.plain=1", false, true, true},
	{"the payload is right", "crossing.plain=1 crossing.from=%s", false, true, false},
	{"the payload is wrong", "crossing.plain=1 crossing.from=%s", true, true, true},
	{"the command line is right", "crossing.plain=1 ferry.from=%s", false, true, false},
	{"the command line is wrong", "crossing.plain=1 ferry.from=%s", true, true, false},
}

// TestWhoHandsOver crosses from real kernels of both kinds of lists into themselves, and says of them what is right, what
// is wrong, and nothing. What arrives is everything, or nothing is tried.
func TestWhoHandsOver(t *testing.T) {
	t.Parallel()
	type row struct {
		series, memory string
		fragmented     bool
		claim          claim
	}
	var table []row
	if *whole {
		for _, n := range pairwise.All(len(khoAloneSeries), 2, 2, len(claims)) {
			table = append(table, row{khoAloneSeries[n[0]], []string{"1G", "6G"}[n[1]], n[2] == 1, claims[n[3]]})
		}
	} else {
		cover := slices.DeleteFunc(slices.Clone(claims), func(c claim) bool { return !c.cover })
		series := khoAloneSeries[1:] // 6.16 writes what 6.17 does
		for _, n := range pairwise.Rows(len(series), len(cover), 2) {
			table = append(table, row{series[n[0]], []string{"1G", "6G"}[n[2]], n[2] == 1, cover[n[1]]})
		}
	}
	for _, row := range table {
		r := Run{Route: route(t, row.series, row.series), Region: true}
		words := row.claim.words
		if strings.Contains(words, "%s") {
			said := r.Release(0)
			if row.claim.wrong {
				said = map[string]string{"6.16": "6.18.15", "6.17": "6.18.15", "6.18": "6.17.13"}[row.series]
			}
			words = fmt.Sprintf(words, said)
		}
		name := "fresh"
		if row.fragmented {
			name, words = "fragmented", words+" crossing.fragmented=1"
		}
		t.Run(strings.Join([]string{r.Release(0), row.memory, name, row.claim.name}, "/"), func(t *testing.T) {
			t.Parallel()
			row.claim.try(t, r, VM{Memory: row.memory, Timeout: 15 * time.Minute}, words)
		})
	}
}

func (c claim) try(t *testing.T, r Run, vm VM, words string) {
	tree, err := r.Initrd(*build)
	if err != nil {
		t.Fatalf("%v: run make test-linux, which builds it", err)
	}
	vm.Kernel = built(t, Image(r.Release(0)))
	log, err := start(t, vm, tree, r.Words()+" ferry.on-error=halt "+words)
	for _, line := range log.refusals() {
		t.Log(line)
	}
	wrong := r.Judge(log)
	switch {
	case err == nil && len(wrong) == 0:
		t.Log("crossed, with everything")
		if c.wrong && !c.plain {
			t.Error("ferry load takes a payload for another kernel")
		}
	case c.wrong && !c.plain:
		if !log.Has("the payload is made for a handover from ") || log.Has("ferry: stage at ") {
			t.Errorf("it is not ferry load that refuses: %v", wrong)
		}
	case c.wrong:
		if err == nil || errors.Is(err, ErrTimeout) || !log.Has(" as claimed: ") || len(log.Kernels()) != 2 || log.Has(crossed) {
			t.Errorf("%v: %q", err, wrong)
		}
	default:
		t.Errorf("%v: %q", err, wrong)
	}
	if slices.ContainsFunc(log.Lines, func(l string) bool { return strings.Contains(l, "KHO restore failed") }) {
		t.Error("a kernel did not find what was preserved")
	}
}

//go:build linux && !metal

package attack

import (
	"cmp"
	"fmt"
	"maps"
	"slices"
	"strings"
	"sync"
	"testing"
)

// Tally counts verdicts.
type Tally struct {
	mu      sync.Mutex
	Runs    [verdicts]int64
	Roles   map[string]*[verdicts]int64
	Kinds   map[string]int64 // what was told of, and what was carried
	Defects map[string]*Finding
}

// Finding is a class of defects.
type Finding struct {
	Runs    int64
	Example string
}

// NewTally returns an empty one.
func NewTally() *Tally {
	return &Tally{Roles: make(map[string]*[verdicts]int64), Kinds: make(map[string]int64), Defects: make(map[string]*Finding)}
}

// Add counts one run. where is printed as the example of a new class of defects.
func (t *Tally) Add(role string, v Verdict, what, where string, log []byte) {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.Runs[v]++
	if t.Roles[role] == nil {
		t.Roles[role] = new([verdicts]int64)
	}
	t.Roles[role][v]++
	switch v {
	case Carried, Told:
		t.Kinds[v.String()+": "+what]++
	case Defect:
		class := role + ": " + number.ReplaceAllString(what, "0x..")
		f := t.Defects[class]
		if f == nil {
			f = &Finding{Example: where + ": " + what + "\n" + string(log)}
			t.Defects[class] = f
		}
		f.Runs++
	}
}

// Report fails the test where there are defects, and says of what kinds.
func (t *Tally) Report(tb testing.TB, name string) {
	tb.Helper()
	for class, f := range t.Defects {
		tb.Errorf("%s: %d runs: %s\n%s", name, f.Runs, class, f.Example)
	}
	tb.Log(name, fmt.Sprint(t.Runs), t.Kinds)
	for role, r := range t.Roles {
		tb.Log(name, role, *r)
	}
}

// Row is what came of the flips on one route.
type Row struct {
	From, To  string
	Commit    string // of the tree that was tested, with -dirty where it is not that
	Date      string // of the run
	Budget    int64  // flips at most, 0: all
	Bits      int64  // in structures; all of them are flipped where there are no more runs than these
	Rest      int64  // bits of the rest of their pages
	Runs      [verdicts]int64
	Kinds     map[string]int64
	Exhausted bool // every bit of every structure was flipped
}

// Fits reports whether r is what a run of the tree at commit with the budget finds,
// so that there is no need to run.
func (r *Row) Fits(commit string, budget int64) bool {
	return commit != "" && !strings.HasSuffix(commit, dirty) && r.Commit == commit && r.Budget == budget
}

// dirty follows the name of a commit that the tree differs from.
const dirty = "-dirty"

// Row returns the counts of a route over the regions.
func (t *Tally) Row(from, to string, rs []*Region) *Row {
	row := &Row{From: from, To: to, Runs: t.Runs, Kinds: t.Kinds, Exhausted: true}
	for _, r := range rs {
		if strings.HasSuffix(r.Role, rest) {
			row.Rest += r.bits
			continue
		}
		row.Bits += r.bits
		counts := t.Roles[r.Role]
		row.Exhausted = row.Exhausted && counts != nil && sum(*counts) == r.bits
	}
	return row
}

// FlipTable is the section of the page.
func FlipTable(rows []*Row) string {
	var all [verdicts]int64
	kinds := make(map[string]int64)
	var runs []string // days and trees
	var table strings.Builder
	table.WriteString("| route | bits of structures | flipped | refused | told | carried | harmless | defects |\n| --- | --- | --- | --- | --- | --- | --- | --- |\n")
	line := func(name, bits string, runs [verdicts]int64) {
		fmt.Fprintf(&table, "| %s | %s | %d | %d | %d | %d | %d | %d |\n", name, bits, sum(runs), runs[Refused], runs[Told], runs[Carried], runs[Harmless], runs[Defect])
	}
	for _, r := range rows {
		bits := fmt.Sprintf("%d, a sample", r.Bits)
		if r.Exhausted {
			bits = fmt.Sprintf("%d, all", r.Bits)
		}
		line(r.From+" to "+r.To, bits, r.Runs)
		for v, n := range r.Runs {
			all[v] += n
		}
		for k, n := range r.Kinds {
			kinds[k] += n
		}
		if run := fmt.Sprintf("%s at %s", r.Date, r.Commit); !slices.Contains(runs, run) {
			runs = append(runs, run)
		}
	}
	line("all", "", all)
	var told, carried []string
	for _, k := range slices.SortedFunc(maps.Keys(kinds), func(a, b string) int { return cmp.Or(cmp.Compare(kinds[b], kinds[a]), cmp.Compare(a, b)) }) {
		list := &carried
		name, ok := strings.CutPrefix(k, Told.String()+": ")
		if ok {
			list = &told
		} else {
			name = strings.TrimPrefix(k, Carried.String()+": ")
		}
		switch {
		case len(*list) < 20:
			*list = append(*list, fmt.Sprintf("%s %d", name, kinds[k]))
		case len(*list) == 20:
			*list = append(*list, "and others")
		}
	}
	return fmt.Sprintf(`%s, `+"`make attack-flips`"+`: %d crossings on a fake machine, each with one bit of the metadata of a handover flipped: setup_data, scratch
table, device trees, map, sessions, files, FLBs, memfds and their arrays, reserved memory and kexec-metadata, as Linux 6.19.14 (C; cut down to A and B),
7.0.13 (D), 7.1.13 (E) and 7.3.4 (F; with the older root as E') left them. "All": every bit of every structure was flipped; of what follows a structure in
its page, where nothing is written, a sample. "A sample": bits that lie evenly, so that others were never tried. Refused: an error of the report names by its
address what was hit - the page or block of the bit, who refers to it, what its record tells of, where the word pointed or points, the block that left or
entered the map - and the handover is handed on untouched. Told: a warning names it in the same way; the files that it says cannot be retrieved are
written as such, what it says is odd arrived so, and nothing else is other than before the flip. Carried: the bit belongs to a value that nothing else in the handover tells anything
about, and the next kernel gets exactly this value; only the flags of a folio that were not all set are set, as a restore needs. Harmless: all that a
decoder of its own reads, contents of sub-trees included, is from the new handover what it was from the old one before the flip. No crossing wrote
outside scratch and pages of nobody, was to clear memory of either handover, took more than %d MiB, or came to an end that its policy does not have.

%s
Told: %s. Carried: %s.
`, strings.Join(runs, ", "), sum(all), maxAlloc>>20, table.String(), strings.Join(told, "; "), strings.Join(carried, "; "))
}

// sum returns the number of runs.
func sum(runs [verdicts]int64) (n int64) {
	for _, r := range runs {
		n += r
	}
	return n
}

//go:build qemu

package metal

import (
	"fmt"
	"path/filepath"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"ferry/crossing/crossingtest"
	"ferry/internal/oracle/standin"
	"ferry/internal/qemu"
	"ferry/internal/report"
	"ferry/phys"
)

// policy is what ferry.on-error= may say, and what of the probe's words follows.
type policy struct{ name, expect string }

var policies = []policy{{"rollback", "untouched"}, {"pass", "untouched"}, {"cold", "cold"}, {"halt", "untouched"}}

var policyNames = []string{"rollback", "pass", "cold", "halt"}

// deadline is what the runs give a crossing.
const deadline = 20 * time.Second

// payload is the one of a crossing that ends so where it fails.
func (p policy) payload(t *testing.T, from, to *standin.Generation) []byte {
	t.Helper()
	if p.name == "rollback" {
		return back(t, from, to)
	}
	return inner(t, from, to)
}

func (p policy) words() string {
	return fmt.Sprintf("ferry.on-error=%s ferry.deadline=%v probe.expect=%s", p.name, deadline, p.expect)
}

// ended returns what is wrong with the end of a run in which Ferry refused the
// handover.
func (p policy) ended(log string, code int) error {
	want, says := 0, "probe B: PASSED: the untouched handover arrived"
	switch p.name {
	case "cold":
		says = "probe B: PASSED: no handover arrived"
	case "halt":
		want, says = 1, "; memory intact; do: "
	}
	if p.name == "rollback" && !strings.Contains(log, "\nferry: ROLLED BACK to ") {
		return fmt.Errorf("the report does not name the rollback kernel")
	}
	if code != want || !strings.Contains(log, says) {
		return fmt.Errorf("%s: exit code %d, want %d and %q", p.name, code, want, says)
	}
	return inTime(log)
}

var (
	totalTime = regexp.MustCompile(`ferry: total +([0-9.]+) ms`)
)

// failedItself reports whether the stage failed, or took too long, instead of ending
// what it was asked to do.
func failedItself(log string) bool {
	return strings.Contains(log, "ferry: fatal") || strings.Contains(log, "a defect in Ferry") || strings.Contains(log, "ferry: the time is up, ")
}

// inTime wants the report's total within the deadline, and no failure of the stage
// itself.
func inTime(log string) error {
	if failedItself(log) {
		return fmt.Errorf("the stage itself failed")
	}
	m := totalTime.FindStringSubmatch(log)
	if m == nil {
		return fmt.Errorf("no report")
	}
	if ms, err := strconv.ParseFloat(m[1], 64); err != nil || ms > float64(deadline.Milliseconds()) {
		return fmt.Errorf("it took %s ms (%v), the deadline is %v", m[1], err, deadline)
	}
	return nil
}

// tally counts ends by generation and kind.
type tally struct {
	mu     sync.Mutex
	counts map[[2]string]int
}

func (c *tally) add(row, column string) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.counts == nil {
		c.counts = make(map[[2]string]int)
	}
	c.counts[[2]string{row, column}]++
}

// table lists the rows in their order, and their sum.
func (c *tally) table(head string, rows, columns []string) (report.Table, int) {
	table := report.Table{append([]string{head}, columns...)}
	sums := make([]int, len(columns))
	total := 0
	for _, r := range rows {
		row := []string{r}
		for i, column := range columns {
			n := c.counts[[2]string{r, column}]
			sums[i] += n
			total += n
			row = append(row, strconv.Itoa(n))
		}
		table = append(table, row)
	}
	row := []string{"all"}
	for _, n := range sums {
		row = append(row, strconv.Itoa(n))
	}
	return append(table, row), total
}

// TestDamages leads every way to break a handover that the probe knows through the
// image, for every generation, with the policies in turn.
func TestDamages(t *testing.T) {
	dir := folder(t)
	var ends tally
	var rows []string
	turn := 0
	t.Run("all", func(t *testing.T) {
		for _, g := range standin.Generations {
			rows = append(rows, g.Name)
			for _, d := range standin.DamagesOf(g) {
				p := policies[turn%len(policies)]
				turn++
				own := filepath.Join(dir, strconv.Itoa(turn))
				t.Run(g.Name+"/"+d.Name+"/"+p.name, func(t *testing.T) {
					t.Parallel()
					damaged(t, own, g, d, p)
					if end := p.name; !t.Failed() {
						if d.Alone() {
							end = fileLost
						}
						ends.add(g.Name, end)
					}
				})
			}
		}
	})
	table, n := ends.table("generation", rows, append(policyNames[:len(policyNames):len(policyNames)], fileLost))
	result(t, "attack 3: damages", fmt.Sprintf(`%s, `+"`make attack-damages`"+`: %d handovers that the probe, as Linux A, laid into memory on metal and broke in one of the ways it knows; each
generation has all that apply to it. Each ended as ferry.on-error= says, after a report that names the place, in less than %v; no byte outside scratch
differed afterwards. Counted by generation and policy. Those that cost a file or two crossed, whatever the policy: the next kernel found all but these.`, today(), n, deadline), table)
}

// fileLost is the end of a crossing that gives up a file or two, and carries all else.
const fileLost = "crossed, but for a file"

func damaged(t *testing.T, dir string, g *standin.Generation, damage standin.Damage, p policy) {
	shape := "probe.regions=1 probe.order=2 probe.sessions=0 probe.files=0"
	if g.Sessions() {
		shape = "probe.regions=1 probe.order=2 probe.sessions=3 probe.files=3 probe.fill=2"
	}
	words, says, archive := p.words(), crossingtest.Names, p.payload
	if damage.Alone() {
		words, says = strings.Replace(words, "probe.expect="+p.expect, "probe.expect=damaged", 1), warns
		archive = policy{}.payload // B starts, whatever the policy
	}
	r, d, at := depart(t, dir, g, g, archive(t, g, g), fmt.Sprintf("%s probe.break=%s %s", shape, damage.Name, words))
	defer r.Kill()
	before, err := at.Copy(filepath.Join(dir, "before"))
	if err != nil {
		t.Fatal(err)
	}
	defer before.Close()
	if err := d.Continue(); err != nil {
		t.Fatal(err)
	}
	log, code := r.Wait()
	_, named, _ := strings.Cut(log, "Ferry has to say \"")
	named, _, ok := strings.Cut(named, "\"")
	if !ok || named == "" || !says(log, named) {
		t.Errorf("no cause, or no warning, of the report names %q:\n%s", named, log)
	}
	err = p.ended(log, code)
	if damage.Alone() {
		if err = inTime(log); err == nil && (code != 0 || !strings.Contains(log, "probe B: PASSED: all arrived but ")) {
			err = fmt.Errorf("exit code %d, want 0 and all but a file", code)
		}
	}
	if err != nil {
		t.Errorf("%v:\n%s", err, log)
	}
	if n, err := strays(before, at.RAM); err != nil || n > 0 {
		t.Errorf("%d pages outside scratch were written to, %v:\n%s", n, err, log)
	}
}

// warns reports whether a warning of the report contains the text.
func warns(log, text string) bool {
	return slices.ContainsFunc(strings.Split(log, "\n"), func(line string) bool {
		return strings.HasPrefix(line, "ferry: warning: ") && strings.Contains(line, text)
	})
}

// strays counts the pages outside scratch that differ in more than marks of the
// processor's in the page tables of the kernel before.
func strays(before *Dump, after *qemu.RAM) (n int, err error) {
	differ, err := qemu.Differ(before.RAM, after)
	if err != nil {
		return 0, err
	}
	scratch, _, err := before.Scratch()
	if err != nil {
		return 0, err
	}
	for _, r := range differ.Sub(scratch...) {
		for a := r.Start; a < r.End; a += phys.PageSize {
			if !before.Noted(after, a) {
				n++
			}
		}
	}
	return n, nil
}

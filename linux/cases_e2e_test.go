//go:build linux_e2e

package linux

import (
	"fmt"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"ferry/internal/report"
)

// TestKnownBeforeTheJump does what operators did wrong, on a running kernel, and wants the host tool to know it before
// anything is lost. It writes the table of docs/known-before.md.
func TestKnownBeforeTheJump(t *testing.T) {
	r := Run{Route: route(t, "7.3", "7.1")}
	tree, err := r.Initrd(*build)
	if err != nil {
		t.Fatal(err)
	}
	for _, name := range r.Releases {
		add(t, tree, KernelPath(name), built(t, Image(name)))
	}
	log := run(t, VM{Memory: "1G", Kernel: built(t, Image(r.Release(0))), Timeout: 10 * time.Minute}, tree, r.Words()+" crossing.cases=1")
	table := report.Table{{"what is done", "before", "now, in the tool's words", "status"}}
	for _, c := range Cases(r.Release(0), r.Release(1)) {
		said, status := log.ofCase(c.Name)
		line, ok := said.Find(c.Says)
		switch {
		case status == "":
			t.Errorf("%s: no report", c.Name)
		case (status != "0") != c.Fails:
			t.Errorf("%s: status %s, fails: want %v\n%s", c.Name, status, c.Fails, said)
		case !ok:
			t.Errorf("%s: it does not say %q:\n%s", c.Name, c.Says, said)
		case c.Silent != "" && said.Has(c.Silent):
			t.Errorf("%s: it says %q:\n%s", c.Name, c.Silent, said)
		}
		if r := []rune(line); len(r) > 220 {
			line = string(r[:220]) + "…"
		}
		table = append(table, []string{c.What, c.Before, "`" + strings.NewReplacer("|", "\\|", "`", "'").Replace(strings.Join(strings.Fields(line), " ")) + "`", status})
	}
	if len(log.Kernels()) != 2 {
		t.Errorf("%d kernels booted, want 1", len(log.Kernels())-1)
	}
	text := fmt.Sprintf("%s, `make known-before`, `TestKnownBeforeTheJump`: Linux %s with `%s`, one boot.\n\n%s", time.Now().UTC().Format("2006-01-02"), r.Release(0), Cmdline, table)
	t.Log(text)
	if *reliability == "" || t.Failed() {
		return
	}
	if err := report.Page(filepath.Join(filepath.Dir(*reliability), "known-before.md")).Write("cases", text); err != nil {
		t.Error(err)
	}
}

// ofCase returns what the last command of a case said, and the status with which it ended, empty where there is none.
func (l Log) ofCase(name string) (said Log, status string) {
	at := false
	for _, line := range l.Lines {
		switch rest, ours := strings.CutPrefix(line, ReportPrefix+CaseLine); {
		case ours && rest == name:
			at, said = true, Log{}
		case ours && strings.HasPrefix(rest, name+" status="):
			return said, strings.TrimPrefix(rest, name+" status=")
		case at:
			said.Lines = append(said.Lines, line)
		}
	}
	return said, ""
}

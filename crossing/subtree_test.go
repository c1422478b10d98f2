package crossing

import (
	"strings"
	"testing"

	"ferry/fdt"
	"ferry/internal/oracle/standin"
	"ferry/kho"
	"ferry/phys"
)

// TestReportIsLeftAndReplaced crosses eleven times between three generations: each
// handover has one report, that of its own crossing, and none costs a page more
// than the one before.
func TestReportIsLeftAndReplaced(t *testing.T) {
	m := newMachine(t, standin.Shape{Sessions: 3, Files: 3, Plain: true}, "")
	var preserved [3]uint64
	var nodes uint64
	for i := range 11 {
		to := []string{"F", "E'", "F"}[i%3]
		m.next(to, "")
		m.log.Reset()
		jump, err := Run(&m.Machine)
		if err != nil {
			t.Fatal(err)
		}
		a := m.arrive(jump)
		d, err := kho.ParseData(0, a.kho)
		if err != nil {
			t.Fatal(err)
		}
		h, err := kho.Open(m.Memory, d, nil)
		if err != nil {
			t.Fatal(err)
		}
		report := m.readReport(h)
		if got := report("to"); !strings.HasPrefix(got, "the next kernel") {
			t.Errorf("crossing %d: to %q", i, got)
		}
		if got, want := report("out", "formats"), strings.Join(ByName(to).Strings(), ", "); got != want {
			t.Errorf("crossing %d: formats %q, want %q", i, got, want)
		}
		for name, want := range map[string]uint64{"sessions": 3, "files": 9} {
			if got := le.Uint64([]byte(report("in", name) + "\x00\x00\x00\x00\x00\x00\x00\x00")); got != want {
				t.Errorf("crossing %d: %d %s, want %d", i, got, name, want)
			}
		}
		if n := h.Map().Count(); i >= 3 && n != preserved[i%3] {
			t.Errorf("crossing %d: %d blocks preserved, three before %d", i, n, preserved[i%3])
		}
		// The pool moves about, and may lie where the map has no leaf yet.
		if n := uint64(len(h.Map().Nodes())); i >= 3 && n > nodes+1 {
			t.Errorf("crossing %d: %d nodes, the first had %d", i, n, nodes)
		}
		if preserved[i%3] = h.Map().Count(); i == 0 {
			nodes = uint64(len(h.Map().Nodes()))
		}
		m.kexec(a.kho)
	}
}

// readReport returns a reader of the properties of the report that h carries: the
// names of a node below the root, if any, and of the property.
func (m *machine) readReport(h *kho.Handover) func(path ...string) string {
	m.t.Helper()
	s, ok := h.Subtree(reportTree)
	if !ok {
		m.t.Fatal("no report")
	}
	b, err := m.Memory.View(s.Data, phys.PageSize)
	if err != nil {
		m.t.Fatal(err)
	}
	tree, err := fdt.Parse(s.Data, b)
	if err != nil {
		m.t.Fatal(err)
	}
	return func(path ...string) string {
		n := tree.Root()
		for _, name := range path[:len(path)-1] {
			n, _ = n.Child(name)
		}
		p, ok := n.Property(path[len(path)-1])
		if !ok {
			m.t.Errorf("the report has no %q", path)
		}
		return strings.TrimRight(string(p.Value), "\x00")
	}
}

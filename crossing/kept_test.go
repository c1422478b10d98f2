package crossing

import (
	"testing"

	"ferry/internal/oracle/standin"
	"ferry/kho"
	"ferry/luo"
	"ferry/memfd"
	"ferry/own"
	"ferry/phys"
)

// counted counts how often each address is looked at.
type counted struct {
	phys.Memory
	views map[phys.Addr]int
}

func (c *counted) View(a phys.Addr, n uint64) ([]byte, error) {
	c.views[a]++
	return c.Memory.View(a, n)
}

// TestAMemfdIsOpenedOnce in a crossing that rewrites it: its structure is read once. The
// array is shared by both handovers: each entry is read once to prove it for either,
// with its own map, and once for either to compare them.
func TestAMemfdIsOpenedOnce(t *testing.T) {
	m := newMachineOf(t, standin.D, standin.Shape{Sessions: 2, Files: 3}, "ferry.on-error=halt")
	m.next("F", "D")
	h, err := kho.Open(m.Memory, m.payload(), nil)
	if err != nil {
		t.Fatal(err)
	}
	ledger := h.Ledger()
	st, err := luo.Restore(h, ledger)
	if err != nil {
		t.Fatal(err)
	}
	seen := &counted{m.Memory, map[phys.Addr]int{}}
	var structures, entries []phys.Addr
	for s := range st.Sessions() {
		for f, err := range s.Files() {
			if err != nil {
				t.Fatal(err)
			}
			format := memfd.ByHandler(f.Handler)
			if format == nil {
				continue
			}
			clear(seen.views)
			file, err := memfd.Open(own.NewLedger(seen, h.Map(), h.Scratch()), memfd.Ref{Format: format, Addr: phys.Addr(f.Data)})
			if err != nil {
				t.Fatal(err)
			}
			if err := file.Walk(func(memfd.Folio) error { return nil }); err != nil {
				t.Fatal(err)
			}
			structures = append(structures, phys.Addr(f.Data))
			for a := range seen.views {
				if !a.Aligned(phys.PageSize) {
					entries = append(entries, a)
				}
			}
		}
	}
	if len(structures) != 6 || len(entries) == 0 {
		t.Fatalf("%d structures and %d entries", len(structures), len(entries))
	}
	clear(seen.views)
	m.Memory = seen
	if _, err := Run(&m.Machine); err != nil {
		t.Fatalf("%v\n%s", err, m.log)
	}
	for _, a := range structures {
		if n := seen.views[a]; n != 1 {
			t.Errorf("the structure at %v was opened %d times, want once", a, n)
		}
	}
	for _, a := range entries {
		if n := seen.views[a]; n != 4 {
			t.Errorf("the entry at %v was read %d times, want 4 times", a, n)
		}
	}
}

package crossing

import (
	"strings"
	"testing"

	"ferry/crossing/crossingtest"
	"ferry/internal/oracle/standin"
	"ferry/kho"
	"ferry/phys"
	"ferry/phys/phystest"
)

// heapOfCrossing is what a crossing of a few sessions takes from the heap in all:
// the stage has a few dozen MiB.
const heapOfCrossing = 256 << 10

// TestBulkySubtreesCostACrossingNothing: the sub-tree of the kernel's own test fills
// the largest block that Linux allocates with one property. With an end it is a list
// of empty strings that is carried as it is, without one it is refused.
func TestBulkySubtreesCostACrossingNothing(t *testing.T) {
	for _, g := range standin.Generations {
		for _, ends := range []bool{false, true} {
			m := newMachineOf(t, g, standin.Carried(g, g, standin.Shape{Sessions: 3, Files: 3, Regions: 1}), "")
			m.next(g.Name, g.Name)
			d, err := standin.DamageOf(g, "bulky-text")
			if err != nil {
				t.Fatal(err)
			}
			named, err := d.Do(m.made, scratch[0].Start)
			if err != nil {
				t.Fatal(err)
			}
			h, err := kho.Open(m.Memory, m.payload(), ByName(g.Name).KHO)
			if err != nil {
				t.Fatal(err)
			}
			s, _ := h.Subtree(kho.TestName)
			if s.Size < 4<<20-phys.PageSize {
				t.Fatalf("%s: %v has %d bytes", g.Name, s, s.Size)
			}
			if ends {
				text := m.edit(s.Data, s.Size)
				text[strings.LastIndexByte(string(text), 1)] = 0
			}
			phystest.Bounded(t, heapOfCrossing, func() {
				m.log.Reset()
				_, err = Run(&m.Machine)
			})
			if err != nil {
				t.Fatal(err)
			}
			log := m.log.String()
			if crossed := !crossingtest.Failed(log); crossed != ends || !ends && !strings.Contains(log, named) {
				t.Errorf("%s: crossed %v, want %v and the report to name %q:\n%s", g.Name, crossed, ends, named, log)
			}
			if len(log) > 16<<10 {
				t.Errorf("%s: a report of %d bytes", g.Name, len(log))
			}
		}
	}
}

// FuzzParseOptions: the words of a command line cost what is said of the first bad
// one, however many and long they are.
func FuzzParseOptions(f *testing.F) {
	f.Add("quiet ferry.mode=pass ferry.on-error=halt ferry.beyond-limits=1 ferry.deadline=10s -- ferry.mode=cross")
	f.Add(strings.Repeat("ferry.x ", 8<<10))
	f.Add("ferry.deadline=" + strings.Repeat("1", 64<<10))
	f.Add(strings.Repeat("a", 32<<10) + ` "ferry.mode=` + strings.Repeat("\xff", 32<<10))
	f.Fuzz(func(t *testing.T, line string) {
		phystest.Bounded(t, 2*phys.PageSize, func() { ParseOptions(line) })
		o, err := ParseOptions(line)
		if o.Deadline < 0 || o.Deadline > maxDeadline || o.Mode != Cross && o.Mode != Pass {
			t.Errorf("%+v", o)
		}
		if err != nil && (len(err.Error()) > 1024 || strings.Contains(err.Error(), "\n")) {
			t.Errorf("%.2000v", err)
		}
	})
}

package crossing

import (
	"bytes"
	"errors"
	"strings"
	"testing"

	"ferry/crossing/crossingtest"
	"ferry/internal/oracle/standin"
	"ferry/phys"
)

// everyOddity is all that kernels seldom write.
const everyOddity = standin.Unset | standin.NoFLB | standin.Aligned | standin.Reversed | standin.Foreign | standin.Raw | standin.Small | standin.Gaps | standin.Listed

// arrives crosses from one generation to the other and fails if anything is
// not there.
func (m *machine) arrives(from, to *standin.Generation) arrived {
	m.t.Helper()
	m.next(to.Name, from.Name)
	m.log.Reset()
	jump, err := Run(&m.Machine)
	if err != nil || crossingtest.Failed(m.log.String()) {
		m.t.Fatalf("%s to %s: %v\n%s", from.Name, to.Name, err, m.log)
	}
	a := m.arrive(jump)
	got, left, err := a.receiveAs(to, m.Memory)
	if err != nil {
		m.t.Fatalf("%s to %s: the next kernel: %v\n%s", from.Name, to.Name, err, m.log)
	}
	if left != m.left {
		m.t.Errorf("%s to %s: A's count arrived as %+v, want %+v", from.Name, to.Name, left, m.left)
	}
	got.Blocks, got.Preserved, got.Nodes = left.Blocks, left.Preserved, left.Nodes // how it is stored
	if got != left {
		m.t.Errorf("%s to %s: arrived %+v, left %+v", from.Name, to.Name, got, left)
	}
	return a
}

func TestOdditiesCrossToEveryGeneration(t *testing.T) {
	shape := standin.Shape{Sessions: 7, Files: 9, Fill: 2, Regions: 3, RegionOrder: 5, Tests: 100, Odd: everyOddity}
	for _, from := range standin.Generations {
		for _, to := range standin.Generations {
			t.Run(from.Name+" to "+to.Name, func(t *testing.T) {
				m := newMachineOf(t, from, standin.Carried(from, to, shape), "")
				sum, err := standin.Sum(m.Memory, m.made.Used)
				if err != nil {
					t.Fatal(err)
				}
				m.arrives(from, to)
				if now, err := standin.Sum(m.Memory, m.made.Used); err != nil || now != sum {
					t.Errorf("the handover that came in was written to: %v", err)
				}
			})
		}
	}
}

// TestStateIsTheSameAfterManyCrossings leads a state through a chain of
// generations. What the stand-in consumes at each end is what the first one left.
func TestStateIsTheSameAfterManyCrossings(t *testing.T) {
	state := standin.Shape{Sessions: 4, Files: 9, Regions: 2, RegionOrder: 4, Tests: 5}
	plain, none, sealed := state, state, state
	plain.Plain = true
	none.Sessions, none.Files = 0, 0
	sealed.Odd = standin.Raw | standin.Foreign
	for chain, shape := range map[string]standin.Shape{
		"C D E E' F E' E D C F C":             plain,
		"E E' F E F E' E":                     sealed,
		"F F F E' F":                          sealed,
		"A B C D E E' F E' E D C B A F B D A": none,
	} {
		t.Run(chain, func(t *testing.T) {
			names := strings.Fields(chain)
			from, err := standin.ByName(names[0])
			if err != nil {
				t.Fatal(err)
			}
			m := newMachineOf(t, from, shape, "")
			for _, name := range names[1:] {
				to, err := standin.ByName(name)
				if err != nil {
					t.Fatal(err)
				}
				a := m.arrives(from, to)
				// The next kernel hands over what it was handed.
				m.kexec(a.kho)
				from = to
			}
		})
	}
}

func TestDamageToEveryGenerationEndsAsThePolicySays(t *testing.T) {
	for _, g := range standin.Generations {
		shape := standin.Carried(g, g, standin.Shape{Sessions: 3, Files: 3, Fill: 2, Regions: 1, RegionOrder: 2})
		for i, d := range standin.DamagesOf(g) {
			if d.Alone() {
				continue
			}
			policy := []Outcome{OnErrorPass, OnErrorCold, OnErrorHalt}[i%3]
			t.Run(g.Name+"/"+d.Name+"/"+string(policy), func(t *testing.T) {
				m := newMachineOf(t, g, shape, "ferry.on-error="+string(policy))
				m.next(g.Name, g.Name)
				named, err := d.Do(m.made, scratch[0].Start)
				if err != nil {
					t.Fatal(err)
				}
				raw := bytes.Clone(m.edit(nodesAt+16, 32))
				sum, err := standin.Sum(m.Memory, m.made.Used)
				if err != nil {
					t.Fatal(err)
				}
				jump, err := Run(&m.Machine)
				if now, err := standin.Sum(m.Memory, m.made.Used); err != nil || now != sum {
					t.Errorf("the handover that came in was written to: %v", err)
				}
				log := m.log.String()
				if !crossingtest.Failed(log) || !strings.Contains(log, named) || strings.Contains(log, "does not read back") {
					t.Errorf("the report does not name %q:\n%s", named, log)
				}
				if policy == OnErrorHalt {
					if !errors.Is(err, ErrHalt) {
						t.Errorf("got %v, want a halt", err)
					}
					return
				}
				if err != nil {
					t.Fatal(err)
				}
				if policy == OnErrorCold {
					raw = nil
				}
				if a := m.arrive(jump); !bytes.Equal(a.kho, raw) {
					t.Errorf("handover payload %x, want %x", a.kho, raw)
				}
				if kernel := (phys.Range{Start: jump.Entry - 0x200, End: jump.Entry + 8<<20 - 0x200}); !scratch[0].Contains(kernel) {
					t.Errorf("the next kernel at %v is not in scratch", kernel)
				}
			})
		}
	}
}

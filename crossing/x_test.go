package crossing

import (
	"bytes"
	"errors"
	"strings"
	"testing"

	"ferry/crossing/crossingtest"
	"ferry/internal/oracle/standin"
	"ferry/kho"
	"ferry/luo"
	"ferry/phys"
)

// The stand-in knows generation X from documents alone, and shares no code with the
// formats. Nobody else reads or writes it.

// TestFeatureHeadersCrossIfTheyAreAskedFor takes everything that a generation can hold
// to the one of feature headers, there again, and back.
func TestFeatureHeadersCrossIfTheyAreAskedFor(t *testing.T) {
	shape := standin.Shape{Sessions: 7, Files: 9, Fill: 2, Regions: 3, RegionOrder: 5, Tests: 100, Odd: everyOddity}
	for _, g := range append(standin.Generations, standin.X) {
		t.Run(g.Name, func(t *testing.T) {
			carried := standin.Carried(standin.X, g, standin.Carried(g, standin.X, shape))
			m := newMachineOf(t, g, carried, "ferry.experimental=1")
			m.kexec(m.arrives(g, standin.X).kho)
			m.kexec(m.arrives(standin.X, standin.X).kho)
			m.arrives(standin.X, g)
		})
	}
}

// TestFeatureHeadersAreRefusedUnlessTheyAreAskedFor whoever writes or reads them.
func TestFeatureHeadersAreRefusedUnlessTheyAreAskedFor(t *testing.T) {
	for _, tt := range []struct {
		from, to *standin.Generation
		hint     string
		says     string
	}{
		{standin.F, standin.X, "F", "manifest: the next kernel: generation X: "},
		{standin.X, standin.F, "X", "manifest: from: generation X: "},
		{standin.X, standin.F, "", "(ferry.experimental=1 reads it, for test programs)"},
	} {
		m := newMachineOf(t, tt.from, standin.Shape{Sessions: 2, Files: 3}, "ferry.on-error=halt")
		m.next(tt.to.Name, tt.hint)
		sum, err := standin.Sum(m.Memory, m.made.Used)
		if err != nil {
			t.Fatal(err)
		}
		_, err = Run(&m.Machine)
		log := m.log.String()
		if !errors.Is(err, ErrHalt) || !crossingtest.Failed(log) || !strings.Contains(log, tt.says) || !strings.Contains(log, "ferry.experimental=1") {
			t.Errorf("%s to %s, which is said to come from %q: %v\n%s", tt.from.Name, tt.to.Name, tt.hint, err, log)
		}
		if now, err := standin.Sum(m.Memory, m.made.Used); err != nil || now != sum {
			t.Errorf("the handover that came in was written to: %v", err)
		}
	}
}

// TestDamagedFeatureHeadersEndAsThePolicySays, and every other damage to generation X.
func TestDamagedFeatureHeadersEndAsThePolicySays(t *testing.T) {
	shape := standin.Shape{Sessions: 3, Files: 3, Fill: 2, Regions: 1, RegionOrder: 2}
	n := 0
	for _, d := range standin.DamagesOf(standin.X) {
		if d.Alone() {
			continue
		}
		n++
		m := newMachineOf(t, standin.X, shape, "ferry.experimental=1 ferry.on-error=pass")
		m.next("X", "X")
		named, err := d.Do(m.made, scratch[0].Start)
		if err != nil {
			t.Fatal(err)
		}
		raw := bytes.Clone(m.edit(nodesAt+16, 32))
		jump, err := Run(&m.Machine)
		if log := m.log.String(); err != nil || !crossingtest.Failed(log) || !strings.Contains(log, named) {
			t.Errorf("%s: %v, and the report does not name %q:\n%s", d.Name, err, named, log)
			continue
		}
		if a := m.arrive(jump); !bytes.Equal(a.kho, raw) {
			t.Errorf("%s: payload %x, want the untouched %x", d.Name, a.kho, raw)
		}
	}
	if n < 20 {
		t.Errorf("%d ways to damage a handover", n)
	}
}

// headers returns where the feature headers of the state and of the first memfd are.
func (m *machine) headers() map[string]phys.Addr {
	m.t.Helper()
	h, err := kho.Open(m.Memory, m.payload(), nil)
	if err != nil {
		m.t.Fatal(err)
	}
	st, err := luo.Restore(h, h.Ledger(), luo.X)
	if err != nil {
		m.t.Fatal(err)
	}
	root, _ := h.Subtree(luo.Subtree)
	at := map[string]phys.Addr{"LUO": root.Data}
	for s := range st.Sessions() {
		for f := range s.Files() {
			at["memfd"] = phys.Addr(f.Data)
		}
	}
	return at
}

// TestEveryBitOfAFeatureHeaderCounts: a bit that nobody knows, one that is missing, and
// what is in reserved words are refused, of the state and of a memfd. What the kernel
// before has besides, without using it, is its own.
func TestEveryBitOfAFeatureHeaderCounts(t *testing.T) {
	for _, tt := range []struct {
		name string
		at   phys.Addr // in the header
		xor  byte
		ok   bool
	}{
		{"a feature more that A has", 1, 1, true},
		{"a feature more that a reader needs", 8, 1 << 5, false},
		{"a feature less that a reader needs", 8, 1 << 1, true},
		{"a feature more that is active", 16 + 2, 1, false},
		{"a feature less that is active", 16, 1, false},
		{"the first reserved word", 24, 1, false},
		{"the last reserved byte", 127, 0x80, false},
	} {
		for _, role := range []string{"LUO", "memfd"} {
			m := newMachineOf(t, standin.X, standin.Shape{Sessions: 1, Files: 1}, "ferry.experimental=1 ferry.on-error=pass")
			m.next("F", "X")
			m.edit(m.headers()[role]+tt.at, 1)[0] ^= tt.xor
			if _, err := Run(&m.Machine); err != nil {
				t.Fatal(err)
			}
			log := m.log.String()
			switch {
			case role == "LUO" || tt.ok:
				if crossingtest.Failed(log) == tt.ok || strings.Contains(log, "damaged") {
					t.Errorf("%s of %s:\n%s", tt.name, role, log)
				}
			case !strings.Contains(log, "it arrives as a file that cannot be retrieved"):
				t.Errorf("%s of %s: a damaged file is not named:\n%s", tt.name, role, log)
			}
		}
	}
}

package crossing

import (
	"bytes"
	"fmt"
	"slices"
	"strings"
	"testing"

	"ferry/crossing/crossingtest"
	"ferry/internal/oracle/standin"
	"ferry/kho"
	"ferry/phys"
)

// TestADamagedFileCostsNoOther breaks a file in every way that is known, in every
// generation, and crosses to every other. What Linux then finds is all but that file.
func TestADamagedFileCostsNoOther(t *testing.T) {
	for _, from := range standin.Generations {
		for _, to := range standin.Generations {
			if !from.Sessions() || !to.Sessions() {
				continue
			}
			shape := standin.Carried(from, to, standin.Shape{Sessions: 3, Files: 6, Fill: 2, Regions: 1, RegionOrder: 2})
			for _, d := range standin.DamagesOf(from) {
				if !d.Alone() {
					continue
				}
				t.Run(from.Name+" to "+to.Name+"/"+d.Name, func(t *testing.T) {
					m := newMachineOf(t, from, shape, "ferry.on-error=halt")
					m.next(to.Name, from.Name)
					named, err := d.Do(m.made, scratch[0].Start)
					if err != nil {
						t.Fatal(err)
					}
					before := m.pages()
					jump, err := Run(&m.Machine)
					m.unchanged(before)
					if err != nil || crossingtest.Failed(m.log.String()) {
						t.Fatalf("%v\n%s", err, m.log)
					}
					if !slices.ContainsFunc(strings.Split(m.log.String(), "\n"), func(line string) bool {
						return strings.HasPrefix(line, "ferry: warning: luo: session 0 ") && strings.Contains(line, named)
					}) {
						t.Errorf("no warning names %q:\n%s", named, m.log)
					}
					m.arrivesBut(m.arrive(jump), to)
				})
			}
		}
	}
}

// arrivesBut wants everything to be there but one of the first two files of the first
// session, or both.
func (m *machine) arrivesBut(a arrived, to *standin.Generation) {
	m.t.Helper()
	u := func(i int) uint64 { return le.Uint64(a.kho[8*i:]) }
	got, left, failed, err := standin.ReceiveDamaged(m.Memory, to, phys.Addr(u(0)), phys.Addr(u(2)), u(3))
	if err != nil {
		m.t.Fatalf("the next kernel: %v\n%s", err, m.log)
	}
	if got.Sessions != left.Sessions || got.Files != left.Files || got.Regions != left.Regions {
		m.t.Errorf("arrived %+v, left %+v", got, left)
	}
	if len(failed) == 0 || len(failed) > 2 || slices.ContainsFunc(failed, func(f standin.Failed) bool { return f.Session != 0 }) {
		m.t.Errorf("files that cannot be retrieved: %+v, want one or two of the first session\n%s", failed, m.log)
	}
	for _, f := range failed {
		m.t.Logf("session %d token %#x: %v", f.Session, f.Token, f.Why)
	}
}

// TestADamagedFileStaysSoOverCrossings: a kernel that is handed a file which cannot be
// retrieved hands it on to nobody; but a crossing right behind another one reads it.
func TestADamagedFileStaysSoOverCrossings(t *testing.T) {
	m := newMachineOf(t, standin.C, standin.Carried(standin.C, standin.F, standin.Shape{Sessions: 2, Files: 6}), "")
	d, err := standin.DamageOf(standin.C, "array-too-long")
	if err != nil {
		t.Fatal(err)
	}
	if _, err := d.Do(m.made, scratch[0].Start); err != nil {
		t.Fatal(err)
	}
	from := standin.C
	for _, to := range []*standin.Generation{standin.F, standin.F, standin.D, standin.E} {
		m.next(to.Name, from.Name)
		m.log.Reset()
		jump, err := Run(&m.Machine)
		if err != nil || crossingtest.Failed(m.log.String()) {
			t.Fatalf("to %s: %v\n%s", to.Name, err, m.log)
		}
		if want := map[bool]string{true: "arrives as a file that cannot be retrieved", false: "an earlier crossing found it damaged"}[from == standin.C]; !strings.Contains(m.log.String(), want) {
			t.Errorf("to %s: no warning says %q\n%s", to.Name, want, m.log)
		}
		a := m.arrive(jump)
		m.arrivesBut(a, to)
		m.kexec(a.kho)
		from = to
	}
}

// TestLeftoversOfAnEarlierAttemptCross: Linux 6.19, 7.0 and the first 7.1 write their
// records over those of an attempt to reboot that came to nothing. No reader looks at
// what is left of these; but a session that a damaged count hides is no leftover.
func TestLeftoversOfAnEarlierAttemptCross(t *testing.T) {
	for _, from := range []*standin.Generation{standin.C, standin.D, standin.E} {
		shape := standin.Carried(from, standin.F, standin.Shape{Sessions: 3, Files: 4})
		array := func(m *machine) []byte {
			for at, page := range m.pages() {
				if bytes.HasPrefix(page[8:], []byte("session-0\x00")) {
					return m.edit(at, 16*phys.PageSize)
				}
			}
			t.Fatalf("%s: no array of sessions", from.Name)
			return nil
		}
		m := newMachineOf(t, from, shape, "ferry.on-error=halt")
		b := array(m)
		copy(b[8+len("session-0\x00"):8+64], "longer-name")
		copy(b[8+3*80:], "session-that-was-given-up\x00")
		le.PutUint64(b[8+3*80+64:], le.Uint64(b[8+64:])) // where its files were, another session has its own
		le.PutUint64(b[8+3*80+72:], 128)
		m.arrives(from, standin.F)
		for _, want := range []string{"bytes behind the end of name \"session-0\"", ": record 3 0x"} {
			if !strings.Contains(m.log.String(), "ferry: warning: luo: ") || !strings.Contains(m.log.String(), want) {
				t.Errorf("%s: no warning says %q:\n%s", from.Name, want, m.log)
			}
		}

		m = newMachineOf(t, from, shape, "ferry.on-error=pass")
		m.next("F", from.Name)
		raw := bytes.Clone(m.edit(nodesAt+16, 32))
		le.PutUint64(array(m), 2)
		jump, err := Run(&m.Machine)
		if err != nil {
			t.Fatal(err)
		}
		if log := m.log.String(); !strings.Contains(log, "record 2 0x") || !strings.Contains(log, "Linux would lose the session without a word") {
			t.Errorf("%s: the report does not name the hidden session:\n%s", from.Name, log)
		}
		if a := m.arrive(jump); !bytes.Equal(a.kho, raw) {
			t.Errorf("%s: handed on %x, want the untouched %x", from.Name, a.kho, raw)
		}
	}
}

// TestRegionsOfAnySizeCross: nothing rounds what reserve_mem= asks for, and Linux
// preserves its whole pages alone.
func TestRegionsOfAnySizeCross(t *testing.T) {
	for _, from := range standin.Generations {
		m := newMachineOf(t, from, standin.Carried(from, standin.F, standin.Shape{Sessions: 1, Files: 1, Regions: 1, RegionOrder: 2}), "ferry.on-error=halt")
		h, err := kho.Open(m.Memory, m.payload(), map[bool]*kho.Format{true: kho.V1Small}[from == standin.A])
		if err != nil {
			t.Fatal(err)
		}
		was, err := h.Reserved()
		if err != nil {
			t.Fatal(err)
		}
		size := was[0].Range.Size()
		s, _ := h.Subtree(kho.ReservedName)
		tree := m.edit(s.Data, s.Size)
		le.PutUint64(tree[bytes.Index(tree, le.AppendUint64(nil, size)):], size+1000) // which are not preserved
		m.next("F", from.Name)
		jump, err := Run(&m.Machine)
		if err != nil || !strings.Contains(m.log.String(), `ferry: warning: kho: reserved memory "region0" `) || !strings.Contains(m.log.String(), fmt.Sprintf(": 1000 of %d bytes are not preserved", size+1000)) {
			t.Fatalf("%s: %v\n%s", from.Name, err, m.log)
		}
		u := func(i int) uint64 { return le.Uint64(m.arrive(jump).kho[8*i:]) }
		out, err := kho.Open(m.Memory, kho.Data{FDT: phys.Addr(u(0)), FDTSize: u(1), Scratch: phys.Addr(u(2)), ScratchSize: u(3)}, nil)
		if err != nil {
			t.Fatal(err)
		}
		regions, err := out.Reserved()
		if err != nil || len(regions) != 1 || regions[0].Range.Size() != size+1000 {
			t.Errorf("%s: %v, %v", from.Name, regions, err)
		}
	}
}

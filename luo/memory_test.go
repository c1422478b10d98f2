package luo

import (
	"errors"
	"fmt"
	"strings"
	"testing"

	"ferry/own"
	"ferry/phys"
)

// failing is memory that hands nothing out from some point on, as a dump may that
// is read while somebody cuts it short.
type failing struct {
	phys.Memory
	from phys.Addr // 0: none fails
}

func (m *failing) View(a phys.Addr, n uint64) ([]byte, error) {
	if m.from != 0 && a+phys.Addr(n) > m.from {
		return nil, &phys.Error{Object: "memory", Addr: a, Found: "nothing", Err: phys.ErrNotRAM}
	}
	return m.Memory.View(a, n)
}

// restoreFailing restores what d holds, from memory that does not fail yet.
func restoreFailing(t testing.TB, mem phys.Memory, d *draft) (*failing, *State) {
	t.Helper()
	m := &failing{Memory: mem}
	st, err := restoreFrom(own.NewLedger(m, d, scratch), d, d.root, d.size)
	if err != nil {
		t.Fatal(err)
	}
	return m, st
}

// many returns a state of n sessions, the first of which has files.
func many(t testing.TB, n, files int) *State {
	t.Helper()
	st := New(1)
	for i := range n {
		if err := st.AddSession(fmt.Sprintf("vm-%d", i)); err != nil {
			t.Fatal(err)
		}
		for j := range files {
			if err := st.AddFile("iommu-v1", 1, uint64(j)); err != nil {
				t.Fatal(err)
			}
		}
		files = 0
	}
	return st
}

// An array of more than 4,095 records is read in parts: all callers hear of one
// that memory does not give any more.
func TestNobodyTakesFailingMemoryForTheEndOfTheSessions(t *testing.T) {
	for _, f := range Formats() {
		mem, d := machine(t)
		serializeAs(t, f, many(t, 5000, 0), d)
		m, st := restoreFailing(t, mem, d)
		want := all(st.Sessions())
		m.from = st.sessionAddr(4995)
		if !isChain(f) {
			m.from = st.sessionAddr(4095)
		}
		n := 0
		var err error
		for s, bad := range st.Sessions() {
			if err = bad; err == nil {
				n++
				if s.Index != n-1 {
					t.Fatalf("%v: session %d has index %d", f, n-1, s.Index)
				}
			}
		}
		if object := fmt.Sprintf("session %d: memory", n); n < 4095 || n >= len(want) || !errors.Is(err, phys.ErrNotRAM) || !strings.HasPrefix(err.Error(), object) {
			t.Errorf("%v: %d sessions, then %v", f, n, err)
		}
		other := restore(t, mem, d)
		for name, call := range map[string]func() error{
			"Diff":       func() error { return other.Diff(st, nil) },
			"Fits":       func() error { return Fits(st, f, true) },
			"Serialize":  func() error { return serializeTo(st, d, Options{BeyondLimits: true}) },
			"checkNames": func() error { _, err := st.checkNames(); return err },
		} {
			if err := call(); !errors.Is(err, phys.ErrNotRAM) || !strings.Contains(err.Error(), "session ") {
				t.Errorf("%v: %s: %v", f, name, err)
			}
		}
		st.sealed = false // as one that was built
		if err := st.check(); !errors.Is(err, phys.ErrNotRAM) {
			t.Errorf("%v: check: %v", f, err)
		}
		m.from = st.sessionAddr(0)
		if err := FitsNone(st, "nobody"); !errors.Is(err, phys.ErrNotRAM) {
			t.Errorf("%v: FitsNone: %v", f, err)
		}
	}
}

func TestNobodyTakesFailingMemoryForTheEndOfTheFiles(t *testing.T) {
	for _, f := range Formats() {
		mem, d := machine(t)
		serializeAs(t, f, many(t, 1, 5000), d)
		m, st := restoreFailing(t, mem, d)
		s := all(st.Sessions())[0]
		m.from = st.fileAddr(0, 4995)
		if !isChain(f) {
			m.from = st.fileAddr(0, 4095)
		}
		n := 0
		var err error
		for _, bad := range s.Files() {
			if err = bad; err == nil {
				n++
			}
		}
		if object := fmt.Sprintf(`session 0 "vm-0": file %d: memory`, n); n < 4095 || n >= 5000 || !errors.Is(err, phys.ErrNotRAM) || !strings.HasPrefix(err.Error(), object) {
			t.Errorf("%v: %d files, then %v", f, n, err)
		}
		other := restore(t, mem, d)
		few := *f
		few.beyondFiles = 4998
		for name, call := range map[string]func() error{
			"Diff":        func() error { return other.Diff(st, nil) },
			"Fits":        func() error { return Fits(st, &few, true) },
			"Serialize":   func() error { return serializeTo(st, d, Options{BeyondLimits: true}) },
			"checkTokens": func() error { _, err := s.checkTokens(new(repeats)); return err },
			"sameToken":   func() error { _, err := sameToken(s, 1<<40); return err },
		} {
			if err := call(); !errors.Is(err, phys.ErrNotRAM) {
				t.Errorf("%v: %s: %v", f, name, err)
			}
		}
	}
}

func TestBlocksCountsBlocksWhateverTheyHold(t *testing.T) {
	for _, f := range Formats() {
		for _, tt := range []struct{ sessions, files int }{{0, 0}, {1, 0}, {2, 1}, {2, 128}, {4095, 4095}, {4096, 4096}, {5000, 9000}, {9000, 12285}} {
			mem, d := machine(t)
			serializeAs(t, f, many(t, tt.sessions, tt.files), d)
			st := restore(t, mem, d)
			sessions, files := st.Blocks()
			wantSessions, wantFiles := f.Blocks(st)
			if sessions != wantSessions || files != wantFiles || !isChain(f) && (sessions > 1 || files > 1) {
				t.Errorf("%v: %d sessions and %d files in %d and %d blocks, want %d and %d", f, tt.sessions, tt.files, sessions, files, wantSessions, wantFiles)
			}
		}
	}
	// Arrays of two sessions that follow each other in memory are two.
	mem, d := machine(t)
	serializeAs(t, V1, state(t, 0, 128, 128, 128), d)
	if sessions, files := restore(t, mem, d).Blocks(); sessions != 1 || files != 3 {
		t.Errorf("%d and %d blocks, want 1 and 3", sessions, files)
	}
}

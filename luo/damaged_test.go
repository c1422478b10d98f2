package luo

import (
	"errors"
	"fmt"
	"slices"
	"strings"
	"testing"

	"ferry/blockset"
	"ferry/kho"
	"ferry/own"
	"ferry/phys"
)

// contentsOf lists the sessions of a state, which may be damaged, as name:files, with
// a mark behind those that say so, and how the iterators ended.
func contentsOf(t *testing.T, st *State) (list string, ends []error) {
	t.Helper()
	var all, holders []string
	for s, err := range st.Sessions() {
		if err != nil {
			ends = append(ends, err)
			continue
		}
		if s.Len() > 0 || s.Err != nil {
			holders = append(holders, s.String())
		}
		n, mark := 0, ""
		for f, err := range s.Files() {
			if err == nil {
				if f.Token != uint64(n)*7 || string(f.Handler) != "memfd-v2" || f.Addr == 0 {
					t.Errorf("%v: file %d is %+v", s, n, f)
				}
				n++
				continue
			}
			if mark = "!"; err != s.Err {
				t.Errorf("%v ends with %v, not with its error %v", s, err, s.Err)
			}
		}
		if (mark != "") != (s.Err != nil) || n != s.Len() {
			t.Errorf("%v: %d files of %d, error %v", s, n, s.Len(), s.Err)
		}
		all = append(all, fmt.Sprintf("%s:%d%s", s.Name, n, mark))
	}
	var got []string
	for s, err := range st.Holders() {
		if err == nil {
			got = append(got, s.String())
		} else if len(ends) == 0 || err != ends[0] {
			t.Errorf("the sessions with files end with %v, all of them with %v", err, ends)
		}
	}
	if !slices.Equal(got, holders) {
		t.Errorf("sessions with files or damage: %q, want %q", got, holders)
	}
	for _, err := range st.FLBs() {
		if err != nil {
			ends = append(ends, err)
		}
	}
	return strings.Join(all, " "), ends
}

// refusedEverywhere proves that a damaged state can be looked at, and nothing else.
func refusedEverywhere(t *testing.T, st *State, d *draft, sound *State) {
	t.Helper()
	blocks := d.Len()
	for name, call := range map[string]func() error{
		"Serialize": func() error { return serializeTo(st, d, Options{BeyondLimits: true}) },
		"Drop":      func() error { return drop(st, d) },
		"Fits":      func() error { return Fits(st, V5, true) },
		"FitsNone":  func() error { return FitsNone(st, "nobody") },
		"Diff":      func() error { return st.Diff(sound, nil) },
		"Diff with": func() error { return sound.Diff(st, nil) },
	} {
		if err := call(); err == nil || !strings.Contains(err.Error(), "damaged") || !strings.Contains(err.Error(), st.Err().Error()) {
			t.Errorf("%s of a damaged state: %v", name, err)
		}
	}
	if d.Len() != blocks {
		t.Errorf("%d blocks preserved, %d before", d.Len(), blocks)
	}
}

// damagedRestore reads the state as it now is, which must be damaged.
func damagedRestore(t *testing.T, mem phys.Memory, d *draft, rule error) *State {
	t.Helper()
	st, err := restoreFrom(own.NewLedger(mem, d, scratch), d, d.root, d.size)
	if !errors.Is(err, rule) || st == nil || st.Err() == nil || st.Err().Error() != err.Error() {
		t.Fatalf("got %v with a state that says %v, want %v", err, st.Err(), rule)
	}
	return st
}

// TestADamagedSessionLeavesTheOthersReadable: the state has three sessions of 1, 70 and
// 0 files, of which the second has blocks of 63 and 7.
func TestADamagedSessionLeavesTheOthersReadable(t *testing.T) {
	const one = 16 + sessionSize
	for _, tt := range []struct {
		name string
		do   func(*handover)
		rule error
		want string
		ends []string
	}{
		{"files outside RAM", func(h *handover) { put(h.sess, one+sessionFiles, 1<<44) }, phys.ErrNotRAM, "vm-0:1 vm-1:0! vm-2:0", nil},
		{"files of the first outside RAM", func(h *handover) { put(h.sess, 16+sessionFiles, 1<<44) }, phys.ErrNotRAM, "vm-0:0! vm-1:70 vm-2:0", nil},
		{"the second block outside RAM", func(h *handover) { put(h.file[0], 0, 1<<44) }, phys.ErrNotRAM, "vm-0:1 vm-1:63! vm-2:0", nil},
		{"a circle", func(h *handover) { put(h.file[1], 0, uint64(h.at[0])) }, blockset.ErrCycle, "vm-0:1 vm-1:70! vm-2:0", nil},
		{"a handler without end", func(h *handover) { copy(h.file[1][16+2*fileSize:], strings.Repeat("h", handlerName)) }, ErrName, "vm-0:1 vm-1:65! vm-2:0", nil},
		{"no first handler", func(h *handover) { clear(h.file[0][16 : 16+handlerName]) }, ErrName, "vm-0:1 vm-1:0! vm-2:0", nil},
		{"a count that does not match", func(h *handover) { put(h.sess, one+sessionCount, 69) }, ErrCount, "vm-0:1 vm-1:70! vm-2:0", nil},
		{"one name twice", func(h *handover) { h.sess[one+3] = '0' }, ErrDuplicate, "vm-0:1 vm-0:70! vm-2:0", nil},
		{"the session chain goes on outside RAM", func(h *handover) { put(h.sess, 0, 1<<44) }, phys.ErrNotRAM, "vm-0:1 vm-1:70 vm-2:0",
			[]string{"session block 1 0x100000000000: "}},
		{"no session block", func(h *handover) { put(h.root, 16, 1<<44) }, phys.ErrNotRAM, "", []string{"session block 0 0x100000000000: "}},
		{"a count that hides sessions", func(h *handover) { put(h.sess, 8, 1) }, ErrCount, "vm-0:1", []string{"block 0: session block 0x10001000: record 1 "}},
		{"the FLB page outside RAM", func(h *handover) { put(h.root, 24, 1<<44) }, phys.ErrNotRAM, "vm-0:1 vm-1:70 vm-2:0", []string{"FLB page: header 0x100000000000: "}},
		{"an FLB of nobody", func(h *handover) { put(h.flb, flbRecords+flbSize+flbCount, 0) }, ErrCount, "vm-0:1 vm-1:70 vm-2:0", []string{"FLB page: FLB 1 "}},
		{"a session and the FLBs", func(h *handover) { put(h.sess, one+sessionFiles, 1<<44); put(h.flb, flbNumber, 64) }, ErrCount,
			"vm-0:1 vm-1:0! vm-2:0", []string{"FLB page: header "}},
	} {
		t.Run(tt.name, func(t *testing.T) {
			h := breakable(t)
			sound := restore(t, h.mem, h.d)
			tt.do(h)
			st := damagedRestore(t, h.mem, h.d, tt.rule)
			got, ends := contentsOf(t, st)
			if got != tt.want || len(ends) != len(tt.ends) {
				t.Fatalf("read %q, ended by %v; want %q, %q", got, ends, tt.want, tt.ends)
			}
			for i, want := range tt.ends {
				if !strings.HasPrefix(ends[i].Error(), want) {
					t.Errorf("ended by %v, want %q", ends[i], want)
				}
			}
			refusedEverywhere(t, st, h.d, sound)
		})
	}
}

// TestADamagedSessionInArraysLeavesTheOthersReadable is the same for Linux 7.1.
func TestADamagedSessionInArraysLeavesTheOthersReadable(t *testing.T) {
	const one = arrayHeader + sessionSize
	for _, tt := range []struct {
		name string
		do   func(*brokenTree)
		rule error
		want string
		ends int
	}{
		{"files outside RAM", func(h *brokenTree) { put(h.sessions, one+sessionFiles, 1<<44) }, phys.ErrNotRAM, "vm-0:1 vm-1:0! vm-2:0", 0},
		{"more files than there is room for", func(h *brokenTree) { put(h.sessions, one+sessionCount, 129) }, ErrCount, "vm-0:1 vm-1:0! vm-2:0", 0},
		{"files that were not written", func(h *brokenTree) { put(h.sessions, one+sessionCount, 71) }, ErrName, "vm-0:1 vm-1:70! vm-2:0", 0},
		{"more sessions than there is room for", func(h *brokenTree) { put(h.sessions, 0, 820) }, ErrCount, "", 1},
		{"an FLB page that is not preserved", func(h *brokenTree) { h.d.Retire(phys.Block{Addr: h.flbs}) }, own.ErrPreserved, "vm-0:1 vm-1:70 vm-2:0", 1},
	} {
		t.Run(tt.name, func(t *testing.T) {
			h := breakableTree(t)
			sound := restore(t, h.mem, h.d)
			tt.do(h)
			st := damagedRestore(t, h.mem, h.d, tt.rule)
			if got, ends := contentsOf(t, st); got != tt.want || len(ends) != tt.ends {
				t.Fatalf("read %q, ended by %v; want %q", got, ends, tt.want)
			}
			refusedEverywhere(t, st, h.d, sound)
		})
	}
}

// TestTooMuchDamageEndsTheState: what was not looked at is not taken for nothing.
func TestTooMuchDamageEndsTheState(t *testing.T) {
	mem, d := machine(t)
	serialize(t, state(t, 0, make([]int, 60)...), d)
	st := restore(t, mem, d)
	for i := range 20 {
		rec, err := mem.Edit(st.sessionAddr(i), sessionSize)
		if err != nil {
			t.Fatal(err)
		}
		put(rec, sessionFiles, 1<<44)
		put(rec, sessionCount, 1)
	}
	st = damagedRestore(t, mem, d, errMore)
	got, ends := contentsOf(t, st)
	if n := strings.Count(got, ":0!"); n != 14 || st.Len() != 14 {
		t.Errorf("%d damaged sessions of %d: %s", n, st.Len(), got)
	}
	if len(ends) != 2 || ends[0] != errMore || ends[1] != errMore {
		t.Errorf("sessions and FLBs end with %v", ends)
	}
}

// TestRootsThatCannotBeReadGiveNoState: nothing is known of what they name.
func TestRootsThatCannotBeReadGiveNoState(t *testing.T) {
	for name, do := range map[string]func(h *handover){
		"another version": func(h *handover) { copy(h.root, "luo-v9") },
		"another size":    func(h *handover) { h.d.size = 31 },
		"not preserved":   func(h *handover) { h.d.Retire(phys.Block{Addr: h.d.root}) },
	} {
		h := breakable(t)
		do(h)
		if st, err := restoreFrom(own.NewLedger(h.mem, h.d, scratch), h.d, h.d.root, h.d.size); st != nil || err == nil {
			t.Errorf("%s: %v, %v", name, st, err)
		}
	}
}

// TestRestoreNamesTheSubtreeInWhatIsWrong takes the damage through a real handover.
func TestRestoreNamesTheSubtreeInWhatIsWrong(t *testing.T) {
	h := commit(t, state(t, 0, 2, 3), handoverMachine(t, 16<<20))
	st := restored(t, h)
	rec, err := h.Memory().Edit(st.sessionAddr(1), sessionSize)
	if err != nil {
		t.Fatal(err)
	}
	put(rec, sessionCount, 4)
	st, err = Restore(h, h.Ledger())
	if err == nil || !strings.HasPrefix(err.Error(), `luo: session 1 "vm-1": record `) || st == nil {
		t.Fatalf("%v, with a state: %v", err, st != nil)
	}
	if got, ends := contentsOf(t, st); got != "vm-0:2 vm-1:3!" || ends != nil {
		t.Errorf("read %q, ended by %v", got, ends)
	}
	d, err := h.Draft(kho.V4, nil)
	if err != nil {
		t.Fatal(err)
	}
	if err := Serialize(st, d, Options{}); err == nil || !strings.Contains(err.Error(), "damaged") {
		t.Errorf("serializing it: %v", err)
	}
}

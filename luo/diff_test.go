package luo

import (
	"bytes"
	"encoding/binary"
	"errors"
	"testing"

	"ferry/blockset"
	"ferry/own"
	"ferry/phys"
)

func TestDiffNamesTheFirstDifference(t *testing.T) {
	build := func(edit func(*State)) *State {
		st := state(t, 2, 3, 0, 70, 64)
		edit(st)
		return st
	}
	record := func(st *State, a phys.Addr, n uint64) []byte {
		rec, err := st.mem.View(a, n)
		if err != nil {
			t.Fatal(err)
		}
		return rec
	}
	file := func(st *State, session, i int) []byte { return record(st, st.fileAddr(session, i), fileSize) }
	session := func(st *State, i int) []byte { return record(st, st.sessionAddr(i), sessionSize) }
	want := build(func(*State) {})
	for _, tt := range []struct {
		name string
		edit func(*State)
		text string
	}{
		{"number", func(st *State) { st.Number = 9 }, "luo: number 9, want 5: states differ"},
		{"no state at all", func(st *State) { st.absent = true }, "luo: absent true, want false: states differ"},
		{"a session more", func(st *State) { st.AddSession("late") }, "luo: 5 sessions, want 4: states differ"},
		{"a name", func(st *State) { session(st, 2)[0] = 'V' }, `luo: session 2: name "Vm-2", want "vm-2": states differ`},
		{"a file more", func(st *State) { st.AddFile("memfd-v2", 1, 1<<40) }, `luo: session 3 "vm-3": 65 files, want 64: states differ`},
		{"a handler", func(st *State) { file(st, 0, 0)[0] = 'M' },
			`luo: session 0 "vm-0": file 0: "Memfd-v2" 0x10000000 0x0, want "memfd-v2" 0x10000000 0x0: states differ`},
		{"data", func(st *State) { put(file(st, 2, 69), fileData, 7) },
			`luo: session 2 "vm-2": file 69: "memfd-v2" 0x7 0x1e3, want "memfd-v2" 0x10048000 0x1e3: states differ`},
		{"a token", func(st *State) { put(file(st, 3, 63), fileToken, 5) },
			`luo: session 3 "vm-3": file 63: "memfd-v2" 0x10088000 0x5, want "memfd-v2" 0x10088000 0x1b9: states differ`},
		{"an FLB more", func(st *State) { st.AddFLB("more", 1, 1) }, "luo: 3 FLBs, want 2: states differ"},
		{"an FLB's count", func(st *State) { put(st.flbs, flbSize+flbCount, 1) },
			`luo: FLB 1: "flb-v1" 0xfeedf00dcafebee1 0x1, want "flb-v1" 0xfeedf00dcafebee1 0x89: states differ`},
	} {
		if err := build(tt.edit).Diff(want, nil); !errors.Is(err, ErrDiffer) || err.Error() != tt.text {
			t.Errorf("%s: got %v\nwant %s", tt.name, err, tt.text)
		}
	}
	for name, edit := range map[string]func(*State){
		"nothing":                  func(*State) {},
		"what is behind a name":    func(st *State) { session(st, 2)[63] = 1 },
		"what no name has room to": func(st *State) { session(st, 2)[20] = 'x' },
	} {
		if err := build(edit).Diff(want, nil); err != nil {
			t.Errorf("%s: %v", name, err)
		}
	}
}

// TestDiffIgnoresWhereRecordsLie holds a state of unfilled blocks against the one
// that was written from it, and both against the one they came from.
func TestDiffIgnoresWhereRecordsLie(t *testing.T) {
	mem, d := machine(t)
	built := state(t, 3, 0, 1, 70, 200, 5)
	scatter(t, built, d)
	in := restore(t, mem, d)
	serialize(t, in, d)
	out := restore(t, mem, d)
	_, loose := in.Blocks()
	if _, filled := out.Blocks(); loose <= filled {
		t.Fatalf("%d blocks came in and %d went out: nothing was unfilled", loose, filled)
	}
	states := map[string]*State{"built": built, "incoming": in, "outgoing": out}
	for a, got := range states {
		for b, want := range states {
			if err := got.Diff(want, nil); err != nil {
				t.Errorf("%s against %s: %v", a, b, err)
			}
		}
	}
	out.flbs = bytes.Clone(out.flbs)
	put(out.flbs, flbData, 1)
	if err := in.Diff(out, nil); !errors.Is(err, ErrDiffer) {
		t.Errorf("got %v of states with other FLBs", err)
	}
}

func TestDiffAllocatesNothing(t *testing.T) {
	a, b := sessions(t, 100, 100, true), sessions(t, 100, 100, true)
	var err error
	if n := testing.AllocsPerRun(5, func() { err = a.Diff(b, nil) }); n > 1 || err != nil {
		t.Errorf("%v allocations to compare 100 sessions of 100 files: %v", n, err)
	}
}

// scatter writes st into d as serializing does, but with at most five sessions
// and three files in a block, fewer in some.
func scatter(t *testing.T, st *State, d *draft) {
	t.Helper()
	serialize(t, st, d)
	root, err := d.Mem.Edit(d.root, 32)
	if err != nil {
		t.Fatal(err)
	}
	loosen := func(head phys.Addr, l blockset.Layout, most int, each func(rec []byte)) phys.Addr {
		if head == 0 {
			return 0
		}
		full, err := blockset.Restore(own.NewLedger(d.Mem, d, scratch), l, head, d)
		if err != nil {
			t.Fatal(err)
		}
		var first, page []byte
		var at phys.Addr
		for it, rec, room := full.Iter(), []byte(nil), 0; ; {
			if rec = it.Next(); rec == nil {
				break
			}
			if room == 0 {
				a, next, err := d.Alloc()
				if err != nil {
					t.Fatal(err)
				}
				if page == nil {
					first, at = next, a
				} else {
					put(page, 0, uint64(a))
				}
				page, room = next, most
				most = max(1, most-1) // the next one holds fewer
			}
			n := int(binary.LittleEndian.Uint64(page[8:]))
			copy(page[blockset.HeaderSize+n*l.Size():], rec)
			if each != nil {
				each(page[blockset.HeaderSize+n*l.Size():])
			}
			put(page, 8, uint64(n+1))
			room--
		}
		if err := full.Destroy(); err != nil || first == nil {
			t.Fatal(err)
		}
		return at
	}
	put(root, 16, uint64(loosen(phys.Addr(u64(root[16:])), sessionLayout, 3, func(rec []byte) {
		put(rec, sessionFiles, uint64(loosen(phys.Addr(u64(rec[sessionFiles:])), fileLayout, 5, nil)))
	})))
}

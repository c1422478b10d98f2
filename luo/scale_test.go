package luo

import (
	"fmt"
	"runtime"
	"strings"
	"testing"

	"ferry/blockset"
	"ferry/blockset/blocktest"
	"ferry/kho"
	"ferry/own"
	"ferry/phys"
	"ferry/phys/phystest"
)

// handoverMachine begins a handover of a first kernel with size bytes of RAM, and
// half as much behind them in scratch for the next handover.
func handoverMachine(t testing.TB, size uint64) *kho.Draft {
	t.Helper()
	ram := phys.Range{Start: base, End: base + phys.Addr(size+size/2)}
	areas := []kho.ScratchArea{{Addr: base, Size: 4 << 20}, {Addr: base + phys.Addr(size), Size: size / 2}, {Addr: base + 4<<20, Size: 4 << 20}}
	d, err := kho.New(phystest.New(t, ram), kho.V4, phys.NewRanges(ram), base, areas, nil)
	if err != nil {
		t.Fatal(err)
	}
	return d
}

// commit serializes st in the format of Linux 7.3 and returns the handover with
// it.
func commit(t testing.TB, st *State, d *kho.Draft) *kho.Handover {
	t.Helper()
	return commitAs(t, st, d, Options{Format: V5})
}

// restored returns the state of h.
func restored(t testing.TB, h *kho.Handover) *State {
	t.Helper()
	st, err := Restore(h, h.Ledger())
	if err != nil {
		t.Fatal(err)
	}
	return st
}

// commitAs serializes st as o says and returns the handover with it.
func commitAs(t testing.TB, st *State, d *kho.Draft, o Options) *kho.Handover {
	t.Helper()
	if err := Serialize(st, d, o); err != nil {
		t.Fatal(err)
	}
	data, err := d.Commit()
	if err != nil {
		t.Fatal(err)
	}
	h, err := kho.Open(d.Memory(), data, nil)
	if err != nil {
		t.Fatal(err)
	}
	return h
}

// sessions returns a state of n sessions of m files each, whose tokens rise or
// fall.
func sessions(t testing.TB, n, m int, rising bool) *State {
	t.Helper()
	st := New(1)
	for i := range n {
		if err := st.AddSession(fmt.Sprintf("session-%d", i)); err != nil {
			t.Fatal(err)
		}
		for j := range m {
			token := uint64(j)
			if !rising {
				token = uint64(m-j) * 0x9e3779b97f4a7c15 // odd: all different
			}
			if err := st.AddFile("memfd-v2", uint64(j)<<12, token); err != nil {
				t.Fatal(err)
			}
		}
	}
	return st
}

func TestAllThatTheKernelAllowsCrosses(t *testing.T) {
	for _, tt := range []struct {
		name            string
		sessions, files int
		rising          bool
		blocks          [2]int
		memory          uint64 // bytes that restoring may take
	}{
		{"510,000 sessions", 510000, 0, true, [2]int{10000, 0}, 10 << 20},
		{"630,000 files in one session", 1, 630000, true, [2]int{1, 10000}, 2 << 20},
		{"630,000 files with unordered tokens", 1, 630000, false, [2]int{1, 10000}, 7 << 20},
		{"40,000 sessions of one file", 40000, 1, true, [2]int{785, 40000}, 1200 << 10}, // 12 bytes each, 8 more for its name
	} {
		t.Run(tt.name, func(t *testing.T) {
			if phystest.OnMetal { // the heap there has a few dozen MiB
				if tt.sessions >= 10000 {
					tt.sessions /= 10
				}
				tt.files = (tt.files + 9) / 10
				tt.blocks = [2]int{sessionLayout.Blocks(tt.sessions), tt.sessions * fileLayout.Blocks(tt.files)}
			}
			st := sessions(t, tt.sessions, tt.files, tt.rising)
			h := commit(t, st, handoverMachine(t, 384<<20))
			c := h.Ledger()
			var before, after runtime.MemStats
			runtime.ReadMemStats(&before)
			in, err := Restore(h, c)
			if err != nil {
				t.Fatal(err)
			}
			runtime.ReadMemStats(&after)
			if got := after.TotalAlloc - before.TotalAlloc; got > tt.memory && !phystest.OnMetal {
				t.Errorf("restoring allocated %d KiB, want at most %d", got>>10, tt.memory>>10)
			}
			if got := after.Mallocs - before.Mallocs; got > 1000 && !phystest.OnMetal {
				t.Errorf("restoring allocated %d times", got)
			}
			d, err := h.Draft(kho.V4, nil)
			if err != nil {
				t.Fatal(err)
			}
			h = commit(t, in, d)
			out, err := Restore(h, h.Ledger())
			if err != nil {
				t.Fatal(err)
			}
			if s, f := out.Blocks(); s != tt.blocks[0] || f != tt.blocks[1] {
				t.Errorf("%d session blocks and %d file blocks, want %v", s, f, tt.blocks)
			}
			sameStates(t, st, out)
		})
	}
}

// TestFalseCountsTakeNoMemory lets every session claim the most files there can
// be: a machine has the memory for them, the handover does not.
func TestFalseCountsTakeNoMemory(t *testing.T) {
	ram := phys.Range{Start: base, End: base + 16<<30}
	if phystest.OnMetal {
		ram.End = base + sizeRAM
	}
	mem := phystest.New(t, ram)
	d := &draft{Pages: blocktest.New(mem, ram)}
	serialize(t, sessions(t, 1000, 3, true), d)
	first, err := mem.View(d.root+16, 8)
	if err != nil {
		t.Fatal(err)
	}
	head := phys.Addr(u64(first))
	for a := head; a != 0; {
		page, err := mem.Edit(a, phys.PageSize)
		if err != nil {
			t.Fatal(err)
		}
		for rec := page[blockset.HeaderSize:][:u64(page[8:])*sessionSize]; len(rec) > 0; rec = rec[sessionSize:] {
			put(rec, sessionCount, 630000)
		}
		a = phys.Addr(u64(page))
	}
	var before, after runtime.MemStats
	runtime.ReadMemStats(&before)
	_, err = restoreFrom(own.NewLedger(mem, d, nil), d, d.root, d.size)
	runtime.ReadMemStats(&after)
	if want := `session 0 "session-0": record ` + (head + blockset.HeaderSize).String() + ": count 630000, but 3 files"; err == nil || !strings.Contains(err.Error(), want) {
		t.Errorf("got %v, want %q", err, want)
	}
	if got := after.TotalAlloc - before.TotalAlloc; got > 64<<10 {
		t.Errorf("restoring allocated %d KiB for 20 blocks of sessions", got>>10)
	}
}

// sameStates compares two states without building anything as large as them.
func sameStates(t *testing.T, a, b *State) {
	t.Helper()
	if a.Len() != b.Len() || a.Files() != b.Files() || a.Number != b.Number {
		t.Fatalf("%d sessions, %d files, number %d; want %d, %d, %d", b.Len(), b.Files(), b.Number, a.Len(), a.Files(), a.Number)
	}
	theirs := all(b.Sessions())
	for i, s := range all(a.Sessions()) {
		if string(s.Name) != string(theirs[i].Name) || s.Len() != theirs[i].Len() {
			t.Fatalf("session %d: %q with %d files, want %q with %d", i, theirs[i].Name, theirs[i].Len(), s.Name, s.Len())
		}
		recs := all(theirs[i].Files())
		for j, f := range all(s.Files()) {
			if got := recs[j]; string(f.Handler) != string(got.Handler) || f.Data != got.Data || f.Token != got.Token {
				t.Fatalf("session %d, file %d: %+v, want %+v", i, j, got, f)
			}
		}
	}
}

func TestHandoverWithoutStateIsAbsent(t *testing.T) {
	d := handoverMachine(t, 16<<20)
	data, err := d.Commit()
	if err != nil {
		t.Fatal(err)
	}
	h, st := open(t, d.Memory(), data)
	if !st.Absent() || st.Len() != 0 || st.Files() != 0 {
		t.Errorf("absent %v, %d sessions, %d files", st.Absent(), st.Len(), st.Files())
	}
	if d, err = h.Draft(kho.V4, nil); err != nil {
		t.Fatal(err)
	}
	h = commit(t, st, d)
	if _, ok := h.Subtree(Subtree); ok {
		t.Error("serializing nothing wrote a sub-tree")
	}
}

func TestIteratingAllocatesNothingForAnEntry(t *testing.T) {
	st := sessions(t, 100, 100, true)
	sum := uint64(0)
	n := testing.AllocsPerRun(5, func() {
		for s, err := range st.Sessions() {
			if err != nil {
				t.Fatal(err)
			}
			for f, err := range s.Files() {
				if err != nil {
					t.Fatal(err)
				}
				sum += f.Data
			}
		}
	})
	if n > 1 {
		t.Errorf("%v allocations for 100 sessions of 100 files", n)
	}
}

// TestCrossingAllocatesNothingForAFile takes ten times the files from each format to
// each other one: what the heap gives for blocks and arrays grows by chunks alone.
func TestCrossingAllocatesNothingForAFile(t *testing.T) {
	const few, many = 20000, 200000
	for _, x := range Formats() {
		for _, y := range Formats() {
			var allocs [2]float64
			for i, n := range []int{few, many} {
				if phystest.OnMetal {
					n /= 10
				}
				h := commitAs(t, sessions(t, 10, n/10, true), handoverMachine(t, 96<<20), Options{Format: x, BeyondLimits: true})
				allocs[i] = testing.AllocsPerRun(2, func() {
					st := restored(t, h)
					d, err := h.Draft(nil, nil)
					if err == nil {
						err = Serialize(st, d, Options{Format: y, BeyondLimits: true})
					}
					if err != nil || st.Files() != n {
						t.Fatal(st.Files(), err)
					}
				})
			}
			if allocs[1]-allocs[0] > 40 {
				t.Errorf("%v to %v: %v allocations, %v for a tenth of the files", x, y, allocs[1], allocs[0])
			}
		}
	}
}

package luo

import (
	"bytes"
	"fmt"
	"math/rand/v2"
	"slices"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"

	"ferry/blockset/blocktest"
	"ferry/phys"
	"ferry/phys/phystest"
)

// each runs test once for every format.
func each(t *testing.T, test func(t *testing.T, f *Format)) {
	for _, f := range Formats() {
		t.Run(f.String(), func(t *testing.T) { test(t, f) })
	}
}

// pages returns how many blocks a state takes in f: root, FLB page, and blocks or
// arrays.
func pages(f *Format, files []int) int {
	n := 1
	if f.HoldsFLBs() {
		n++
	}
	if isChain(f) {
		n += sessionLayout.Blocks(len(files))
		for _, m := range files {
			n += fileLayout.Blocks(m)
		}
		return n
	}
	n++
	for _, m := range files {
		n += min(m, 1)
	}
	return n
}

func TestEveryFormatReadsWhatItWrites(t *testing.T) {
	repeat := func(n, files int) []int { return slices.Repeat([]int{files}, n) }
	each(t, func(t *testing.T, f *Format) {
		for _, tt := range []struct {
			name  string
			flbs  int
			files []int
		}{
			{"nothing", 0, nil},
			{"one session without files", 0, []int{0}},
			{"one session with one file", 1, []int{1}},
			{"the most FLBs", 63, []int{1}},
			{"as many files as two pages hold", 0, []int{128}},
			{"one file more", 0, []int{129}},
			{"all sizes", 3, []int{0, 1, 63, 64, 127, 128, 129, 1000}},
			{"as many sessions as 16 pages hold", 0, repeat(819, 1)},
			{"one session more", 0, repeat(820, 0)},
			{"more files than one run holds", 2, []int{2*maxRun + 3, 5}},
		} {
			t.Run(tt.name, func(t *testing.T) {
				mem, d := machine(t)
				flbs := tt.flbs
				if !f.HoldsFLBs() {
					flbs = 0
				}
				st := state(t, flbs, tt.files...)
				serializeAs(t, f, st, d)
				got := restore(t, mem, d)
				if diff := cmp.Diff(modelOf(st), modelOf(got)); diff != "" {
					t.Errorf("restored state differs (-built +restored):\n%s", diff)
				}
				if got.Format() != f || got.NoFLBs() != !f.HoldsFLBs() || got.Absent() {
					t.Errorf("restored from %v, no FLBs %v, absent %v", got.Format(), got.NoFLBs(), got.Absent())
				}
				if want := pages(f, tt.files); d.Len() != want {
					t.Errorf("%d blocks preserved, want %d", d.Len(), want)
				}
			})
		}
	})
}

// randomState returns a state that every format holds.
func randomState(t testing.TB, rnd *rand.Rand, flbs bool) *State {
	t.Helper()
	st := New(rnd.Uint64())
	sessions := rnd.IntN(120)
	if rnd.IntN(8) == 0 {
		sessions = rnd.IntN(820)
	}
	for i := range sessions {
		if err := st.AddSession(fmt.Sprintf("%x-%s", i, bytes.Repeat([]byte{'a'}, rnd.IntN(59)))); err != nil {
			t.Fatal(err)
		}
		for j := range rnd.IntN(1 + rnd.IntN(129)) {
			handler := []string{"memfd-v2", "memfd-v2", "kvm_vm_luo_v1"}[rnd.IntN(3)]
			if err := st.AddFile(handler, rnd.Uint64(), rnd.Uint64()<<10|uint64(j)); err != nil {
				t.Fatal(err)
			}
		}
	}
	for i := range rnd.IntN(64) {
		if !flbs || st.Files() == 0 {
			break
		}
		if err := st.AddFLB(fmt.Sprintf("flb-%d", i), rnd.Uint64(), 1+rnd.Uint64N(uint64(st.Files()))); err != nil {
			t.Fatal(err)
		}
	}
	return st
}

// TestThereAndBackIsTheSameState takes random states from each format to each
// other one and back.
func TestThereAndBackIsTheSameState(t *testing.T) {
	for _, x := range Formats() {
		for _, y := range Formats() {
			t.Run(fmt.Sprintf("%v to %v", x, y), func(t *testing.T) {
				for seed := range uint64(4) {
					rnd := rand.New(rand.NewPCG(seed, 7))
					mem, d := machine(t)
					st := randomState(t, rnd, x.HoldsFLBs() && y.HoldsFLBs())
					want := modelOf(st)
					serializeAs(t, x, st, d)
					blocks := d.Len()
					first := restore(t, mem, d)
					for _, f := range []*Format{y, x} {
						in := restore(t, mem, d)
						serializeAs(t, f, in, d)
						out := restore(t, mem, d)
						if diff := cmp.Diff(want, modelOf(out), cmpopts.EquateEmpty()); diff != "" {
							t.Fatalf("seed %d, in %v (-built +restored):\n%s", seed, f, diff)
						}
						for name, other := range map[string]*State{"the one before": in, "the first": first, "the built one": st} {
							if err := out.Diff(other, nil); err != nil {
								t.Fatalf("seed %d: in %v against %s: %v", seed, f, name, err)
							}
						}
					}
					if d.Len() != blocks {
						t.Fatalf("seed %d: %d blocks preserved, %d before", seed, d.Len(), blocks)
					}
				}
			})
		}
	}
}

// TestTheSameStateGivesTheSameBytes writes what was built, and what was restored
// from that, as another machine would.
func TestTheSameStateGivesTheSameBytes(t *testing.T) {
	each(t, func(t *testing.T, f *Format) {
		flbs := 2
		if !f.HoldsFLBs() {
			flbs = 0
		}
		st := state(t, flbs, 3, 0, 70, 64)
		mem, d := machine(t)
		serializeAs(t, f, st, d)
		n := uint64(d.Free.Start - base)
		window, err := mem.View(base, n)
		if err != nil {
			t.Fatal(err)
		}
		first := bytes.Clone(window)
		in := restore(t, mem, d)
		in.root, in.flbPage, in.noFLBs = 0, 0, false
		for name, st := range map[string]*State{"built": st, "restored": in} {
			r := phys.Range{Start: base, End: base + 1<<20}
			other := phystest.NewSparse(t, r)
			again := &draft{Pages: blocktest.New(other, r)}
			serializeAs(t, f, st, again)
			got, err := other.View(base, n)
			if err != nil {
				t.Fatal(err)
			}
			if !bytes.Equal(first, got) {
				t.Errorf("the %s state gave other bytes the second time", name)
			}
		}
	})
}

// TestIncomingPagesAreNotWritten takes a state across while its pages are watched.
func TestIncomingPagesAreNotWritten(t *testing.T) {
	for _, x := range Formats() {
		for _, y := range Formats() {
			mem, d := machine(t)
			serializeAs(t, x, state(t, 0, 3, 0, 128, 5), d)
			in := restore(t, mem, d)
			n := uint64(d.Free.Start - base)
			window, err := mem.View(base, n)
			if err != nil {
				t.Fatal(err)
			}
			before := bytes.Clone(window)
			serializeAs(t, y, in, d)
			if !bytes.Equal(before, window) {
				t.Errorf("%v to %v: the incoming state was written to", x, y)
			}
		}
	}
}

// TestAStateWithoutFLBPage follows what happens to a page that Linux 6.19 does not
// write and 7.0 panics without.
func TestAStateWithoutFLBPage(t *testing.T) {
	for _, f := range Formats() {
		mem, d := machine(t)
		serializeAs(t, V1, state(t, 0, 2), d)
		in := restore(t, mem, d)
		if !in.NoFLBs() {
			t.Fatal("a state of 6.19 has an FLB page")
		}
		serializeAs(t, f, in, d)
		out := restore(t, mem, d)
		if out.NoFLBs() != !f.HoldsFLBs() || (out.flbPage != 0) != f.HoldsFLBs() || len(out.flbs) != 0 {
			t.Errorf("6.19 to %v: FLB page at %v, %d bytes of records", f, out.flbPage, len(out.flbs))
		}
	}
	// A structure may say 0: that stays 0 where it may, and becomes a page where
	// the format wants one.
	for _, from := range Formats() {
		for _, f := range Formats() {
			if !isChain(from) {
				continue
			}
			mem, d := machine(t)
			serializeAs(t, from, state(t, 0, 2), d)
			root, err := mem.Edit(d.root, chainOf(from).size)
			if err != nil {
				t.Fatal(err)
			}
			if err := d.Retire(phys.Block{Addr: phys.Addr(u64(root[chainOf(from).flbs:]))}); err != nil {
				t.Fatal(err)
			}
			clear(root[chainOf(from).flbs:])
			serializeAs(t, f, restore(t, mem, d), d)
			if out, want := restore(t, mem, d), f == V1FLB; (out.flbPage != 0) != want {
				t.Errorf("%v without a page to %v: page at %v, want one: %v", from, f, out.flbPage, want)
			}
		}
	}
}

func TestFLBsOfTheTestAreLeftOutWhereThereAreNone(t *testing.T) {
	mem, d := machine(t)
	st := state(t, 0, 2)
	for i := range 3 {
		if err := st.AddFLB(fmt.Sprintf("liveupdate-test-flb-v%d", i), 0xfeedf00dcafebee0+uint64(i), 2); err != nil {
			t.Fatal(err)
		}
	}
	serializeAs(t, V1FLB, st, d)
	in := restore(t, mem, d)
	for _, f := range Formats() {
		if got, want := in.LeftOut(f), map[*Format]int{V1: 3}[f]; got != want {
			t.Errorf("%v: %d FLBs left out, want %d", f, got, want)
		}
	}
	page := in.flbPage
	serializeAs(t, V1, in, d)
	out := restore(t, mem, d)
	if d.Preserved(phys.Block{Addr: page}) || d.Len() != 3 {
		t.Errorf("%d blocks preserved, FLB page among them: %v", d.Len(), d.Preserved(phys.Block{Addr: page}))
	}
	if err := out.Diff(in, nil); err != nil {
		t.Error(err)
	}
	if err := in.Diff(out, nil); err == nil {
		t.Error("FLBs out of nothing are no difference")
	}
}

func TestEmptySessionNamesAreCarried(t *testing.T) {
	for _, x := range Formats() {
		for _, y := range Formats() {
			mem, d := machine(t)
			st := state(t, 0, 2, 1)
			serializeAs(t, x, st, d)
			in := restore(t, mem, d)
			rec, err := mem.Edit(in.sessionAddr(1), sessionName)
			if err != nil {
				t.Fatal(err)
			}
			clear(rec)
			in = restore(t, mem, d)
			serializeAs(t, y, in, d)
			out := restore(t, mem, d)
			if err := out.Diff(in, nil); err != nil || modelOf(out).Sessions[1].Name != "" {
				t.Errorf("%v to %v: %v", x, y, err)
			}
		}
	}
}

func TestReadersAgreeOnWhatIsShared(t *testing.T) {
	for _, f := range Formats() {
		if sessionLayout.Capacity() != 51 || fileLayout.Capacity() != 63 {
			t.Fatal("the capacity of a block changed")
		}
		if isChain(f) {
			// The field of the string is the string with its NUL in whole words,
			// and what follows are words.
			room := uint64(len(f.compatible)+8) &^ 7
			want := chain{head: versionString{f.compatible, int(room)}, number: room, sessions: room + 8, flbs: room + 16, size: room + 24}
			if *chainOf(f) != want {
				t.Errorf("%v: %+v, want %+v", f, *chainOf(f), want)
			}
			if f.maxSessions != sessionLayout.Max() || f.maxFiles != fileLayout.Max() || f.beyondSessions != f.maxSessions || f.beyondFiles != f.maxFiles {
				t.Errorf("%v: at most %d sessions and %d files", f, f.maxSessions, f.maxFiles)
			}
			continue
		}
		for _, l := range []struct{ got, order, head, size int }{
			{f.maxSessions, int(sessionOrder), arrayHeader, sessionSize}, {f.maxFiles, int(fileOrder), 0, fileSize},
			{f.beyondSessions, int(maxOrder), arrayHeader, sessionSize}, {f.beyondFiles, int(maxOrder), 0, fileSize},
		} {
			if want := (phys.PageSize<<l.order - l.head) / l.size; l.got != want {
				t.Errorf("%v: limit %d, want %d, what order %d holds", f, l.got, want, l.order)
			}
		}
	}
}

// TestArraysOfOtherOrdersAreRead reads arrays as other writers place them.
func TestArraysOfOtherOrdersAreRead(t *testing.T) {
	for _, order := range []phys.Order{0, 2, 9, 10} {
		mem, d := machine(t)
		st := state(t, 0, 2, 64)
		serializeAs(t, V1FLB, st, d)
		in := restore(t, mem, d)
		move := func(old phys.Block) phys.Addr {
			a, page, err := d.AllocBlock(order)
			if err != nil {
				t.Fatal(err)
			}
			from, err := mem.View(old.Addr, phys.PageSize)
			if err != nil {
				t.Fatal(err)
			}
			copy(page, from)
			if err := d.Retire(old); err != nil {
				t.Fatal(err)
			}
			return a
		}
		page, err := mem.Edit(in.arrays.at(0).Addr, phys.PageSize)
		if err != nil {
			t.Fatal(err)
		}
		for i := range 2 {
			put(page, arrayHeader+i*sessionSize+sessionFiles, uint64(move(in.arrays.at(1+i))))
		}
		sessions := move(in.arrays.at(0))
		root, err := mem.Edit(d.root, phys.PageSize)
		if err != nil {
			t.Fatal(err)
		}
		if _, err := V1FLB.form.(*tree).write(root, "luo-v1", in.Number, sessions, in.flbPage); err != nil {
			t.Fatal(err)
		}
		moved := restore(t, mem, d)
		if err := moved.Diff(st, nil); err != nil {
			t.Errorf("order %d: %v", order, err)
		}
		serializeAs(t, V5, moved, d)
		if want := pages(V5, []int{2, 64}); d.Len() != want {
			t.Errorf("order %d: %d blocks preserved, want %d", order, d.Len(), want)
		}
		if err := restore(t, mem, d).Diff(st, nil); err != nil {
			t.Errorf("order %d, written as %v: %v", order, V5, err)
		}
	}
}

// TestAnArrayWithoutFilesIsTakenOut gives a session without files an array.
func TestAnArrayWithoutFilesIsTakenOut(t *testing.T) {
	mem, d := machine(t)
	serializeAs(t, V1, state(t, 0, 0), d)
	stray, _, err := d.AllocBlock(fileOrder)
	if err != nil {
		t.Fatal(err)
	}
	page, err := mem.Edit(restore(t, mem, d).arrays.at(0).Addr, phys.PageSize)
	if err != nil {
		t.Fatal(err)
	}
	put(page, arrayHeader+sessionFiles, uint64(stray))
	serializeAs(t, V1, restore(t, mem, d), d)
	if want := pages(V1, []int{0}); d.Len() != want {
		t.Errorf("%d blocks preserved, want %d", d.Len(), want)
	}
	out := restore(t, mem, d)
	for _, s := range all(out.Sessions()) {
		rec, err := mem.View(s.Addr, sessionSize)
		if err != nil || u64(rec[sessionFiles:]) != 0 || s.Len() != 0 {
			t.Errorf("files %#x, %d of them: %v", u64(rec[sessionFiles:]), s.Len(), err)
		}
	}
}

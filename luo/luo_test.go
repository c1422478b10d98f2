package luo

import (
	"bytes"
	"encoding/binary"
	"fmt"
	"iter"
	"slices"
	"testing"

	"github.com/google/go-cmp/cmp"

	"ferry/blockset"
	"ferry/blockset/blocktest"
	"ferry/own"
	"ferry/phys"
	"ferry/phys/phystest"
)

// Where the tests' pages lie.
const (
	base    phys.Addr = 0x10000000
	sizeRAM           = 96 << 20
)

var scratch = phys.NewRanges(phys.Range{Start: base + sizeRAM, End: base + sizeRAM + 1<<20})

// draft is an outgoing handover in its simplest form.
type draft struct {
	*blocktest.Pages
	name string
	root phys.Addr
	size uint64
}

func (d *draft) SetSubtree(name string, a phys.Addr, size uint64) error {
	d.name, d.root, d.size = name, a, size
	return nil
}

// machine returns RAM and a draft with all of its pages.
func machine(t testing.TB) (phys.Memory, *draft) {
	t.Helper()
	mem := phystest.New(t, phys.Range{Start: base, End: scratch[0].End})
	return mem, &draft{Pages: blocktest.New(mem, phys.Range{Start: base, End: base + sizeRAM})}
}

func (d *draft) DropSubtree(name string) bool {
	had := d.name == name
	d.name, d.root, d.size = "", 0, 0
	return had
}

// serialize writes st into d in the format of Linux 7.3.
func serialize(t testing.TB, st *State, d *draft) {
	t.Helper()
	serializeAs(t, V5, st, d)
	if d.size != 32 {
		t.Fatalf("sub-tree of %d bytes, want 32", d.size)
	}
}

// serializeAs writes st into d in format f, beyond its limits if need be.
func serializeAs(t testing.TB, f *Format, st *State, d *draft) {
	t.Helper()
	if err := serializeTo(st, d, Options{Format: f, BeyondLimits: true}); err != nil {
		t.Fatal(err)
	}
	if d.name != "LUO" {
		t.Fatalf("sub-tree %q, want LUO", d.name)
	}
}

// restore reads what d holds.
func restore(t testing.TB, mem phys.Memory, d *draft) *State {
	t.Helper()
	st, err := restoreFrom(own.NewLedger(mem, d, scratch), d, d.root, d.size)
	if err != nil {
		t.Fatal(err)
	}
	return st
}

// model is a state as plain values, for comparing.
type model struct {
	Number   uint64
	Sessions []modelSession
	FLBs     []modelRecord
	Handlers []Handler
}

type modelSession struct {
	Name  string
	Files []modelRecord
}

type modelRecord struct {
	Name string
	A, B uint64
}

// all returns what seq yields. Memory does not fail in tests, unless they are about
// that.
func all[T any](seq iter.Seq2[T, error]) (list []T) {
	for v, err := range seq {
		if err != nil {
			panic(err)
		}
		list = append(list, v)
	}
	return list
}

func modelOf(st *State) (m model) {
	m.Number, m.Handlers = st.Number, st.Handlers()
	for _, s := range all(st.Sessions()) {
		ms := modelSession{Name: string(s.Name)}
		for _, f := range all(s.Files()) {
			ms.Files = append(ms.Files, modelRecord{string(f.Handler), f.Data, f.Token})
		}
		m.Sessions = append(m.Sessions, ms)
	}
	for _, f := range all(st.FLBs()) {
		m.FLBs = append(m.FLBs, modelRecord{string(f.Name), f.Data, f.Users})
	}
	return m
}

// state returns a state with one session for each number in files, which says
// how many files it has.
func state(t testing.TB, flbs int, files ...int) *State {
	t.Helper()
	st := New(uint64(len(files)) + 1)
	total := 0
	for i, n := range files {
		if err := st.AddSession(fmt.Sprintf("vm-%d", i)); err != nil {
			t.Fatal(err)
		}
		for j := range n {
			if err := st.AddFile("memfd-v2", uint64(base)+uint64(total)<<12, uint64(j)*7); err != nil {
				t.Fatal(err)
			}
			total++
		}
	}
	for i := range flbs {
		if err := st.AddFLB(fmt.Sprintf("flb-v%d", i), 0xfeedf00dcafebee0+uint64(i), uint64(total)); err != nil {
			t.Fatal(err)
		}
	}
	return st
}

func TestWhatIsSerializedIsRestored(t *testing.T) {
	repeat := func(n, files int) []int { return slices.Repeat([]int{files}, n) }
	for _, tt := range []struct {
		name     string
		flbs     int
		files    []int
		sessions int // blocks
		blocks   int // of files
	}{
		{"nothing", 0, nil, 0, 0},
		{"one session without files", 0, []int{0}, 1, 0},
		{"one session with one file", 0, []int{1}, 1, 1},
		{"a full file block", 1, []int{63}, 1, 1},
		{"one file more", 63, []int{64}, 1, 2},
		{"a full session block", 0, repeat(51, 1), 1, 51},
		{"one session more", 0, repeat(52, 0), 2, 0},
		{"all sizes", 3, []int{0, 1, 62, 63, 64, 125, 126, 127, 1000}, 1, 0 + 1 + 1 + 1 + 2 + 2 + 2 + 3 + 16},
		{"many sessions", 0, repeat(1000, 3), 20, 1000},
	} {
		t.Run(tt.name, func(t *testing.T) {
			mem, d := machine(t)
			st := state(t, tt.flbs, tt.files...)
			serialize(t, st, d)
			got := restore(t, mem, d)
			if diff := cmp.Diff(modelOf(st), modelOf(got)); diff != "" {
				t.Errorf("restored state differs (-built +restored):\n%s", diff)
			}
			if s, f := got.Blocks(); s != tt.sessions || f != tt.blocks {
				t.Errorf("%d session blocks and %d file blocks, want %d and %d", s, f, tt.sessions, tt.blocks)
			}
			if want := 2 + tt.sessions + tt.blocks; d.Len() != want {
				t.Errorf("%d pages preserved, want %d: root, FLB page, blocks", d.Len(), want)
			}
			if got.Len() != len(tt.files) || got.Files() != st.Files() || got.Format() != V5 || got.Absent() {
				t.Errorf("%d sessions, %d files from %v, absent %v", got.Len(), got.Files(), got.Format(), got.Absent())
			}
		})
	}
}

func TestUnfilledBlocksAreCompacted(t *testing.T) {
	mem, d := machine(t)
	files := blockset.New(fileLayout, d)
	var want []modelRecord
	for i, n := range []int{1, 63, 2, 40, 1} {
		for range n {
			rec := make([]byte, fileSize)
			copy(rec, "memfd-v2")
			binary.LittleEndian.PutUint64(rec[56:], uint64(len(want)))
			want = append(want, modelRecord{"memfd-v2", 0, uint64(len(want))})
			if err := files.Append(rec); err != nil {
				t.Fatal(err)
			}
		}
		_ = i
	}
	// Spread the 107 records over five blocks as a reader may meet them.
	spread, next := blockset.New(fileLayout, d), files.Iter()
	if err := spread.Grow(5 * 63); err != nil {
		t.Fatal(err)
	}
	for i, n := range []int{1, 63, 2, 40, 1} {
		b := spread.Blocks()[i]
		binary.LittleEndian.PutUint64(b.Page()[8:], uint64(n))
		for slot := b.Entries(fileLayout); len(slot) > 0; slot = slot[fileSize:] {
			copy(slot, next.Next())
		}
	}
	if err := files.Destroy(); err != nil {
		t.Fatal(err)
	}
	st := state(t, 0, 0)
	serialize(t, st, d)
	sessions, err := mem.Edit(d.root+0x1000, phys.PageSize) // the block behind the root
	if err != nil {
		t.Fatal(err)
	}
	binary.LittleEndian.PutUint64(sessions[16+64:], uint64(spread.Head()))
	binary.LittleEndian.PutUint64(sessions[16+72:], 107)

	in := restore(t, mem, d)
	if _, n := in.Blocks(); n != 5 {
		t.Fatalf("%d file blocks came in, want 5", n)
	}
	serialize(t, in, d)
	out := restore(t, mem, d)
	if _, n := out.Blocks(); n != 2 {
		t.Errorf("%d file blocks went out, want 2", n)
	}
	if diff := cmp.Diff(want, modelOf(out).Sessions[0].Files); diff != "" {
		t.Errorf("files changed (-want +got):\n%s", diff)
	}
	if d.Len() != 5 { // root, session block, FLB page, two file blocks
		t.Errorf("%d pages preserved, want 5", d.Len())
	}
}

func TestFLBPageStaysWhereItIs(t *testing.T) {
	mem, d := machine(t)
	serialize(t, state(t, 3, 2), d)
	in := restore(t, mem, d)
	page := in.flbPage
	serialize(t, in, d)
	if out := restore(t, mem, d); out.flbPage != page || page == 0 {
		t.Errorf("FLB page at %v, was at %v", out.flbPage, page)
	}
	if !d.Preserved(phys.Block{Addr: page}) {
		t.Error("FLB page left the map")
	}
	root, err := mem.Edit(d.root, 32)
	if err != nil {
		t.Fatal(err)
	}
	clear(root[24:]) // a producer without FLB support
	in = restore(t, mem, d)
	serialize(t, in, d)
	if out := restore(t, mem, d); !out.noFLBs || out.flbPage != 0 {
		t.Errorf("FLB page %v came from nothing", out.flbPage)
	}
}

func TestUnknownHandlersAreCarriedAndCounted(t *testing.T) {
	mem, d := machine(t)
	st := New(1)
	if err := st.AddSession("s"); err != nil {
		t.Fatal(err)
	}
	for i := range 200 {
		name := fmt.Sprintf("handler-%d", i%100)
		if i%2 == 0 {
			name = "memfd-v2"
		}
		if err := st.AddFile(name, 0xdead0000+uint64(i), uint64(i)); err != nil {
			t.Fatal(err)
		}
	}
	serialize(t, st, d)
	in := restore(t, mem, d)
	if diff := cmp.Diff(modelOf(st).Sessions, modelOf(in).Sessions); diff != "" {
		t.Error(diff)
	}
	h := in.Handlers()
	var files int
	for _, one := range h {
		files += one.Files
		if want := map[bool]int{true: 100, false: 2}[one.Name == "memfd-v2"]; one.Files != want {
			t.Errorf("%d files of %q, want %d", one.Files, one.Name, want)
		}
	}
	if len(h) != 51 || files != 200 {
		t.Errorf("%d handlers with %d files, want 51 with 200", len(h), files)
	}
	for i := range 100 {
		in.count(fmt.Appendf(nil, "more-%d", i), 1)
	}
	if h = in.Handlers(); len(h) != maxHandlers+1 || h[maxHandlers].Name != OtherHandlers || h[maxHandlers].Files != 87 {
		t.Errorf("%d handlers, the last %+v", len(h), h[len(h)-1])
	}
}

func TestBuildingRefuses(t *testing.T) {
	st := New(1)
	long := string(bytes.Repeat([]byte{'x'}, 64))
	for what, err := range map[string]error{
		"a file without a session":   st.AddFile("memfd-v2", 0, 0),
		"an empty name":              st.AddSession(""),
		"a name of 64 bytes":         st.AddSession(long),
		"a name with a NUL":          st.AddSession("a\x00b"),
		"a handler of 48 bytes":      st.AddFile(long[:48], 0, 0),
		"an FLB name of 48 bytes":    st.AddFLB(long[:48], 0, 1),
		"a session in restored ones": (&State{sealed: true}).AddSession("a"),
	} {
		if err == nil {
			t.Errorf("%s was accepted", what)
		}
	}
	if err := st.AddSession(long[:63]); err != nil {
		t.Error(err)
	}
	if err := st.AddFile(long[:47], 0, 1); err != nil {
		t.Error(err)
	}
	for range 63 {
		if err := st.AddFLB("f", 0, 1); err != nil {
			t.Fatal(err)
		}
	}
	if err := st.AddFLB("g", 0, 1); err == nil {
		t.Error("FLB 64 was accepted")
	}
}

// Sizes and offsets of the records of Linux, for the tests that change them.
const (
	sessionSize  = 80
	sessionName  = 64
	sessionFiles = 64
	sessionCount = 72

	fileSize    = 64
	handlerName = 48
	fileData    = 48
	fileToken   = 56

	flbSize  = 64
	flbData  = 48
	flbCount = 56

	sessionLayout blockset.Layout = sessionSize
	fileLayout    blockset.Layout = fileSize
)

// isChain reports whether the records of f are in linked blocks, and not in arrays.
func isChain(f *Format) bool {
	_, ok := f.form.(*chain)
	return ok
}

func chainOf(f *Format) *chain { return f.form.(*chain) }

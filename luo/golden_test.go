package luo

import (
	"bytes"
	"encoding/hex"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"ferry/blockset"
	"ferry/blockset/blocktest"
	"ferry/kho"
	"ferry/kho/khotest"
	"ferry/phys"
	"ferry/phys/phystest"
)

// example is a state with one session "vm" of one memfd, as the pages that Linux
// 7.3 writes for it: the root at 0x100001000, then session block, FLB page and
// file block.
var example = []struct {
	off  int
	data string
}{
	{0x0000, "6c756f2d76350000 0100000000000000 0020000001000000 0030000001000000"},
	{0x1000, "0000000000000000 0100000000000000 766d000000000000"},
	{0x1050, "0040000001000000 0100000000000000"},
	{0x2000, "0100000000000000 0000000000000000"},
	{0x3000, "0000000000000000 0100000000000000 6d656d66642d7632"},
	{0x3040, "0050000001000000 3412000000000000"},
}

const exampleBase = phys.Addr(0x100001000)

func exampleBytes(t *testing.T) []byte {
	b := make([]byte, 4*phys.PageSize)
	for _, e := range example {
		data, err := hex.DecodeString(strings.ReplaceAll(e.data, " ", ""))
		if err != nil {
			t.Fatal(err)
		}
		copy(b[e.off:], data)
	}
	return b
}

func exampleMachine(t *testing.T) (phys.Memory, *draft) {
	r := phys.Range{Start: exampleBase, End: exampleBase + 4*phys.PageSize}
	mem := phystest.NewSparse(t, r)
	return mem, &draft{Pages: blocktest.New(mem, r)}
}

func TestWorkedExampleIsWrittenByteForByte(t *testing.T) {
	mem, d := exampleMachine(t)
	st := New(1)
	if err := st.AddSession("vm"); err != nil {
		t.Fatal(err)
	}
	if err := st.AddFile("memfd-v2", 0x100005000, 0x1234); err != nil {
		t.Fatal(err)
	}
	serialize(t, st, d)
	got, err := mem.View(exampleBase, 4*phys.PageSize)
	if err != nil {
		t.Fatal(err)
	}
	if want := exampleBytes(t); !bytes.Equal(got, want) {
		t.Errorf("got\n%s\nwant\n%s", dump(got), dump(want))
	}
}

// dump formats the lines of b that are not all zeros.
func dump(b []byte) (s string) {
	for off := 0; off < len(b); off += 16 {
		if line := b[off : off+16]; !bytes.Equal(line, make([]byte, 16)) {
			s += hex.EncodeToString([]byte{byte(off >> 8), byte(off)}) + ": " + hex.EncodeToString(line) + "\n"
		}
	}
	return s
}

func TestWorkedExampleIsRead(t *testing.T) {
	mem, d := exampleMachine(t)
	for range 4 {
		if _, _, err := d.Alloc(); err != nil {
			t.Fatal(err)
		}
	}
	page, err := mem.Edit(exampleBase, 4*phys.PageSize)
	if err != nil {
		t.Fatal(err)
	}
	copy(page, exampleBytes(t))
	d.root, d.size = exampleBase, 32
	want := model{
		Number:   1,
		Sessions: []modelSession{{"vm", []modelRecord{{"memfd-v2", 0x100005000, 0x1234}}}},
		Handlers: []Handler{{"memfd-v2", 1}},
	}
	if diff := cmp.Diff(want, modelOf(restore(t, mem, d))); diff != "" {
		t.Errorf("(-want +got):\n%s", diff)
	}
}

// open opens a handover and restores its state.
func open(t testing.TB, mem phys.Memory, data kho.Data) (*kho.Handover, *State) {
	t.Helper()
	h, err := kho.Open(mem, data, nil)
	if err != nil {
		t.Fatal(err)
	}
	st, err := Restore(h, blockset.NewChecker(mem, h.Map, h.Scratch))
	if err != nil {
		t.Fatal(err)
	}
	return h, st
}

func TestStateOfLinux734CrossesTwice(t *testing.T) {
	v := khotest.Linux734(t)
	incoming := make(map[phys.Addr][]byte)
	for _, a := range v.Pages {
		page, err := v.Memory.View(a, phys.PageSize)
		if err != nil {
			t.Fatal(err)
		}
		incoming[a] = bytes.Clone(page)
	}
	h, st := open(t, v.Memory, v.Data)
	want := modelOf(st)
	if len(want.Sessions) != 2 || len(want.Sessions[0].Files) != 130 || len(want.Sessions[1].Files) != 130 {
		t.Fatalf("%d sessions, %d files, want 2 sessions of 130", st.Len(), st.Files())
	}
	for _, s := range want.Sessions {
		for i, f := range s.Files {
			if f.Name != "memfd-v2" {
				t.Errorf("session %q, file %d: handler %q", s.Name, i, f.Name)
			}
			if role := roleOf(v, phys.Addr(f.A)); role != "memfd" {
				t.Errorf("session %q, file %d: data %#x is %q", s.Name, i, f.A, role)
			}
		}
	}
	for crossing := range 2 {
		d, err := h.Draft(kho.V4, nil)
		if err != nil {
			t.Fatal(err)
		}
		if err := Serialize(st, d, Options{}); err != nil {
			t.Fatal(err)
		}
		data, err := d.Commit()
		if err != nil {
			t.Fatal(err)
		}
		blocks := h.Map.Count()
		h, st = open(t, v.Memory, data)
		if diff := cmp.Diff(want, modelOf(st)); diff != "" {
			t.Fatalf("crossing %d (-first +now):\n%s", crossing, diff)
		}
		if h.Map.Count() != blocks {
			t.Errorf("crossing %d: %d blocks preserved, %d before", crossing, h.Map.Count(), blocks)
		}
	}
	for a, was := range incoming {
		if now, _ := v.Memory.View(a, phys.PageSize); !bytes.Equal(was, now) {
			t.Errorf("page %v of the incoming handover was written to", a)
		}
	}
}

func roleOf(v *khotest.Vector, a phys.Addr) string {
	for _, b := range v.Blocks {
		if b.Addr == a {
			return b.Role
		}
	}
	return "not preserved"
}

package luo

import (
	"bytes"
	"encoding/hex"
	"fmt"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"ferry/blockset/blocktest"
	"ferry/kho"
	"ferry/kho/khotest"
	"ferry/phys"
	"ferry/phys/phystest"
)

// example is a state with one session "vm" of one memfd, as the pages that the
// kernels of a format write for it, from 0x100001000 on: the root, then the blocks
// or arrays of sessions and files, and the FLB page.
type example struct {
	format *Format
	memfd  string // handler
	size   uint64 // of the root
	pages  int
	data   []piece
}

type piece struct {
	off  int
	data string
}

// trees as Linux 6.19 and 7.1 write them, but for the 8 bytes that libfdt leaves
// before the structure block; see TestTreesAreThoseOfLinux.
const (
	treeHeader = "d00dfeed %s 00000038 %s 00000028 00000011 00000010 00000000 %s %s 00000000000000000000000000000000"
	treeRoot   = "00000001 00000000 00000003 00000007 %s 6c756f2d76310000 00000003 00000008 %s 0100000000000000"
	sessionsAt = "00000001 6c756f2d73657373696f6e00 00000003 0000000f %s 6c756f2d73657373696f6e2d76320000 00000003 00000008 %s 0000010001000000 00000002"
	flbsAt     = "00000001 6c756f2d666c6200 00000003 0000000b 00000034 6c756f2d666c622d76310000 00000003 00000008 00000000 0000020001000000 00000002"
	treeEnd    = "00000002 00000009"
	treeNames  = "6c756f2d73657373696f6e2d68656164657200 6c6976657570646174652d6e756d62657200 636f6d70617469626c6500"
	flbName48  = "6c756f2d666c622d68656164657200"
)

// blocks are sessions, FLBs and files behind a root that is a structure.
var exampleBlocks = []piece{
	{0x1000, "0000000000000000 0100000000000000 766d000000000000"},
	{0x1050, "0040000001000000 0100000000000000"},
	{0x2000, "0100000000000000 0000000000000000"},
	{0x3000, "0000000000000000 0100000000000000 6d656d66642d7632"},
	{0x3040, "0050000001000000 3412000000000000"},
}

var examples = []example{
	{V5, "memfd-v2", 32, 4, append([]piece{{0, "6c756f2d76350000 0100000000000000 0020000001000000 0030000001000000"}}, exampleBlocks...)},
	{V1, "memfd-v1", 228, 0x24, []piece{
		{0x00000, fmt.Sprintf(treeHeader, "000000e4", "000000b4", "00000030", "0000007c") +
			fmt.Sprintf(treeRoot, "00000025", "00000013") + fmt.Sprintf(sessionsAt, "00000025", "00000000") + treeEnd + treeNames},
		{0x0f000, "0100000000000000 766d000000000000"}, // the array of order 4 at 0x100010000
		{0x0f048, "0000020001000000 0100000000000000"},
		{0x1f000, "6d656d66642d7631"}, // the array of order 1 at 0x100020000
		{0x1f030, "0050000001000000 3412000000000000"},
	}},
	{V1FLB, "memfd-v2", 303, 0x24, []piece{
		{0x00000, fmt.Sprintf(treeHeader, "0000012f", "000000f0", "0000003f", "000000b8") +
			fmt.Sprintf(treeRoot, "00000034", "00000022") + fmt.Sprintf(sessionsAt, "00000034", "0000000f") + flbsAt + treeEnd + flbName48 + treeNames},
		{0x0f000, "0100000000000000 766d000000000000"},
		{0x0f048, "0020020001000000 0100000000000000"},
		{0x1f000, "0100000000000000 0000000000000000"}, // the FLB page at 0x100020000
		{0x21000, "6d656d66642d7632"},                  // the array of order 1 at 0x100022000
		{0x21030, "0050000001000000 3412000000000000"},
	}},
}

const exampleBase = phys.Addr(0x100001000)

func (e *example) bytes(t *testing.T) []byte {
	b := make([]byte, e.pages*phys.PageSize)
	for _, e := range e.data {
		data, err := hex.DecodeString(strings.ReplaceAll(e.data, " ", ""))
		if err != nil {
			t.Fatal(err)
		}
		copy(b[e.off:], data)
	}
	return b
}

func (e *example) machine(t *testing.T) (phys.Memory, *draft) {
	r := phys.Range{Start: exampleBase, End: exampleBase + phys.Addr(e.pages)*phys.PageSize}
	mem := phystest.NewSparse(t, r)
	return mem, &draft{Pages: blocktest.New(mem, r)}
}

func TestWorkedExampleIsWrittenByteForByte(t *testing.T) {
	for _, e := range examples {
		e.write(t)
	}
}

// write proves that the example is what its state is written as.
func (e *example) write(t *testing.T) {
	t.Helper()
	mem, d := e.machine(t)
	st := New(1)
	if err := st.AddSession("vm"); err != nil {
		t.Fatal(err)
	}
	if err := st.AddFile(e.memfd, 0x100005000, 0x1234); err != nil {
		t.Fatal(err)
	}
	serializeAs(t, e.format, st, d)
	got, err := mem.View(exampleBase, uint64(e.pages)*phys.PageSize)
	if err != nil {
		t.Fatal(err)
	}
	if want := e.bytes(t); !bytes.Equal(got, want) || d.root != exampleBase || d.size != e.size {
		t.Errorf("%v: root of %d bytes at %v, got\n%s\nwant %d at %v\n%s", e.format, d.size, d.root, dump(got), e.size, exampleBase, dump(want))
	}
}

// dump formats the lines of b that are not all zeros.
func dump(b []byte) (s string) {
	for off := 0; off < len(b); off += 16 {
		if line := b[off:min(off+16, len(b))]; !zeros(line) {
			s += fmt.Sprintf("%05x", off) + ": " + hex.EncodeToString(line) + "\n"
		}
	}
	return s
}

func TestWorkedExampleIsRead(t *testing.T) {
	for _, e := range examples {
		e.read(t)
	}
}

// read proves that the example is read as its state.
func (e *example) read(t *testing.T) {
	t.Helper()
	mem, d := e.machine(t)
	for b := exampleBase; b < exampleBase+phys.Addr(e.pages)*phys.PageSize; b += phys.PageSize {
		d.Preserve(phys.Block{Addr: b})
	}
	if !isChain(e.format) {
		d.Preserve(phys.Block{Addr: 0x100010000, Order: 4})
		d.Preserve(phys.Block{Addr: 0x100020000 + map[*Format]phys.Addr{V1FLB: 0x2000}[e.format], Order: 1})
	}
	page, err := mem.Edit(exampleBase, uint64(e.pages)*phys.PageSize)
	if err != nil {
		t.Fatal(err)
	}
	copy(page, e.bytes(t))
	d.root, d.size = exampleBase, e.size
	want := model{
		Number:   1,
		Sessions: []modelSession{{"vm", []modelRecord{{e.memfd, 0x100005000, 0x1234}}}},
		Handlers: []Handler{{e.memfd, 1}},
	}
	st := restore(t, mem, d)
	if diff := cmp.Diff(want, modelOf(st)); diff != "" || st.Format() != e.format {
		t.Errorf("%v, read as %v (-want +got):\n%s", e.format, st.Format(), diff)
	}
}

// open opens a handover and restores its state.
func open(t testing.TB, mem phys.Memory, data kho.Data) (*kho.Handover, *State) {
	t.Helper()
	h, err := kho.Open(mem, data, nil)
	if err != nil {
		t.Fatal(err)
	}
	st, err := Restore(h, h.Ledger())
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
		blocks := h.Map().Count()
		h, st = open(t, v.Memory, data)
		if diff := cmp.Diff(want, modelOf(st)); diff != "" {
			t.Fatalf("crossing %d (-first +now):\n%s", crossing, diff)
		}
		if h.Map().Count() != blocks {
			t.Errorf("crossing %d: %d blocks preserved, %d before", crossing, h.Map().Count(), blocks)
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

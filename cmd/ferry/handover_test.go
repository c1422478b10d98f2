package main

import (
	"bytes"
	"encoding/binary"
	"encoding/json"
	"fmt"
	"io"
	"maps"
	"os"
	"path/filepath"
	"reflect"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"ferry/internal/oracle"
	"ferry/internal/oracle/standin"
	"ferry/kho/khotest"
	"ferry/phys"
	"ferry/phys/dump/dumptest"
	"ferry/phys/phystest"
)

// A small machine: RAM, scratch, and places in scratch for the table, the node and a zero page.
const (
	scratchAt  = phys.Addr(0x100_0000)
	zeroPageAt = phys.Addr(0x150_0000)
	nodeAt     = phys.Addr(0x150_1000)
	scratchTop = phys.Addr(0x180_0000)
)

var smallRAM = phys.Range{Start: 0x10_0000, End: 0x200_0000}

// left is a machine with a handover of the stand-in in it.
type left struct {
	*testing.T
	standin.Handover
	mem  *phystest.Sparse
	data oracle.Handover
}

func produce(t *testing.T, g *standin.Generation, shape standin.Shape) *left {
	t.Helper()
	scratch := phys.Range{Start: scratchAt, End: scratchTop}
	m := &left{T: t, mem: phystest.NewSparse(t, smallRAM)}
	var err error
	if m.Handover, err = standin.Produce(m.mem, phys.NewRanges(smallRAM).Sub(scratch), g, shape); err != nil {
		t.Fatal(err)
	}
	size, err := standin.Scratch(m.mem, scratchAt, []phys.Range{{Start: scratchAt, End: scratchTop - 4<<20}, {Start: scratchTop - 4<<20, End: scratchTop - 2<<20}, {Start: scratchTop - 2<<20, End: scratchTop}})
	if err != nil {
		t.Fatal(err)
	}
	m.data = oracle.Handover{FDT: m.FDT, FDTSize: phys.PageSize, Scratch: scratchAt, ScratchSize: size}
	m.node(nodeAt, m.data)
	zero := m.edit(zeroPageAt, phys.PageSize)
	copy(zero[0x202:], "HdrS")
	binary.LittleEndian.PutUint64(zero[0x250:], uint64(nodeAt))
	return m
}

// node writes a node of the setup_data list that names a handover.
func (m *left) node(at phys.Addr, d oracle.Handover) {
	node := m.edit(at, 48)
	binary.LittleEndian.PutUint32(node[8:], 10)
	binary.LittleEndian.PutUint32(node[12:], 32)
	for i, v := range []uint64{uint64(d.FDT), d.FDTSize, uint64(d.Scratch), d.ScratchSize} {
		binary.LittleEndian.PutUint64(node[16+8*i:], v)
	}
}

func (m *left) edit(at phys.Addr, n uint64) []byte {
	m.Helper()
	b, err := m.mem.Edit(at, n)
	if err != nil {
		m.Fatal(err)
	}
	return b
}

// dump writes the machine's memory in the form that pack makes, nil for bytes as they are, and returns the file's name.
func (m *left) dump(pack func([]dumptest.Segment) []byte) string {
	m.Helper()
	segments, err := dumptest.Segments(m.mem, m.mem.RAM())
	if err != nil {
		m.Fatal(err)
	}
	if pack == nil {
		pack = func(s []dumptest.Segment) []byte { return s[0].Data }
	}
	return put(m.T, "dump", pack(segments))
}

// inspected is what ferry inspect --json prints.
func inspected(t testing.TB, c inspectCmd) dumpFacts {
	t.Helper()
	var out bytes.Buffer
	c.JSON = true
	if err := c.inspect(&out); err != nil {
		t.Fatal(err)
	}
	var f dumpFacts
	if err := json.Unmarshal(out.Bytes(), &f); err != nil {
		t.Fatal(err)
	}
	return f
}

// wordsOf is the numbers of one kind that the independent decoder found, in their order.
func wordsOf(m *oracle.Model, k oracle.Kind) (v []uint64) {
	for _, w := range m.Words {
		if w.Kind == k {
			v = append(v, w.Value)
		}
	}
	return v
}

// agree compares what ferry inspect found in a handover with what the independent decoder does.
func agree(t *testing.T, h handoverFacts, mem phys.Memory, data oracle.Handover, form *oracle.Form) {
	t.Helper()
	want, err := oracle.Decode(mem, data, form, form, nil)
	if err != nil {
		t.Fatal(err)
	}
	var tokens, sizes, positions, folios, sealed, files []uint64
	for _, s := range h.Sessions {
		files = append(files, uint64(len(s.Files)))
		for _, f := range s.Files {
			token, err := strconv.ParseUint(f.Token, 0, 64)
			if err != nil {
				t.Fatal(err)
			}
			tokens = append(tokens, token)
			if !f.Memfd {
				continue
			}
			if f.State != "sound" {
				t.Errorf("session %s, token %s is %s", s.Name, f.Token, f.State)
			}
			sizes, positions, folios = append(sizes, f.Size), append(positions, f.Position), append(folios, f.Folios)
			bits := uint64(0)
			for i, name := range []string{"seal", "shrink", "grow", "write", "future-write", "exec"} {
				if slices.Contains(f.Seals, name) {
					bits |= 1 << i
				}
			}
			sealed = append(sealed, bits)
		}
	}
	for k, got := range map[oracle.Kind][]uint64{oracle.SessionFiles: files, oracle.Token: tokens, oracle.Size: sizes, oracle.Position: positions, oracle.Folios: folios, oracle.Seals: sealed} {
		if k == oracle.Seals && !form.Seals {
			continue
		}
		if want := wordsOf(want, k); !slices.Equal(got, want) {
			t.Errorf("%v: %v, want %v", k, got, want)
		}
	}
	if number := wordsOf(want, oracle.Number); len(number) == 1 && (h.Number == nil || *h.Number != number[0]) {
		t.Errorf("live update number %v, want %v", h.Number, number)
	}
	orders := make(map[int]uint64)
	for _, b := range want.Blocks {
		orders[int(b.Order)]++
	}
	got := make(map[int]uint64)
	for _, o := range h.Preserved {
		got[o.Order] = o.Blocks
	}
	if !maps.Equal(got, orders) {
		t.Errorf("preserved %v, want %v", got, orders)
	}
	var areas []string
	for _, s := range h.Scratch {
		areas = append(areas, s.At)
	}
	for i, r := range want.Areas {
		if i >= len(areas) || areas[i] != r.Start.String() {
			t.Errorf("scratch %v, want %v", areas, want.Areas)
			break
		}
	}
	if users := wordsOf(want, oracle.FLBUsers); len(users) != len(h.FLBs) {
		t.Errorf("%d FLBs, want %d", len(h.FLBs), len(users))
	}
}

// TestInspectAgreesWithTheIndependentDecoder reads what the stand-in of each generation left.
func TestInspectAgreesWithTheIndependentDecoder(t *testing.T) {
	for _, g := range standin.Generations {
		t.Run(g.Word(), func(t *testing.T) {
			shape := standin.Shape{Regions: 1, RegionOrder: 2, Tests: 3}
			if g.Sessions() {
				shape.Sessions, shape.Files = 3, 5
			}
			m := produce(t, g, shape)
			f := inspected(t, inspectCmd{Dump: m.dump(nil), dumpFlags: dumpFlags{Base: uint64(smallRAM.Start), From: g.Name}})
			if len(f.Handovers) != 1 {
				t.Fatalf("%d handovers", len(f.Handovers))
			}
			h := f.Handovers[0]
			if len(h.Findings) > 0 || !slices.Contains(h.Generations, g.Name) || h.Live != "yes" || !slices.Equal(h.ZeroPages, []string{zeroPageAt.String()}) {
				t.Errorf("generations %v, live %q because %q, zero pages %v, findings %v", h.Generations, h.Live, h.Why, h.ZeroPages, h.Findings)
			}
			agree(t, h, m.mem, m.data, oracle.FormOf(g.Name))
		})
	}
}

// TestInspectReadsEveryForm finds the same in every form of one machine's memory.
func TestInspectReadsEveryForm(t *testing.T) {
	m := produce(t, standin.F, standin.Shape{Sessions: 2, Files: 3})
	plain := inspected(t, inspectCmd{Dump: m.dump(nil), dumpFlags: dumpFlags{Base: uint64(smallRAM.Start)}})
	for _, form := range dumptest.Forms {
		f := inspected(t, inspectCmd{Dump: m.dump(form.Make)})
		got, _ := json.Marshal(f.Handovers)
		want, _ := json.Marshal(plain.Handovers)
		if f.Form != form.Name || !bytes.Equal(got, want) {
			t.Errorf("%s: %s: %s\nwant %s", form.Name, f.Form, got, want)
		}
	}
}

// sparseDump writes what the memory holds into a file with holes, as bytes from 0 on.
func sparseDump(t testing.TB, mem phys.Memory) string {
	t.Helper()
	name := filepath.Join(t.TempDir(), "ram")
	f, err := os.Create(name)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	for _, r := range mem.(*phystest.Sparse).Touched() {
		b, err := mem.View(r.Start, r.Size())
		if err == nil {
			_, err = f.WriteAt(b, int64(r.Start))
		}
		if err != nil {
			t.Fatal(err)
		}
	}
	ram := mem.RAM()
	if err := f.Truncate(int64(ram[len(ram)-1].End)); err != nil {
		t.Fatal(err)
	}
	return name
}

// TestInspectReadsRealHandovers agrees with the independent decoder on what real kernels left, in little time.
func TestInspectReadsRealHandovers(t *testing.T) {
	for release, generation := range map[string]string{"6.19.14": "C", "7.0.13": "D", "7.1.13": "E", "7.3.4": "F"} {
		t.Run(release, func(t *testing.T) {
			v := khotest.Linux(t, release)
			name := sparseDump(t, v.Memory)
			start := time.Now()
			f := inspected(t, inspectCmd{Dump: name, dumpFlags: dumpFlags{From: release}})
			if took := time.Since(start); took > 5*time.Second {
				t.Errorf("it took %v", took)
			}
			if len(f.Handovers) != 1 {
				t.Fatalf("%d handovers", len(f.Handovers))
			}
			h := f.Handovers[0]
			if !slices.Contains(h.Generations, generation) || h.FDT != v.Data.FDT.String() {
				t.Errorf("generations %v, device tree %v; findings %v", h.Generations, h.FDT, h.Findings)
			}
			agree(t, h, v.Memory, oracle.Handover(v.Data), oracle.FormOf(generation))
		})
	}
}

// TestInspectReadsLists of kernels without live update.
func TestInspectReadsLists(t *testing.T) {
	khotest.Lists(t, func(t *testing.T, l *khotest.List) {
		form, from := "A", "6.17"
		if l.Large {
			form, from = "B", "6.18"
		}
		m := &left{T: t, mem: l.Memory.(*phystest.Sparse)}
		var at phys.Addr // a page for the node that neither the handover nor its list has
		for _, r := range l.Memory.RAM() {
			if r.Start >= phys.LowMemory && r.Size() > 1<<20 {
				at = r.Start
			}
		}
		for slices.ContainsFunc(l.Blocks, func(b khotest.Block) bool { return b.Range().Overlaps(phys.Block{Addr: at}.Range()) }) {
			at += phys.PageSize
		}
		m.node(at, oracle.Handover(l.Data))
		f := inspected(t, inspectCmd{Dump: sparseDump(t, l.Memory), dumpFlags: dumpFlags{From: from}})
		if h := f.Handovers; len(h) == 1 && !h[0].Readable && strings.Contains(l.Name, "least-aligned") {
			if !strings.Contains(h[0].Findings[0].Found, "sound as kho-v1 and as kho-v1/512") {
				t.Errorf("%+v", h[0].Findings)
			}
			return // nothing in memory says which it is
		}
		if len(f.Handovers) != 1 || !f.Handovers[0].Readable {
			t.Fatalf("%+v", f.Handovers)
		}
		var want, got uint64
		for _, b := range l.Blocks {
			want += b.Order.Bytes()
		}
		for _, o := range f.Handovers[0].Preserved {
			got += o.Bytes
		}
		if got != want || !slices.Contains(f.Handovers[0].Generations, form) {
			t.Errorf("%d bytes preserved, want %d; generations %v, want %s", got, want, f.Handovers[0].Generations, form)
		}
	})
}

// TestEveryDamageIsFound takes those of the attacks: each is among the findings, in both outputs.
func TestEveryDamageIsFound(t *testing.T) {
	for _, d := range standin.DamagesOf(standin.F) {
		t.Run(d.Name, func(t *testing.T) {
			m := produce(t, standin.F, standin.Shape{Sessions: 3, Files: 4, Regions: 2, RegionOrder: 2, Tests: 2})
			if _, err := d.Do(m.Handover, scratchAt); err != nil {
				t.Skip(err)
			}
			c := inspectCmd{Dump: m.dump(nil), dumpFlags: dumpFlags{Base: uint64(smallRAM.Start)}}
			var out bytes.Buffer
			if err := c.inspect(&out); err != nil {
				if !strings.Contains(err.Error(), "no handover") {
					t.Error(err)
				}
				return
			}
			f := inspected(t, c)
			h := f.Handovers[0]
			if len(h.Findings) == 0 {
				t.Errorf("nothing found:\n%s", out.String())
			}
			for _, finding := range h.Findings {
				if !strings.Contains(out.String(), finding.Found) {
					t.Errorf("the text does not say %q", finding.Found)
				}
			}
		})
	}
}

// TestADamagedFileHidesNoOther damages the structure of one memfd.
func TestADamagedFileHidesNoOther(t *testing.T) {
	m := produce(t, standin.F, standin.Shape{Sessions: 2, Files: 3})
	c := inspectCmd{dumpFlags: dumpFlags{Base: uint64(smallRAM.Start)}}
	c.Dump = m.dump(nil)
	f := inspected(t, c)
	at, err := strconv.ParseUint(f.Handovers[0].Sessions[1].Files[1].Data, 0, 64)
	if err != nil {
		t.Fatal(err)
	}
	binary.LittleEndian.PutUint64(m.edit(phys.Addr(at)+8, 8), 1<<50) // its size
	c.Dump = m.dump(nil)
	f = inspected(t, c)
	states := make(map[string]int)
	for _, s := range f.Handovers[0].Sessions {
		for _, file := range s.Files {
			states[file.State]++
		}
	}
	if states["sound"] != 5 || states["damaged"] != 1 {
		t.Errorf("%v, want one damaged and five sound", states)
	}
	named := slices.ContainsFunc(f.Handovers[0].Findings, func(f dumpFinding) bool {
		return f.Kind == "error" && strings.Contains(f.Object, "memfd") && f.Address != ""
	})
	if !named {
		t.Errorf("findings %+v", f.Handovers[0].Findings)
	}
}

// TestADamagedSubTreeHidesNoSession names memory for the sub-tree memblock that is not preserved.
func TestADamagedSubTreeHidesNoSession(t *testing.T) {
	m := produce(t, standin.F, standin.Shape{Sessions: 2, Files: 3, Regions: 1})
	c := inspectCmd{Dump: m.dump(nil), dumpFlags: dumpFlags{Base: uint64(smallRAM.Start)}}
	trees := inspected(t, c).Handovers[0].Subtrees
	i := slices.IndexFunc(trees, func(s treeFacts) bool { return s.Name == "memblock" })
	at, err := strconv.ParseUint(trees[i].At, 0, 64)
	if err != nil {
		t.Fatal(err)
	}
	page := m.edit(m.data.FDT, phys.PageSize)
	place := bytes.Index(page, binary.LittleEndian.AppendUint64(nil, at))
	binary.LittleEndian.PutUint64(page[place:], uint64(scratchTop-phys.PageSize))
	c.Dump = m.dump(nil)
	h := inspected(t, c).Handovers[0]
	if !h.Readable || len(h.Sessions) != 2 || len(h.Subtrees) != len(trees)-1 {
		t.Fatalf("%+v", h)
	}
	for _, s := range h.Sessions {
		for _, f := range s.Files {
			if f.State != "sound" {
				t.Errorf("session %s, token %s is %s", s.Name, f.Token, f.State)
			}
		}
	}
	if !slices.ContainsFunc(h.Findings, func(f dumpFinding) bool { return f.Kind == "error" && strings.Contains(f.Object, "memblock") }) {
		t.Errorf("findings %+v", h.Findings)
	}
}

// TestWhichOfTwoHandoversIsLive takes what zero pages say, and guesses nothing.
func TestWhichOfTwoHandoversIsLive(t *testing.T) {
	for _, c := range []struct {
		name   string
		change func(m *left)
		live   []string
	}{
		{"one is named", func(*left) {}, []string{"yes", "no"}},
		{"both are named", func(m *left) {
			copy(m.edit(zeroPageAt+0x4000, phys.PageSize), m.edit(zeroPageAt, phys.PageSize))
			binary.LittleEndian.PutUint64(m.edit(zeroPageAt+0x4250, 8), uint64(nodeAt+0x100))
		}, []string{"unknown", "unknown"}},
		{"none is named", func(m *left) { clear(m.edit(zeroPageAt, phys.PageSize)) }, []string{"unknown", "unknown"}},
	} {
		t.Run(c.name, func(t *testing.T) {
			m := produce(t, standin.F, standin.Shape{Sessions: 1, Files: 1})
			other := m.data
			other.Scratch += 0x2000
			copy(m.edit(other.Scratch, other.ScratchSize), m.edit(m.data.Scratch, other.ScratchSize))
			m.node(nodeAt+0x100, other)
			c.change(m)
			f := inspected(t, inspectCmd{Dump: m.dump(nil), dumpFlags: dumpFlags{Base: uint64(smallRAM.Start)}})
			var live []string
			for _, h := range f.Handovers {
				live = append(live, h.Live)
				if h.Why == "" {
					t.Error("no reason")
				}
			}
			if !slices.Equal(live, c.live) {
				t.Errorf("live %v, want %v", live, c.live)
			}
		})
	}
}

// contents are those of a file as the independent decoder finds them.
func contents(t *testing.T, m *left, session, file int32) []byte {
	t.Helper()
	want, err := oracle.Decode(m.mem, m.data, oracle.FormOf("F"), oracle.FormOf("F"), nil)
	if err != nil {
		t.Fatal(err)
	}
	of := func(k oracle.Kind) (v []uint64) {
		for _, w := range want.Words {
			if w.Kind == k && w.Session == session && w.File == file {
				v = append(v, w.Value)
			}
		}
		return v
	}
	size := of(oracle.Size)[0]
	b := make([]byte, (size+phys.PageSize-1)/phys.PageSize*phys.PageSize+1<<22)
	places, orders, indexes := of(oracle.FolioPlace), of(oracle.FolioOrder), of(oracle.FolioIndex)
	for i, pfn := range places {
		if pfn == 0 {
			continue
		}
		page, err := m.mem.View(phys.PFN(pfn).Addr(), phys.Order(orders[i]).Bytes())
		if err != nil {
			t.Fatal(err)
		}
		copy(b[indexes[i]<<phys.PageShift:], page)
	}
	return b[:size]
}

func TestExtractWritesWhatWasPreserved(t *testing.T) {
	m := produce(t, standin.F, standin.Shape{Sessions: 2, Files: 4})
	f := inspected(t, inspectCmd{Dump: m.dump(nil), dumpFlags: dumpFlags{Base: uint64(smallRAM.Start)}})
	for _, form := range dumptest.Forms {
		name := m.dump(form.Make)
		for i, s := range f.Handovers[0].Sessions {
			for j, file := range s.Files {
				to := filepath.Join(t.TempDir(), "out")
				if err := (&extractCmd{Dump: name, What: s.Name + "/" + file.Token, File: to}).extract(io.Discard); err != nil {
					t.Fatalf("%s: %v", form.Name, err)
				}
				got, err := os.ReadFile(to)
				if err != nil {
					t.Fatal(err)
				}
				if want := contents(t, m, int32(i), int32(j)); !bytes.Equal(got, want) {
					t.Errorf("%s: session %d file %d: %d bytes that differ from the %d that were preserved", form.Name, i, j, len(got), len(want))
				}
			}
			if form.Name != "ELF core" {
				break // one session is enough for each of the others
			}
		}
	}
}

// TestExtractLeavesHolesForZeros makes all of a file's memory zero.
func TestExtractLeavesHolesForZeros(t *testing.T) {
	m := produce(t, standin.F, standin.Shape{Sessions: 1, Files: 1})
	want, err := oracle.Decode(m.mem, m.data, oracle.FormOf("F"), oracle.FormOf("F"), nil)
	if err != nil {
		t.Fatal(err)
	}
	orders := wordsOf(want, oracle.FolioOrder)
	for i, pfn := range wordsOf(want, oracle.FolioPlace) {
		clear(m.edit(phys.PFN(pfn).Addr(), phys.Order(orders[i]).Bytes()))
	}
	dump := m.dump(nil)
	f := inspected(t, inspectCmd{Dump: dump, dumpFlags: dumpFlags{Base: uint64(smallRAM.Start)}})
	s := f.Handovers[0].Sessions[0]
	to := filepath.Join(t.TempDir(), "out")
	if err := (&extractCmd{Dump: dump, What: s.Name + "/" + s.Files[0].Token, File: to, dumpFlags: dumpFlags{Base: uint64(smallRAM.Start)}}).extract(io.Discard); err != nil {
		t.Fatal(err)
	}
	var st unix.Stat_t
	if err := unix.Stat(to, &st); err != nil || st.Blocks != 0 || uint64(st.Size) != s.Files[0].Size {
		t.Errorf("%d bytes in %d blocks, %v; want %d in none", st.Size, st.Blocks, err, s.Files[0].Size)
	}
}

func TestExtractRefuses(t *testing.T) {
	m := produce(t, standin.F, standin.Shape{Sessions: 1, Files: 2})
	dump := m.dump(nil)
	base := dumpFlags{Base: uint64(smallRAM.Start)}
	s := inspected(t, inspectCmd{Dump: dump, dumpFlags: base}).Handovers[0].Sessions[0]
	good := s.Name + "/" + s.Files[0].Token
	dir := t.TempDir()
	old := filepath.Join(dir, "old")
	if err := os.WriteFile(old, []byte("old"), 0o600); err != nil {
		t.Fatal(err)
	}
	for _, c := range []struct {
		what, file, handover, want string
	}{
		{"vm-7", old, "", "names no file"},
		{s.Name + "/x", old, "", "names no file"},
		{"nobody/1", old, "", "no file of a session \"nobody\""},
		{s.Name + "/0xdeadbeef", old, "", "no token 0xdeadbeef"},
		{good, "-", "", "standard output"},
		{good, dir, "", "a directory"},
		{good, "/dev/null", "", "a device"},
		{good, dump, "", "same file as DUMP"},
		{good, old, "0x123", "no handover with a device tree at 0x123"},
	} {
		err := (&extractCmd{Dump: dump, What: c.what, File: c.file, dumpFlags: base, Handover: c.handover}).extract(io.Discard)
		if err == nil || !strings.Contains(err.Error(), c.want) {
			t.Errorf("%s into %s: error %v, want one with %q", c.what, c.file, err, c.want)
		}
	}
	if b, err := os.ReadFile(old); err != nil || string(b) != "old" {
		t.Errorf("%q, %v", b, err)
	}
	at, err := strconv.ParseUint(s.Files[0].Data, 0, 64)
	if err != nil {
		t.Fatal(err)
	}
	binary.LittleEndian.PutUint64(m.edit(phys.Addr(at)+8, 8), 1<<50)
	err = (&extractCmd{Dump: m.dump(nil), What: good, File: old, dumpFlags: base}).extract(io.Discard)
	if err == nil || !strings.Contains(err.Error(), "the file is damaged") {
		t.Errorf("a damaged file: %v", err)
	}
	if names, err := filepath.Glob(filepath.Join(dir, "*")); err != nil || len(names) != 1 {
		t.Errorf("left behind: %v, %v", names, err)
	}
}

func TestDiffSaysWhatIsPreservedDifferently(t *testing.T) {
	base := dumpFlags{Base: uint64(smallRAM.Start)}
	m := produce(t, standin.F, standin.Shape{Sessions: 2, Files: 3})
	one := m.dump(nil)
	differ := func(a, b string) string {
		var out bytes.Buffer
		err := (&diffCmd{Dump: a, Other: b, dumpFlags: base}).diff(&out)
		if lines := strings.Count(out.String(), "\n"); err == nil && out.String() != "both preserve the same\n" ||
			err != nil && !strings.Contains(err.Error(), fmt.Sprintf("%d differences", lines)) {
			t.Errorf("error %v with %q", err, out.String())
		}
		return out.String()
	}
	if s := differ(one, m.dump(dumptest.Forms[3].Make)); s != "both preserve the same\n" {
		t.Errorf("one machine in two forms: %s", s)
	}
	s := inspected(t, inspectCmd{Dump: one, dumpFlags: base}).Handovers[0].Sessions[1]
	at, err := strconv.ParseUint(s.Files[2].Data, 0, 64)
	if err != nil {
		t.Fatal(err)
	}
	m.edit(phys.Addr(at), 8)[0] ^= 1 // position
	want, err := oracle.Decode(m.mem, m.data, oracle.FormOf("F"), oracle.FormOf("F"), nil)
	if err != nil {
		t.Fatal(err)
	}
	m.edit(phys.PFN(wordsOf(want, oracle.FolioPlace)[0]).Addr(), 1)[0] ^= 0xff // contents of the first file
	first := inspected(t, inspectCmd{Dump: one, dumpFlags: base}).Handovers[0].Sessions[0]
	got := differ(one, m.dump(nil))
	for _, w := range []string{
		fmt.Sprintf("~ session %q: token %s: position: ", s.Name, s.Files[2].Token),
		fmt.Sprintf("~ session %q: token %s: contents: sha256", first.Name, first.Files[0].Token),
	} {
		if !strings.Contains(got, w) {
			t.Errorf("no %q in:\n%s", w, got)
		}
	}
	if n := strings.Count(got, "\n"); n != 2 {
		t.Errorf("%d differences, want 2:\n%s", n, got)
	}
	more := produce(t, standin.F, standin.Shape{Sessions: 3, Files: 2})
	got = differ(one, more.dump(nil))
	for _, w := range []string{"+ session ", "with 2 files", "- session ", ": token "} {
		if !strings.Contains(got, w) {
			t.Errorf("no %q in:\n%s", w, got)
		}
	}
}

// TestTheTextOfInspectIsStable holds one machine's text against what is in testdata.
func TestTheTextOfInspectIsStable(t *testing.T) {
	m := produce(t, standin.F, standin.Shape{Sessions: 2, Files: 2, Regions: 1, RegionOrder: 2})
	var out bytes.Buffer
	if err := (&inspectCmd{Dump: m.dump(nil), dumpFlags: dumpFlags{Base: uint64(smallRAM.Start)}}).inspect(&out); err != nil {
		t.Fatal(err)
	}
	want, err := os.ReadFile("testdata/inspect.txt")
	if err != nil || out.String() != string(want) {
		t.Errorf("%v; got\n%s", err, out.String())
	}
}

// TestThePageDescribesTheJSON wants every field of the output in docs/inspect.md.
func TestThePageDescribesTheJSON(t *testing.T) {
	page, err := os.ReadFile("../../docs/inspect.md")
	if err != nil {
		t.Fatal(err)
	}
	seen := 0
	var visit func(reflect.Type)
	visit = func(typ reflect.Type) {
		switch typ.Kind() {
		case reflect.Slice, reflect.Pointer:
			visit(typ.Elem())
		case reflect.Struct:
			for i := range typ.NumField() {
				name, _, _ := strings.Cut(typ.Field(i).Tag.Get("json"), ",")
				if name == "" {
					continue
				}
				if seen++; !bytes.Contains(page, []byte("`"+name+"`")) {
					t.Errorf("docs/inspect.md does not say what %s is", name)
				}
				visit(typ.Field(i).Type)
			}
		}
	}
	visit(reflect.TypeFor[dumpFacts]())
	if seen < 50 {
		t.Errorf("%d fields", seen)
	}
}

package main

import (
	"bytes"
	"encoding/binary"
	"encoding/json"
	"os"
	"path/filepath"
	"reflect"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"ferry/internal/oracle"
	"ferry/internal/oracle/standin"
	"ferry/kho/khotest"
	"ferry/phys"
	"ferry/phys/dump/dumptest"
	"ferry/phys/phystest"
)

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

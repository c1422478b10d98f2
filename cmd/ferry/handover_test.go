package main

import (
	"bytes"
	"encoding/binary"
	"encoding/json"
	"maps"
	"slices"
	"strconv"
	"testing"

	"ferry/internal/oracle"
	"ferry/internal/oracle/standin"
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

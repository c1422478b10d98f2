package luo

import (
	"bytes"
	"encoding/binary"
	"testing"

	"github.com/google/go-cmp/cmp"

	"ferry/blockset/blocktest"
	"ferry/kho/khotest"
	"ferry/own"
	"ferry/phys"
	"ferry/phys/phystest"
)

// Where a fuzzed state lies: root, session block, FLB page and two file blocks,
// of each the part that matters.
const (
	fuzzPages = 5
	fuzzPart  = 16 + 64*3 // three records of files or FLBs, two of sessions
)

// seeds are the beginnings of the pages of states that are sound.
func seeds(t testing.TB) (all [][]byte) {
	for _, f := range Formats() {
		for _, files := range [][]int{{}, {2}, {1, 2}, {0, 1}} {
			if !isChain(f) {
				continue
			}
			mem, d := machine(t)
			serializeAs(t, f, state(t, min(1, len(files)), files...), d)
			var data []byte
			for i := range fuzzPages {
				part, err := mem.View(base+phys.Addr(i)*phys.PageSize, fuzzPart)
				if err != nil {
					t.Fatal(err)
				}
				data = append(data, part...)
			}
			all = append(all, data)
		}
	}
	return append(all, realSeed(t))
}

// restoreBounded restores a state of a few blocks, which takes little of the heap,
// whatever they say: chunks of the lists of runs, the ledger's first lines, and what
// is found wrong.
func restoreBounded(t testing.TB, mem phys.Memory, d *draft) (st *State, err error) {
	t.Helper()
	phystest.Bounded(t, 64<<10, func() { st, err = restoreFrom(own.NewLedger(mem, d, nil), d, base, d.size) })
	return st, err
}

// readWriteRead restores the state in data, serializes it and restores it again.
// It returns the error of the first restoring alone.
func readWriteRead(t *testing.T, data []byte) error {
	mem := phystest.NewSparse(t, phys.Range{Start: base, End: base + 64*phys.PageSize})
	d := &draft{Pages: blocktest.New(mem, phys.Range{Start: base, End: base + 64*phys.PageSize}), root: base, size: 32}
	root := data
	for range fuzzPages {
		_, page, err := d.Alloc()
		if err != nil {
			t.Fatal(err)
		}
		n := min(fuzzPart, len(data))
		copy(page, data[:n])
		data = data[n:]
	}
	for _, f := range Formats() {
		if isChain(f) && bytes.HasPrefix(root, []byte(f.compatible)) {
			d.size = chainOf(f).size
		}
	}
	in, err := restoreBounded(t, mem, d)
	if err != nil {
		return err
	}
	want := modelOf(in)
	serializeAs(t, in.format, in, d)
	if diff := cmp.Diff(want, modelOf(restore(t, mem, d))); diff != "" {
		t.Fatalf("written again, it reads differently (-in +out):\n%s", diff)
	}
	return nil
}

func TestSeedsOfTheFuzzerAreAccepted(t *testing.T) {
	for i, data := range seeds(t) {
		if err := readWriteRead(t, data); err != nil {
			t.Errorf("seed %d: %v", i, err)
		}
	}
}

// trees are the beginnings of the pages of states that are sound, in formats whose
// root is a device tree: of the root and the FLB page, and of the arrays.
func trees(t testing.TB) (all [][]byte) {
	for _, f := range Formats() {
		for _, files := range [][]int{{}, {2}, {1, 2}, {0, 1}} {
			if isChain(f) {
				continue
			}
			mem, d := machine(t)
			flbs := min(1, len(files))
			if !f.HoldsFLBs() {
				flbs = 0
			}
			serializeAs(t, f, state(t, flbs, files...), d)
			in := restore(t, mem, d)
			data := binary.LittleEndian.AppendUint16(nil, uint16(d.size))
			data = append(data, make([]byte, treePart)...)
			at := [treeBlocks]phys.Addr{in.root, in.flbPage}
			for i := range in.arrays {
				at[2+i] = in.arrays.at(i).Addr
			}
			// Pointers are those of where the fuzzer puts the blocks.
			if _, err := f.form.(*tree).write(data[2:], f.compatible, in.Number, treeAt(2), treeAt(1)); err != nil {
				t.Fatal(err)
			}
			for i, a := range at[1:] {
				part := make([]byte, fuzzPart)
				if a != 0 {
					from, err := mem.View(a, fuzzPart)
					if err != nil {
						t.Fatal(err)
					}
					copy(part, from)
				}
				if i == 1 { // the sessions
					n := 3
					for s := range files {
						if files[s] > 0 {
							put(part, arrayHeader+s*sessionSize+sessionFiles, uint64(treeAt(n)))
							n++
						}
					}
				}
				data = append(data, part...)
			}
			all = append(all, data)
		}
	}
	return all
}

// Where a fuzzed tree lies: root, FLB page, session array, two file arrays, the
// last three of order 1. Of the root more counts.
const (
	treeBlocks = 5
	treePart   = 512
)

func treeAt(i int) phys.Addr { return base + phys.Addr(i)*2*phys.PageSize }

// readCrossRead restores the state of a tree in data, takes it to every format, and
// compares. It returns the error of the first restoring alone.
func readCrossRead(t *testing.T, data []byte) error {
	r := phys.Range{Start: base, End: base + 512*phys.PageSize}
	mem := phystest.NewSparse(t, r)
	d := &draft{Pages: blocktest.New(mem, r), root: base}
	if len(data) >= 2 {
		d.size = uint64(binary.LittleEndian.Uint16(data))
		data = data[2:]
	}
	for i := range treeBlocks {
		part, order := fuzzPart, phys.Order(0)
		if i == 0 {
			part = treePart
		}
		if i >= 2 {
			order = 1
		}
		a, page, err := d.AllocBlock(order)
		if err == nil && i < 2 {
			_, _, err = d.Alloc() // the next one lies two pages on
		}
		if err != nil || a != treeAt(i) {
			t.Fatal(a, err)
		}
		n := min(part, len(data))
		copy(page, data[:n])
		data = data[n:]
	}
	in, err := restoreBounded(t, mem, d)
	if err != nil {
		return err
	}
	want := modelOf(in)
	for _, f := range Formats() {
		st := restore(t, mem, d)
		if Fits(st, f, true) != nil {
			continue // a pattern for an FLB
		}
		serializeAs(t, f, st, d)
		out := restore(t, mem, d)
		if err := out.Diff(in, nil); err != nil {
			t.Fatalf("written in %v: %v", f, err)
		}
		if !f.HoldsFLBs() {
			in = out // they are left out
			want.FLBs = nil
		}
		if diff := cmp.Diff(want, modelOf(out)); diff != "" {
			t.Fatalf("written in %v, it reads differently (-in +out):\n%s", f, diff)
		}
	}
	return nil
}

func TestSeedsOfTheFuzzerOfTreesAreAccepted(t *testing.T) {
	for i, data := range trees(t) {
		if err := readCrossRead(t, data); err != nil {
			t.Errorf("seed %d: %v", i, err)
		}
	}
}

// FuzzRestoreTree lets the fuzzer write the beginnings of the root, the FLB page and
// the arrays of a state. What is accepted must read the same in every format.
func FuzzRestoreTree(f *testing.F) {
	for _, data := range trees(f) {
		f.Add(data)
	}
	f.Fuzz(func(t *testing.T, data []byte) { readCrossRead(t, data) })
}

// FuzzRestore lets the fuzzer write the beginnings of the pages of a state.
// What is accepted must read the same after it was serialized.
func FuzzRestore(f *testing.F) {
	for _, data := range seeds(f) {
		f.Add(data)
	}
	f.Fuzz(func(t *testing.T, data []byte) { readWriteRead(t, data) })
}

// realSeed returns the state of a real handover, cut to one file block for each
// session and moved to where the fuzzer looks.
func realSeed(t testing.TB) []byte {
	v := khotest.Linux734(t)
	_, st := open(t, v.Memory, v.Data)
	view := func(a phys.Addr) []byte {
		page, err := v.Memory.View(a, phys.PageSize)
		if err != nil {
			t.Fatal(err)
		}
		return bytes.Clone(page[:fuzzPart])
	}
	root := view(st.root)
	session, flb := view(phys.Addr(u64(root[16:]))), view(phys.Addr(u64(root[24:])))
	for i := range u64(flb[8:]) { // its files are fewer now
		put(flb, int(16+64*i+56), 4)
	}
	put(root, 16, uint64(base)+0x1000)
	put(root, 24, uint64(base)+0x2000)
	data := append(append(root, session...), flb...)
	for i := range 2 {
		rec := data[fuzzPart+16+80*i:]
		file := view(phys.Addr(u64(rec[64:])))
		put(file, 0, 0)
		put(file, 8, 2)
		clear(file[16+2*64:])
		put(rec, 64, uint64(base)+0x3000+uint64(i)<<12)
		put(rec, 72, 2)
		data = append(data, file...)
	}
	return data
}

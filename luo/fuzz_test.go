package luo

import (
	"bytes"
	"testing"

	"github.com/google/go-cmp/cmp"

	"ferry/blockset"
	"ferry/blockset/blocktest"
	"ferry/kho/khotest"
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
	for _, files := range [][]int{{}, {2}, {1, 2}, {0, 1}} {
		mem, d := machine(t)
		serialize(t, state(t, min(1, len(files)), files...), d)
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
	return append(all, realSeed(t))
}

// readWriteRead restores the state in data, serializes it and restores it again.
// It returns the error of the first restoring alone.
func readWriteRead(t *testing.T, data []byte) error {
	mem := phystest.NewSparse(t, phys.Range{Start: base, End: base + 64*phys.PageSize})
	d := &draft{Pages: blocktest.New(mem, phys.Range{Start: base, End: base + 64*phys.PageSize}), root: base, size: 32}
	for range fuzzPages {
		_, page, err := d.Alloc()
		if err != nil {
			t.Fatal(err)
		}
		n := min(fuzzPart, len(data))
		copy(page, data[:n])
		data = data[n:]
	}
	in, err := restoreFrom(blockset.NewChecker(mem, d, nil), d, base, 32)
	if err != nil {
		return err
	}
	want := modelOf(in)
	serialize(t, in, d)
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

// FuzzRestoreV5 lets the fuzzer write the beginnings of the pages of a state.
// What is accepted must read the same after it was serialized.
func FuzzRestoreV5(f *testing.F) {
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
		put(rec, 64, uint64(base)+0x3000+uint64(i)<<12)
		put(rec, 72, 2)
		data = append(data, file...)
	}
	return data
}

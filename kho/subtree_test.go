package kho_test

import (
	"errors"
	"fmt"
	"maps"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"ferry/fdt"
	"ferry/kho"
	"ferry/own"
	"ferry/phys"
)

func TestDraftCarriesUnknownSubtreesByteForByte(t *testing.T) {
	f := newFixture(t)
	root := f.root()
	w := fdt.NewWriter(f.edit(f.data.FDT, phys.PageSize))
	w.Begin("")
	w.Property("odd", []byte{1, 2, 3, 4, 5})
	w.Address("preserved-memory-map", root)
	w.Property("compatible", []byte("kho-v9\x00kho-v4\x00"))
	w.Begin("future,2")
	w.String("flavour", "new")
	w.Uint64("blob-size", 17)
	w.Address("preserved-data", f.blob+3)
	w.Property("empty", nil)
	w.End()
	w.End()
	_, err := w.Finish()
	f.check(err)
	before := describe(t, f)
	_, d := f.draft()
	f.data, err = d.Commit()
	f.check(err)
	after := describe(t, f)
	for i := range before {
		if before[i] == fmt.Sprintf("/: preserved-memory-map = %q", le(uint64(root))) {
			before[i] = fmt.Sprintf("/: preserved-memory-map = %q", le(uint64(f.root())))
		}
	}
	if diff := cmp.Diff(before, after); diff != "" {
		t.Errorf("the tree (-incoming +outgoing):\n%s", diff)
	}
}

func le(v uint64) string {
	var b [8]byte
	for i := range b {
		b[i] = byte(v >> (8 * i))
	}
	return string(b[:])
}

// describe lists the properties of the root device tree.
func describe(tb testing.TB, f *fixture) (lines []string) {
	tb.Helper()
	tree, err := fdt.Parse(f.data.FDT, f.edit(f.data.FDT, phys.PageSize))
	f.check(err)
	list := func(n fdt.Node) {
		for p := range n.Properties() {
			lines = append(lines, fmt.Sprintf("/%s: %s = %q", n.Name(), p.Name, p.Value))
		}
	}
	list(tree.Root())
	for n := range tree.Root().Children() {
		list(n)
	}
	return lines
}

func TestDraftSetsAndDropsSubtrees(t *testing.T) {
	f := newFixture(t)
	_, d := f.draft()
	a, _, err := d.Alloc()
	f.check(err)
	f.check(d.SetSubtree("LUO", a, 32))
	f.check(d.SetSubtree("thing", a, 64))
	if !d.DropSubtree(kho.MetadataName) || d.DropSubtree(kho.MetadataName) || d.DropSubtree("nothing") {
		t.Error("DropSubtree does not report whether there was one")
	}
	f.data, err = d.Commit()
	f.check(err)
	got := make(map[string]kho.Subtree)
	for _, s := range f.open().Subtrees() {
		got[s.Name] = kho.Subtree{Data: s.Data, Size: s.Size}
	}
	want := map[string]kho.Subtree{"LUO": {Data: a, Size: 32}, "thing": {Data: a, Size: 64}}
	if !maps.EqualFunc(got, want, func(a, b kho.Subtree) bool { return a.Data == b.Data && a.Size == b.Size }) {
		t.Errorf("sub-trees %v, want %v", got, want)
	}
}

func TestDraftRefusesSubtrees(t *testing.T) {
	for _, name := range []string{"", "a/b", "LUO@1", "a\x00b"} {
		f := newFixture(t)
		_, d := f.draft()
		refusedAs(t, d.SetSubtree(name, f.blob, 8), kho.ErrTree, f.blob, "sub-tree")
	}
	f := newFixture(t)
	_, d := f.draft()
	f.check(d.SetSubtree("LUO", loneBlock+4096, 32))
	_, err := d.Commit()
	refusedAs(t, err, own.ErrPreserved, loneBlock+4096, `"LUO"`)

	f = newFixture(t)
	_, d = f.draft()
	f.check(d.Retire(phys.Block{Addr: f.blob})) // and leave the sub-tree behind
	_, err = d.Commit()
	refusedAs(t, err, own.ErrPreserved, f.blob, `"thing"`)

	f = fixtureAs(t, kho.V1Small) // whose kernels have no live update
	thing, _ := f.open().Subtree("thing")
	_, d = f.draft()
	f.check(d.SetSubtree("LUO", thing.Data, thing.Size))
	_, err = d.Commit()
	refusedAs(t, err, kho.ErrTree, thing.Data, `"LUO"`)
}

// TestSubtreesEndInsideTheAddressSpace: what would go on at address 0 is not
// preserved because its beginning is.
func TestSubtreesEndInsideTheAddressSpace(t *testing.T) {
	top := phys.Range{Start: 1<<64 - 2<<20, End: 1<<64 - phys.PageSize}
	mem, d := sparse(t, phys.Range{Start: 0x1000_0000, End: 0x1080_0000}, top)
	f := &fixture{TB: t, mem: mem, hint: kho.V4}
	last := phys.Block{Addr: top.End - phys.PageSize}
	f.check(d.Preserve(last))
	f.check(d.SetSubtree("thing", last.Addr, phys.PageSize))
	var err error
	f.data, err = d.Commit()
	f.check(err)
	_, d = f.draft()
	f.check(d.SetSubtree("thing", last.Addr, 2*phys.PageSize))
	_, err = d.Commit()
	refusedAs(t, err, own.ErrPreserved, last.Addr, `"thing"`)
	f.setWord(f.value("blob-size"), 2*phys.PageSize)
	f.refused(own.ErrPreserved, f.value("preserved-data"), `"thing"`)
}

func TestCommitRefusesMoreSubtreesThanOnePageHolds(t *testing.T) {
	f := newFixture(t)
	_, d := f.draft()
	for i := range 50 {
		f.check(d.SetSubtree(fmt.Sprintf("node%03d", i), f.blob, 8))
	}
	data, err := d.Commit()
	f.check(err)
	if h, err := kho.Open(f.mem, data, nil); err != nil || len(h.Subtrees()) != 52 {
		t.Fatalf("%d sub-trees, %v, want 52", len(h.Subtrees()), err)
	}
	_, d = f.draft()
	for i := range 100 {
		f.check(d.SetSubtree(fmt.Sprintf("node%03d", i), f.blob, 8))
	}
	if _, err = d.Commit(); !errors.Is(err, fdt.ErrFull) {
		t.Errorf("got %v, want %v", err, fdt.ErrFull)
	}
	f.open() // the old handover still stands
}

func TestSubtreesAreNoLargerThanTheirKind(t *testing.T) {
	for name, limit := range map[string]uint64{"LUO": 4096, kho.ReservedName: 4096, kho.MetadataName: 4096, "other": 4 << 20} {
		f := newFixture(t)
		_, d := f.draft()
		a, _, err := d.AllocBlock(10)
		f.check(err)
		for _, size := range []uint64{0, limit + 1, ^uint64(0)} {
			err := d.SetSubtree(name, a, size)
			refusedAs(t, err, kho.ErrTree, a, name)
			if want := fmt.Sprintf("%d bytes, want 1 to %d", size, limit); err != nil && !strings.Contains(err.Error(), want) {
				t.Errorf("got %v, want %s", err, want)
			}
		}
		f.check(d.SetSubtree(name, a, limit))
		f.data, err = d.Commit()
		f.check(err)
		if s, ok := f.open().Subtree(name); !ok || s.Size != limit {
			t.Errorf("%s of %d bytes: read as %+v", name, limit, s)
		}
	}
}

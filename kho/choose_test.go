package kho_test

import (
	"encoding/binary"
	"strings"
	"testing"

	"ferry/kho"
	"ferry/own"
	"ferry/phys"
)

// TestAMapOfNothingMakesAnEmptyHandover: kernels before 6.19 hand over address 0
// where nothing is preserved, and none later takes that.
func TestAMapOfNothingMakesAnEmptyHandover(t *testing.T) {
	for _, hint := range append([]*kho.Format{nil}, lists...) {
		for _, to := range kho.Formats() {
			f := fixtureAs(t, kho.V1)
			_, d := f.draft()
			d.DropSubtree("thing")
			var err error
			f.data, err = d.Commit()
			f.check(err)
			f.setWord(f.value("preserved-memory-map"), 0)
			h, err := kho.Open(f.mem, f.data, hint)
			f.check(err)
			want := hint
			if hint == nil {
				want = kho.V1
			}
			if h.Format() != want || h.Map().Count() != 0 || len(h.Map().Nodes()) != 0 {
				t.Errorf("hint %v: %v with %d blocks, %d nodes", hint, h.Format(), h.Map().Count(), len(h.Map().Nodes()))
			}
			d, err = h.Draft(to, nil)
			f.check(err)
			f.data, err = d.Commit()
			f.check(err)
			if f.root() == 0 {
				t.Errorf("%v: a map at address 0", to)
			}
			next, err := kho.Open(f.mem, f.data, to)
			f.check(err)
			if next.Map().Count() != 1 || !next.Map().Preserved(phys.Block{Addr: f.data.FDT}) {
				t.Errorf("%v: %d blocks, want the device tree alone", to, next.Map().Count())
			}
		}
	}
}

func TestAMapOfNothingNamesNothing(t *testing.T) {
	f := fixtureAs(t, kho.V1)
	f.setWord(f.value("preserved-memory-map"), 0)
	_, err := kho.Open(f.mem, f.data, nil)
	if err == nil || !strings.Contains(err.Error(), "finalize") {
		t.Errorf("%v does not say what to do", err)
	}
	page := f.edit(f.data.FDT, phys.PageSize)
	f.refused(own.ErrPreserved, f.data.FDT+phys.Addr(lastIndex(page, "thing")), `"thing"`)
	f = newFixture(t) // a tree has a root, always
	f.setWord(f.value("preserved-memory-map"), 0)
	f.refused(own.ErrPlace, 0, "preserved-memory map")
}

// TestSubtreesOfListsAreDeviceTrees: nothing else says how large they are.
func TestSubtreesOfListsAreDeviceTrees(t *testing.T) {
	f := fixtureAs(t, kho.V1)
	thing := func() kho.Subtree {
		s, ok := f.open().Subtree("thing")
		if !ok {
			t.Fatal("no thing")
		}
		return s
	}
	page := f.edit(f.blob, phys.PageSize)
	size := uint64(binary.BigEndian.Uint32(page[4:]))
	if s := thing(); s.Data != f.blob || s.Size != size || !s.FDT {
		t.Errorf("%+v, want a device tree of %d bytes", s, size)
	}
	for name, damage := range map[string]func(){
		"another magic": func() { page[0]++ },
		"no nodes":      func() { clear(page[56:]) },
	} {
		old := string(page)
		damage()
		if s := thing(); s.Data != f.blob || s.Size != 0 || s.FDT {
			t.Errorf("%s: %+v, want something of unknown size", name, s)
		}
		// It can be handed on as it is, but not to those who want its size.
		for _, to := range kho.Formats() {
			d, err := f.open().Draft(to, nil)
			f.check(err)
			data, err := d.Commit()
			if to.MaxRestore() > 10 {
				refusedAs(t, err, kho.ErrTree, f.blob, `"thing"`)
				continue
			}
			f.check(err)
			if h, err := kho.Open(f.mem, data, to); err != nil || h.Subtrees()[0].Data != f.blob || h.Subtrees()[0].Size != 0 {
				t.Errorf("%s to %v: %v", name, to, err)
			}
		}
		copy(page, old)
	}
}

func TestListsTakeNoSubtreeThatIsNoDeviceTree(t *testing.T) {
	for _, to := range lists {
		f := newFixture(t)
		_, d := f.draft()
		if !d.DropSubtree(kho.MetadataName) {
			t.Fatal("no metadata")
		}
		d, err := f.open().Draft(to, nil)
		f.check(err)
		_, err = d.Commit()
		refusedAs(t, err, kho.ErrTree, f.blob, `"thing"`)

		d, err = f.open().Draft(to, nil)
		f.check(err)
		d.DropSubtree("thing")
		_, err = d.Commit()
		s, _ := f.open().Subtree(kho.MetadataName)
		refusedAs(t, err, kho.ErrTree, s.Data, kho.MetadataName)
	}
	f := fixtureAs(t, kho.V1)
	d, err := f.open().Draft(kho.V1, nil)
	f.check(err)
	f.check(d.SetSubtree("LUO", f.blob, 50))
	_, err = d.Commit()
	refusedAs(t, err, kho.ErrTree, f.blob, `"LUO"`)
}

// TestTreesOfSubtreesAreNoLargerThanThose: readers take as many bytes as a tree says
// that it has, in every format.
func TestTreesOfSubtreesAreNoLargerThanThose(t *testing.T) {
	for _, format := range kho.Formats() {
		f := fixtureAs(t, format)
		page := f.edit(f.blob, phys.PageSize)
		s, _ := f.open().Subtree("thing")
		if !s.FDT { // of a format that names a size
			copy(page, "\xd0\x0d\xfe\xed")
		}
		for size, rule := range map[uint32]error{1 << 31: kho.ErrTree, ^uint32(0): kho.ErrTree, 64 * phys.PageSize: own.ErrPreserved} {
			if format.MaxRestore() > 10 {
				rule = kho.ErrTree // more than the node says
			}
			binary.BigEndian.PutUint32(page[4:], size)
			f.refused(rule, f.blob+4, `kho: root device tree: sub-tree "thing"`)
		}
		binary.BigEndian.PutUint32(page[4:], uint32(s.Size)) // rubbish, but no more than there is
		f.open()
	}
}

// TestMetadataOfAListIsOfItsKnownSize: no release wrote one, but its size is no
// secret.
func TestMetadataOfAListIsOfItsKnownSize(t *testing.T) {
	f := fixtureAs(t, kho.V1)
	_, d := f.draft()
	a, page, err := d.Alloc()
	f.check(err)
	copy(page, f.edit(f.blob, 4096)) // for the commit
	f.check(d.SetSubtree(kho.MetadataName, a, 56))
	f.check(d.SetSubtree(kho.MetadataName, a, uint64(binary.BigEndian.Uint32(page[4:]))))
	f.data, err = d.Commit()
	f.check(err)
	want := kho.Metadata{Release: "7.0.99-odd", Count: 2}
	want.Put(page)
	if m, ok, err := f.open().Metadata(); m != want || !ok || err != nil {
		t.Errorf("%+v %v %v", m, ok, err)
	}
	next, _ := cross(t, f.open(), kho.V3)
	if s, _ := next.Subtree(kho.MetadataName); s.Size != kho.MetadataSize || s.Data != a {
		t.Errorf("%+v", s)
	}
}

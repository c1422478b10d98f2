package kho_test

import (
	"bytes"
	"encoding/binary"
	"strings"
	"testing"

	"ferry/kho"
	"ferry/kho/khotest"
	"ferry/phys"
)

// TestWhatTellsListsApart follows what is known of the two formats of one
// version string. Memory decides where it can.
func TestWhatTellsListsApart(t *testing.T) {
	for _, c := range []struct {
		name   string
		letter string
		change func(f *fixture)
		hint   *kho.Format
		want   *kho.Format // nil: ambiguous
	}{
		{"live update", "C", nil, nil, kho.V1},
		{"bitmaps that share pages", "A", nil, nil, kho.V1Small},
		{"bitmaps that share pages, a hint", "A", nil, kho.V1Small, kho.V1Small},
		{"nothing", "B", nil, nil, nil},
		{"nothing, a hint", "B", nil, kho.V1, kho.V1},
		{"nothing, a hint that cannot be", "B", nil, kho.V4, nil},
		{"one bitmap in a page that it shares", "B", func(f *fixture) {
			e := f.element(phys.Block{Addr: f.data.FDT}, 4096)
			f.setWord(e.at+8, uint64(e.bitmap)+512)
			copy(f.edit(e.bitmap+512, 512), f.edit(e.bitmap, 512))
		}, nil, kho.V1Small},
		{"one bitmap of memory that the larger ones do not start at", "B", func(f *fixture) {
			e := f.element(phys.Block{Addr: f.data.FDT}, 4096)
			clear(f.edit(e.bitmap, 4096))
			n := (f.data.FDT % (16 << 20)) >> 12
			f.edit(e.bitmap+n/8, 1)[0] |= 1 << (n % 8)
			f.setWord(e.at, uint64(f.data.FDT)&^(16<<20-1)|16<<20)
		}, nil, kho.V1Small},
	} {
		t.Run(c.name, func(t *testing.T) {
			v := khotest.Generation(t, c.letter)
			f := &fixture{TB: t, mem: v.Memory, data: v.Data, hint: c.hint}
			if c.change != nil {
				c.change(f)
			}
			h, err := kho.Open(f.mem, f.data, c.hint)
			if c.want == nil {
				refusedAs(t, err, kho.ErrAmbiguous, f.data.FDT+60, "root node")
				if err == nil || !strings.Contains(err.Error(), "say which release") {
					t.Errorf("%v does not say what to do", err)
				}
				return
			}
			if err == nil && h.Format() != c.want {
				t.Errorf("read as %v, want %v", h.Format(), c.want)
			}
			if err != nil && (c.change == nil || strings.Contains(err.Error(), "4096")) {
				t.Error(err)
			}
		})
	}
}

// TestMemoryAndHintThatContradictEachOtherAreRefused: one flipped bit must not make
// another format of a list, nor may a wrong hint.
func TestMemoryAndHintThatContradictEachOtherAreRefused(t *testing.T) {
	for _, c := range []struct {
		name   string
		letter string
		hint   *kho.Format
		damage func(f *fixture) phys.Addr // of what contradicts the hint
		object string
	}{
		{"a bitmap that is not a page", "B", kho.V1, func(f *fixture) phys.Addr {
			e := f.element(phys.Block{Addr: f.data.FDT}, 4096)
			f.setWord(e.at+8, uint64(e.bitmap)^512)
			return e.at
		}, "element"},
		{"memory that no page of bits starts at", "B", kho.V1, func(f *fixture) phys.Addr {
			e := f.element(phys.Block{Addr: f.data.FDT}, 4096)
			f.setWord(e.at, f.word(e.at)^16<<20)
			return e.at
		}, "element"},
		{"live update before there was any", "D", kho.V1Small, func(f *fixture) phys.Addr {
			page := f.edit(f.data.FDT, phys.PageSize)
			return f.data.FDT + phys.Addr(bytes.Index(page, []byte("LUO\x00")))
		}, `node "LUO"`},
	} {
		t.Run(c.name, func(t *testing.T) {
			v := khotest.Generation(t, c.letter)
			f := &fixture{TB: t, mem: v.Memory, data: v.Data, hint: c.hint}
			at := c.damage(f)
			f.refused(kho.ErrAmbiguous, at, c.object)
			_, err := kho.Open(f.mem, f.data, c.hint)
			for _, name := range []string{kho.V1.String() + ",", kho.V1Small.String(), "ferry pack --from"} {
				if err == nil || !strings.Contains(err.Error(), name) {
					t.Errorf("%v does not name %s", err, name)
				}
			}
		})
	}
}

// TestTheWrongOneOfTwoListsIsFound: what the reader of one format makes of the
// other is no sound handover.
func TestTheWrongOneOfTwoListsIsFound(t *testing.T) {
	f := fixtureAs(t, kho.V1)
	e := f.element(phys.Block{Addr: f.data.FDT}, 4096)
	if e.bit < 4096 {
		t.Fatalf("the device tree has bit %d, which both formats have", e.bit)
	}
	f.hint = kho.V1Small
	f.refused(kho.ErrPreserved, f.data.FDT, "root device tree")
}

// TestAMapOfNothingMakesAnEmptyHandover: kernels before 6.19 hand over address 0
// where nothing is preserved, and none later takes that.
func TestAMapOfNothingMakesAnEmptyHandover(t *testing.T) {
	for _, hint := range []*kho.Format{nil, kho.V1, kho.V1Small} {
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
			if h.Format() != want || h.Map.Count() != 0 || len(h.Map.Nodes()) != 0 {
				t.Errorf("hint %v: %v with %d blocks, %d nodes", hint, h.Format(), h.Map.Count(), len(h.Map.Nodes()))
			}
			d, err = h.Draft(to, nil)
			f.check(err)
			// Even the device tree is not preserved, and must be kept all the same.
			if hint == nil && exhaust(t, d)[f.data.FDT] {
				t.Errorf("the page of the old device tree, %v, was allocated", f.data.FDT)
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
			if next.Map.Count() != 1 || !next.Map.Preserved(phys.Block{Addr: f.data.FDT}) {
				t.Errorf("%v: %d blocks, want the device tree alone", to, next.Map.Count())
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
	f.refused(kho.ErrPreserved, f.data.FDT+phys.Addr(lastIndex(page, "thing")), `"thing"`)
	f = newFixture(t) // a tree has a root, always
	f.setWord(f.value("preserved-memory-map"), 0)
	f.refused(kho.ErrPlace, 0, "preserved-memory map")
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
		"another magic":          func() { page[0]++ },
		"a size past its page":   func() { binary.BigEndian.PutUint32(page[4:], 4097) },
		"a size past all memory": func() { binary.BigEndian.PutUint32(page[4:], 1<<31) },
		"no nodes":               func() { clear(page[56:]) },
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
			if h, err := kho.Open(f.mem, data, to); err != nil || h.Subtrees[0].Data != f.blob || h.Subtrees[0].Size != 0 {
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
	d, err := f.open().Draft(kho.V1Small, nil)
	f.check(err)
	f.check(d.SetSubtree("LUO", f.blob, 50))
	_, err = d.Commit()
	refusedAs(t, err, kho.ErrTree, f.blob, `"LUO"`)
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

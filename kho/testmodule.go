package kho

import (
	"encoding/binary"
	"fmt"

	"ferry/fdt"
	"ferry/phys"
)

// The sub-tree of the kernel's own test of handovers (lib/test_kho.c of Linux
// 6.17 to 7.3): a device tree that counts folios and says where a list of them
// is, each address with the order in its low 12 bits. Up to 6.17 the list is the
// property itself, from 6.18 on the property describes a vmalloc area. All of its
// numbers are little endian.
const (
	TestName = "kho_test"

	testCompatible     = "kho-test-v1"
	testMagic          = 0x4b484f21
	testMagicProperty  = "magic"
	testData           = "data"
	testCountProperty  = "nr_folios"
	testFoliosProperty = "folios_info"
	testFolio          = 8 // bytes of an entry
)

// TestObjects calls visit for every block that belongs to the kernel's test
// module but those of its device tree - chunks and pages of the list, then
// folios - until visit returns an error, which it returns. Each is preserved with
// its order; none is visited if there is no such sub-tree, or one of a version
// that is not known, which is carried as it is. Object says what the block is.
func (h *Handover) TestObjects(visit func(object string, b phys.Block) error) error {
	s, ok := h.Subtree(TestName)
	if !ok {
		return nil
	}
	err := h.testObjects(s, visit)
	return phys.In("kho: "+s.String(), s.Data, err)
}

func (h *Handover) testObjects(s Subtree, visit func(object string, b phys.Block) error) error {
	bad := func(a phys.Addr, found, want string) error {
		return &phys.Error{Object: "test of handovers", Addr: a, Found: found, Want: want, Err: ErrTree}
	}
	t, err := s.tree(h.mem)
	if err != nil {
		return err
	}
	root := t.Root()
	if ok, err := root.HasString(compatibleProperty, testCompatible); !ok || err != nil {
		return err
	}
	if magic, at := number32(root, testMagicProperty); magic != testMagic {
		return bad(at, fmt.Sprintf("magic %#x", magic), fmt.Sprintf("%#x", testMagic))
	}
	data, ok := root.Child(testData)
	if !ok {
		return bad(root.Addr(), "no node "+testData, "one")
	}
	n, at := number32(data, testCountProperty)
	list, ok := data.Property(testFoliosProperty)
	switch {
	case n == 0:
		return bad(at, "no number of folios", "property "+testCountProperty)
	case !ok:
		return bad(data.Addr(), "no property "+testFoliosProperty, "one")
	case uint64(len(list.Value)) == uint64(n)*testFolio && n != VmallocSize/testFolio:
		return h.testFolios(list.Addr, list.Value, visit)
	case len(list.Value) != VmallocSize:
		return bad(at, fmt.Sprintf("%d folios in %d bytes", n, len(list.Value)), "8 bytes each, or the 16 of a vmalloc area")
	}
	area, err := readVmalloc(h.space(), list.Addr, ParseVmalloc(list.Value), func(phys.Block) error { return nil })
	if err != nil && n == VmallocSize/testFolio {
		// Sixteen bytes are two folios as well, if they are no area.
		return h.testFolios(list.Addr, list.Value, visit)
	}
	if err != nil {
		return err
	}
	if uint64(n)*testFolio > uint64(area.Pages)*phys.PageSize {
		return bad(at, fmt.Sprintf("%d folios in a list of %d pages", n, area.Pages), "as many as it has room for")
	}
	for _, a := range area.Chunks() {
		if err := visit("chunk of the list", phys.Block{Addr: a}); err != nil {
			return err
		}
	}
	for i, left := 0, uint64(n)*testFolio; i < area.Len(); i++ {
		b := area.Block(i)
		if err := visit("list of folios", b); err != nil {
			return err
		}
		part, err := area.View(i)
		if err != nil {
			return err
		}
		part = part[:min(left, uint64(len(part)))]
		if err := h.testFolios(b.Addr, part, visit); err != nil {
			return err
		}
		left -= uint64(len(part))
	}
	return nil
}

// testFolios visits the folios of a part of the list, which lies at a.
func (h *Handover) testFolios(a phys.Addr, list []byte, visit func(object string, b phys.Block) error) error {
	for i := 0; i+testFolio <= len(list); i += testFolio {
		v := phys.Addr(binary.LittleEndian.Uint64(list[i:]))
		b := phys.Block{Addr: v.Page(), Order: phys.Order(min(v-v.Page(), 255))}
		if !h.preserved.Preserved(b) {
			return notPreservedAt("list of folios", a+phys.Addr(i), "folio", b)
		}
		if err := visit("folio", b); err != nil {
			return err
		}
	}
	return nil
}

// number32 returns a property of 32 bits and where it is; without one it is 0
// and at the node.
func number32(n fdt.Node, name string) (uint32, phys.Addr) {
	p, ok := n.Property(name)
	if !ok || len(p.Value) != 4 {
		return 0, n.Addr()
	}
	return binary.LittleEndian.Uint32(p.Value), p.Addr
}

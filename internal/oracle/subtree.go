package oracle

import (
	"bytes"
	"cmp"
	"slices"

	"ferry/phys"
)

// AnySize is the size of an unknown sub-tree where the format does not say it.
const AnySize = 0

// subtree reads a sub-tree that is not live update's: its name, where it is, and
// what it says.
func (m *Model) subtree(name string, at phys.Addr, size uint64) {
	field := make([]byte, 32)
	copy(field, name)
	m.text(TreeName, 0, 0, field)
	m.add(TreePlace, 0, 0, uint64(at))
	known := name == "memblock" || name == "kexec-metadata" || name == "kho_test"
	switch {
	case m.form.Bitmap == 0:
	case known:
		size = uint64(be.Uint32(m.view(at, 8)[4:])) // of a device tree: all that there can be
	default:
		size = AnySize // it does not say
	}
	if m.to.Bitmap == 0 {
		m.add(TreeSize, 0, 0, size)
	}
	switch name {
	case "memblock":
		m.regions(at, m.tree(m.view(at, size)))
	case "kexec-metadata":
		m.metadata(m.view(at, max(size, 73)))
	case "kho_test":
		if t := m.tree(m.view(at, size)); t.compatible("kho-test-v1") {
			m.test(at, t)
			return
		}
		fallthrough
	default: // carried in its place: the first page shows that it is the same
		m.text(TreeData, 0, 0, pad(m.view(at, uint64(at.Page()+phys.PageSize-at))))
	}
}

// pad returns b with zeros up to a multiple of 8 bytes.
func pad(b []byte) []byte { return append(slices.Clone(b), make([]byte, -len(b)&7)...) }

// regions reads the memory that is reserved by name.
func (m *Model) regions(at phys.Addr, t *dtNode) {
	if !t.compatible("memblock-v1") {
		m.fail("reserved memory of no known version")
	}
	slices.SortFunc(t.kids, func(a, b *dtNode) int { return cmp.Compare(a.name, b.name) })
	for i, n := range t.kids {
		if !n.compatible("reserve-mem-v1") {
			m.fail("region %q of no known version", n.name)
		}
		m.text(RegionName, i, 0, pad([]byte(n.name)))
		start, size := n.u64("start"), n.u64("size")
		m.add(RegionStart, i, 0, start)
		m.add(RegionSize, i, 0, size)
		pages := uint64(0)
		first, _ := m.Index(phys.Addr(start))
		for j := first; j < len(m.Blocks) && uint64(m.Blocks[j].Addr)-start < size; j++ {
			m.by[j] = at
			pages += m.Blocks[j].Order.Bytes() / phys.PageSize
		}
		m.add(RegionPages, i, 0, pages)
	}
}

// metadata reads what a kernel says of itself.
func (m *Model) metadata(b []byte) {
	release, _, ok := bytes.Cut(b[4:69], []byte{0})
	if !ok {
		m.fail("metadata: a release without end")
	}
	m.add(MetaVersion, 0, 0, uint64(le.Uint32(b)))
	m.text(MetaRelease, 0, 0, pad(release))
	m.add(MetaCount, 0, 0, uint64(le.Uint32(b[69:])))
}

// test reads the folios of the kernel's own test.
func (m *Model) test(at phys.Addr, t *dtNode) {
	data := t.kid("data")
	n, sum, list := data.u32("nr_folios"), data.at["csum"], data.at["folios_info"]
	m.add(TestMagic, 0, 0, uint64(t.u32("magic")))
	m.text(TestSum, 0, 0, pad(sum))
	left := 8 * uint64(n)
	folios := func(part phys.Addr, b []byte) {
		for ; len(b) >= 8; b = b[8:] {
			v := phys.Addr(le.Uint64(b))
			m.add(TestFolio, 0, 0, uint64(v))
			m.add(TestFolio, 0, 0, m.own(v.Page(), part))
		}
	}
	switch {
	case uint64(len(list)) == left && n != 2:
		folios(at, list)
		return
	case len(list) != 16:
		m.fail("a test of %d folios in %d bytes", n, len(list))
		return
	}
	if first := phys.Addr(le.Uint64(list)); n == 2 && first != first.Page() {
		folios(at, list)
		return
	}
	m.area(list, at, func(part phys.Addr, size uint64) bool {
		k := min(left, size)
		folios(part, m.view(part, k))
		left -= k
		return left > 0
	})
	if left > 0 {
		m.fail("%d bytes of a test's folios are missing", left)
	}
}

package kho_test

import (
	"encoding/binary"
	"errors"
	"strings"
	"testing"

	"ferry/fdt"
	"ferry/kho"
	"ferry/phys"
	"ferry/phys/phystest"
)

// The fixture: a machine of 64 MiB with a handover that holds every kind of
// object, built by the package itself and checked against real ones elsewhere.
const (
	ramStart = phys.Addr(0x1020_0000) // leaves of the map begin before it
	ramEnd   = phys.Addr(0x1420_0000)
	scratch0 = ramStart               // 4 MiB, the table at its start
	scratch1 = phys.Addr(0x2000_0000) // 64 MiB, where drafts have their pages from
	scratch2 = ramStart + 0x0080_0000 // 2 MiB

	// Blocks that nothing names, far from where pages are allocated.
	loneBlock = ramStart + 0x0050_0000 // order 0
	pairBlock = ramStart + 0x0050_2000 // order 1
	hugeBlock = ramStart + 0x00c0_0000 // order 9
)

type fixture struct {
	testing.TB
	mem  phys.Memory
	hint *kho.Format
	data kho.Data
	blob phys.Addr // sub-tree "thing", 100 bytes
}

var (
	poolArea     = phys.Range{Start: scratch1, End: scratch1 + 64<<20}
	scratchTable = []kho.ScratchArea{{Addr: scratch0, Size: 4 << 20}, {Addr: poolArea.Start, Size: poolArea.Size()}, {Addr: scratch2, Size: 2 << 20}}
)

// firstDraft begins a handover in fresh memory.
func firstDraft(tb testing.TB) (phys.Memory, *kho.Draft) { return firstDraftAs(tb, kho.V4) }

func firstDraftAs(tb testing.TB, format *kho.Format) (phys.Memory, *kho.Draft) {
	tb.Helper()
	mem := phystest.New(tb, phys.Range{Start: ramStart, End: ramEnd}, poolArea)
	d, err := kho.New(mem, format, mem.RAM(), scratch0, scratchTable, nil)
	if err != nil {
		tb.Fatal(err)
	}
	return mem, d
}

func newFixture(tb testing.TB) *fixture { return fixtureAs(tb, kho.V4) }

// fixtureAs is the fixture in another format. Where sub-trees are device trees
// alone, the thing is one and there is no metadata.
func fixtureAs(tb testing.TB, format *kho.Format) *fixture {
	tb.Helper()
	f := &fixture{TB: tb, hint: format}
	var d *kho.Draft
	f.mem, d = firstDraftAs(tb, format)
	for _, b := range []phys.Block{{Addr: loneBlock}, {Addr: pairBlock, Order: 1}, {Addr: hugeBlock, Order: 9}} {
		f.check(d.Preserve(b))
	}
	a, page, err := d.Alloc()
	f.check(err)
	f.blob = a
	if format.MaxRestore() == 10 {
		w := fdt.NewWriter(page)
		w.Begin("")
		w.String("compatible", "thing-v1")
		w.End()
		n, err := w.Finish()
		f.check(err)
		f.check(d.SetSubtree("thing", a, uint64(n)))
	} else {
		copy(page, "the thing's own data")
		f.check(d.SetSubtree("thing", a, 100))
		a, page, err = d.Alloc()
		f.check(err)
		kho.Metadata{Release: "7.3.4-test", Count: 3}.Put(page)
		f.check(d.SetSubtree(kho.MetadataName, a, kho.MetadataSize))
	}
	f.data, err = d.Commit()
	f.check(err)
	return f
}

func (f *fixture) check(err error) {
	f.Helper()
	if err != nil {
		f.Fatal(err)
	}
}

func (f *fixture) open() *kho.Handover {
	f.Helper()
	h, err := kho.Open(f.mem, f.data, f.hint)
	f.check(err)
	return h
}

func (f *fixture) draft() (*kho.Handover, *kho.Draft) {
	f.Helper()
	h := f.open()
	d, err := h.Draft(nil, nil)
	f.check(err)
	return h, d
}

// edit returns n bytes at a for breaking.
func (f *fixture) edit(a phys.Addr, n uint64) []byte {
	f.Helper()
	b, err := f.mem.Edit(a, n)
	f.check(err)
	return b
}

func (f *fixture) word(a phys.Addr) uint64 { return binary.LittleEndian.Uint64(f.edit(a, 8)) }

func (f *fixture) setWord(a phys.Addr, v uint64) { binary.LittleEndian.PutUint64(f.edit(a, 8), v) }

// path returns the addresses of the words that lead to the bit of b: a slot in
// each node of levels 5 to 1, then the leaf. It is the arithmetic of the format
// in its own words, not the package's.
func (f *fixture) path(b phys.Block) (slots [6]phys.Addr, leaf phys.Addr, bit uint64) {
	key := uint64(1)<<(52-b.Order) + uint64(b.Addr)>>(12+b.Order)
	at := f.root()
	for level := 5; level >= 1; level-- {
		slots[level] = at + phys.Addr(8*(key>>(15+9*(level-1))%512))
		at = phys.Addr(f.word(slots[level]))
	}
	return slots, at, key % 32768
}

// setBit sets the bit of b, whose leaf must exist.
func (f *fixture) setBit(b phys.Block) {
	_, leaf, bit := f.path(b)
	f.edit(leaf+phys.Addr(bit/8), 1)[0] |= 1 << (bit % 8)
}

// root returns the root node's address, from the device tree.
func (f *fixture) root() phys.Addr { return phys.Addr(f.word(f.value("preserved-memory-map"))) }

// value returns the address of the 8-byte value of the first property of this
// name, found by its text alone.
func (f *fixture) value(name string) phys.Addr {
	page := f.edit(f.data.FDT, phys.PageSize)
	strs := page[binary.BigEndian.Uint32(page[12:]):]
	off := strings.Index(string(strs), name+"\x00")
	want := binary.BigEndian.AppendUint32([]byte{0, 0, 0, 3, 0, 0, 0, 8}, uint32(off))
	i := strings.Index(string(page), string(want))
	if off < 0 || i < 0 {
		f.Fatalf("no property %q in the fixture", name)
	}
	return f.data.FDT + phys.Addr(i+len(want))
}

// refused proves that the handover is refused for the right reason, naming the
// right object and address.
func (f *fixture) refused(rule error, at phys.Addr, object string) {
	f.Helper()
	_, err := kho.Open(f.mem, f.data, f.hint)
	refusedAs(f, err, rule, at, object)
}

func refusedAs(tb testing.TB, err, rule error, at phys.Addr, object string) {
	tb.Helper()
	var e *phys.Error
	if !errors.As(err, &e) {
		tb.Fatalf("got %v, want an error naming an address", err)
	}
	if !errors.Is(err, rule) || e.Addr != at || !strings.Contains(e.Object, object) {
		tb.Errorf("got:  %v\nwant: rule %q, object %q, address %s", err, rule, object, at)
	}
}

// sparse returns RAM of a fake machine and an empty draft in it, whose new pages
// come from the first range; the machine has a scratch area besides.
func sparse(tb testing.TB, ram ...phys.Range) (phys.Memory, *kho.Draft) {
	tb.Helper()
	return sparseAs(tb, kho.V4, ram...)
}

func sparseAs(tb testing.TB, format *kho.Format, ram ...phys.Range) (phys.Memory, *kho.Draft) {
	tb.Helper()
	pool := phys.Range{Start: 0x8000_0000, End: 0x8000_0000 + 512<<20}
	mem := phystest.NewSparse(tb, append([]phys.Range{pool}, ram...)...)
	areas := []kho.ScratchArea{{Addr: ram[0].Start, Size: 4 << 20}, {Addr: pool.Start, Size: pool.Size()}, {}}
	d, err := kho.New(mem, format, mem.RAM(), ram[0].Start, areas, phys.NewRanges(ram[1:]...))
	if err != nil {
		tb.Fatal(err)
	}
	return mem, d
}

func commitAndOpen(tb testing.TB, mem phys.Memory, d *kho.Draft) *kho.Handover {
	tb.Helper()
	data, err := d.Commit()
	if err != nil {
		tb.Fatal(err)
	}
	h, err := kho.Open(mem, data, d.Format())
	if err != nil {
		tb.Fatal(err)
	}
	return h
}

package oracle

import (
	"cmp"
	"encoding/binary"
	"errors"
	"fmt"
	"slices"

	"ferry/phys"
)

var (
	le = binary.LittleEndian
	be = binary.BigEndian
)

// ErrDecode is wrapped by errors of what this package cannot read.
var ErrDecode = errors.New("the independent decoder cannot read it")

// Decode reads the handover that d names, laid out as form, trusting it. Words
// that a kernel of generation to cannot be given are left out, and the files that were
// given up on the way: without, the GivenUp of what arrived.
func Decode(mem phys.Memory, d Handover, form, to *Form, without map[FileKey]bool) (*Model, error) {
	return decode(&Model{mem: mem, form: form, to: to, without: without}, d)
}

func decode(m *Model, d Handover) (*Model, error) {
	if m.Leaves == nil {
		m.Leaves = make(map[phys.Addr]phys.Block)
	}
	m.decode(d)
	if m.bad != nil {
		return nil, fmt.Errorf("%w: %w", ErrDecode, m.bad)
	}
	return m, nil
}

// Again is Decode into the memory of m, what a model read before that nobody needs
// any more, where it is not nil.
func (m *Model) Again(mem phys.Memory, d Handover, form, to *Form, without map[FileKey]bool) (*Model, error) {
	if m == nil {
		return Decode(mem, d, form, to, without)
	}
	clear(m.Leaves)
	*m = Model{mem: mem, form: form, to: to, without: without, Words: m.Words[:0], Areas: m.Areas[:0], Blocks: m.Blocks[:0], Nodes: m.Nodes[:0], by: m.by[:0], Leaves: m.Leaves}
	return decode(m, d)
}

// DecodeMap is Decode of the preserved-memory map alone.
func DecodeMap(mem phys.Memory, d Handover, form *Form) (*Model, error) {
	m := &Model{mem: mem, form: form, Leaves: make(map[phys.Addr]phys.Block)}
	root := m.tree(m.view(d.FDT, phys.PageSize))
	m.readMap(phys.Addr(root.u64("preserved-memory-map")))
	return m, m.bad
}

func (m *Model) fail(format string, args ...any) {
	if m.bad == nil {
		m.bad = fmt.Errorf(format, args...)
	}
}

func (m *Model) view(a phys.Addr, n uint64) []byte {
	if m.bad == nil && n <= 64<<20 {
		b, err := m.mem.View(a, n)
		if err == nil {
			return b
		}
		m.bad = err
	}
	m.fail("%d bytes at %v", n, a)
	return make([]byte, min(n, 1<<20))
}

func (m *Model) add(k Kind, s, f int, v uint64) {
	m.Words = append(m.Words, Word{k, int32(s), int32(f), v})
}

func (m *Model) text(k Kind, s, f int, b []byte) {
	for ; len(b) >= 8; b = b[8:] {
		m.add(k, s, f, le.Uint64(b))
	}
}

func (m *Model) decode(d Handover) {
	table := m.view(d.Scratch, d.ScratchSize)
	m.table(table)
	for i := 0; i+16 <= len(table); i += 16 {
		m.Refer(d.Scratch+phys.Addr(i), 16, phys.Addr(le.Uint64(table[i:])))
	}
	root := m.tree(m.view(d.FDT, phys.PageSize))
	m.readMap(phys.Addr(root.u64("preserved-memory-map")))
	m.own(d.FDT, d.FDT)
	slices.SortFunc(root.kids, func(a, b *dtNode) int { return cmp.Compare(a.name, b.name) })
	for _, n := range root.kids {
		pointer, size := "fdt", uint64(0)
		if m.form.Bitmap == 0 {
			pointer, size = "preserved-data", n.u64("blob-size")
		}
		at, words := phys.Addr(n.u64(pointer)), len(m.Words)
		m.Refer(d.FDT+phys.Addr(n.lo), uint64(n.hi-n.lo), at)
		switch {
		case n.name == "LUO" && m.form.Memfd != "":
			if m.luo(at, d.FDT); m.to.Memfd == "" {
				m.Words = m.Words[:words]
			}
		case n.name == "ferry", n.name == "kexec-metadata" && !m.to.Meta:
			m.own(at, d.FDT)
		default:
			m.own(at, d.FDT)
			m.subtree(n.name, at, size)
		}
		if m.bad != nil {
			return
		}
	}
	for i, b := range m.Blocks {
		if m.by[i] == 0 {
			m.add(Unowned, 0, 0, uint64(b.Addr)|uint64(b.Order))
		}
	}
}

// table reads the scratch table: the areas, and behind the last empty entry whose
// address has 0x5946 in its upper 16 bits the pieces that were cut off them, as
// pairs of a start and an end. What a crossing cuts off it remembers, and what it
// gives back it forgets: the sum of both, as a set, is the same afterwards.
func (m *Model) table(table []byte) {
	m.Areas = m.Areas[:0]
	all, last := []phys.Range{}, len(table)
	for i := 0; i+16 <= len(table); i += 16 {
		a, n := le.Uint64(table[i:]), le.Uint64(table[i+8:])
		if r, ok := phys.Span(phys.Addr(a), n); ok && n > 0 {
			m.Areas, all, last = append(m.Areas, r), append(all, r), len(table)
		} else if n == 0 && a>>48 == 0x5946 {
			last = i + 16
		}
	}
	for i := last; i+32 <= len(table); i += 32 {
		all = append(all, phys.Range{Start: phys.Addr(le.Uint64(table[i:])), End: phys.Addr(le.Uint64(table[i+16:]))})
	}
	for _, r := range phys.NewRanges(all...) {
		m.add(Scratch, 0, 0, uint64(r.Start))
		m.add(Scratch, 0, 0, uint64(r.End))
	}
}

// InScratch returns what of the handover lies in an area of its scratch table.
func (m *Model) InScratch() string {
	areas := phys.NewRanges(m.Areas...)
	for _, r := range m.Memory() {
		if s, hit := areas.Overlaps(r); hit {
			return fmt.Sprintf("%v of the handover lies in scratch %v", r, s)
		}
	}
	return ""
}

// own makes the block at a that of the structure at by, and returns its order.
func (m *Model) own(a, by phys.Addr) uint64 {
	i, ok := m.Index(a)
	if !ok {
		return 255
	}
	m.by[i] = by
	return uint64(m.Blocks[i].Order)
}

// Index returns which block begins at a.
func (m *Model) Index(a phys.Addr) (int, bool) {
	return slices.BinarySearchFunc(m.Blocks, a, func(b phys.Block, a phys.Addr) int { return cmp.Compare(b.Addr, a) })
}

func (m *Model) readMap(at phys.Addr) {
	m.Root = at
	if m.form.Bitmap > 0 {
		for n := 0; at != 0 && m.bad == nil; n++ {
			if n > 4096 {
				m.fail("a list of more than %d chunks", n)
			}
			page := m.view(at, phys.PageSize)
			m.Nodes = append(m.Nodes, at)
			order := le.Uint32(page[8:])
			if order > 40 {
				m.fail("order %d", order)
			}
			for i := range min(le.Uint32(page[12:]), 255) {
				start, bitmap := le.Uint64(page[16+16*i:]), phys.Addr(le.Uint64(page[24+16*i:]))
				m.bits(bitmap, m.form.Bitmap, phys.Block{Addr: phys.Addr(start), Order: phys.Order(order)})
			}
			at = phys.Addr(le.Uint64(page))
		}
	} else {
		m.radix(at, 5, 0)
	}
	slices.SortFunc(m.Blocks, func(a, b phys.Block) int { return cmp.Compare(a.Addr, b.Addr) })
	m.by = append(m.by[:0], make([]phys.Addr, len(m.Blocks))...)
}

func (m *Model) radix(at phys.Addr, level int, prefix uint64) {
	if m.bad != nil || len(m.Nodes) > 4096 {
		m.fail("too many nodes")
		return
	}
	if level == 0 {
		for o := range phys.Order(38) {
			if prefix>>(37-o) == 1 {
				m.bits(at, phys.PageSize, phys.Block{Addr: phys.Addr((prefix << 15 & (1<<(52-o) - 1)) << (12 + o)), Order: o})
				return
			}
		}
		m.fail("leaf %v of no order", at)
		return
	}
	m.Nodes = append(m.Nodes, at)
	page := m.view(at, phys.PageSize)
	for i := range uint64(512) {
		if child := le.Uint64(page[8*i:]); child != 0 {
			m.radix(phys.Addr(child), level-1, prefix<<9|i)
		}
	}
}

// bits collects the blocks of a bitmap whose first bit stands for b.
func (m *Model) bits(at phys.Addr, n uint64, b phys.Block) {
	page := m.view(at, n)
	m.Leaves[at] = b
	for i := uint64(0); i < n; i += 8 {
		for w := le.Uint64(page[i:]); w != 0; w &= w - 1 {
			bit := i*8 + uint64(trailing(w))
			m.Blocks = append(m.Blocks, phys.Block{Addr: b.Addr + phys.Addr(bit<<(12+b.Order)), Order: b.Order})
			if len(m.Blocks) > 1<<22 {
				m.fail("more than %d blocks", 1<<22)
				return
			}
		}
	}
}

// Memory returns what is preserved and where the map lies.
func (m *Model) Memory() phys.Ranges {
	var all []phys.Range
	for _, b := range m.Blocks {
		all = append(all, b.Range())
	}
	for _, a := range m.Nodes {
		all = append(all, phys.Block{Addr: a}.Range())
	}
	for a := range m.Leaves {
		all = append(all, phys.Block{Addr: a.Page()}.Range())
	}
	return phys.NewRanges(all...)
}

// Holding returns the preserved block that a lies in, and who refers to it.
func (m *Model) Holding(a phys.Addr) (b phys.Block, by phys.Addr, ok bool) {
	i, ok := m.Index(a)
	if !ok {
		i--
	}
	if i < 0 || a >= m.Blocks[i].Range().End {
		return b, 0, false
	}
	return m.Blocks[i], m.by[i], true
}

// Areas returns the areas of a scratch table, damaged or not.
func Areas(table []byte) []phys.Range {
	m := new(Model)
	m.table(table)
	return m.Areas
}

// DecodeNoting is [Decode] that also keeps which records say where objects are:
// [Model.Refs].
func DecodeNoting(mem phys.Memory, d Handover, form, to *Form) (*Model, error) {
	return decode(&Model{mem: mem, form: form, to: to, keep: true}, d)
}

// Property returns a property of 8 bytes, in the machine's order, of a node below
// the root of the device tree in page.
func Property(page []byte, node, name string) uint64 {
	return new(Model).tree(page).kid(node).u64(name)
}

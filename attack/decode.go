//go:build linux && !metal

package attack

import (
	"bytes"
	"cmp"
	"encoding/binary"
	"errors"
	"fmt"
	"slices"

	"ferry/kho"
	"ferry/phys"
)

var (
	le = binary.LittleEndian
	be = binary.BigEndian
)

// Form is how the kernels of a generation lay out a handover, as far as the
// decoder has to know it. It is written from the formats' documentation and
// shares nothing with the packages under test.
type Form struct {
	Name   string
	bitmap uint64 // bytes of a bitmap in the list of preserved memory; 0: a radix tree
	tree   bool   // the root of live update is a device tree, records lie in arrays
	flbs   bool
	text   uint64 // bytes of the string in struct luo_ser
	memfd  string // handler; empty: no live update
	seals  bool
	meta   bool // kexec-metadata reaches the kernel
}

// Forms are those of every generation.
var Forms = []*Form{
	{Name: "A", bitmap: 512},
	{Name: "B", bitmap: 4096},
	{Name: "C", bitmap: 4096, tree: true, memfd: "memfd-v1"},
	{Name: "D", bitmap: 4096, tree: true, flbs: true, memfd: "memfd-v1"},
	{Name: "E", tree: true, flbs: true, memfd: "memfd-v2", seals: true, meta: true},
	{Name: "E'", text: 24, flbs: true, memfd: "memfd-v2", seals: true, meta: true},
	{Name: "F", text: 8, flbs: true, memfd: "memfd-v2", seals: true, meta: true},
}

// FormOf returns the form of a generation.
func FormOf(name string) *Form {
	for _, f := range Forms {
		if f.Name == name {
			return f
		}
	}
	return nil
}

// Kind says what a word of a [Model] is.
type Kind uint8

// Kinds, in the order in which a model lists them.
const (
	Scratch Kind = iota
	Number
	SessionName
	SessionFiles
	Handler
	Token
	Opaque
	Position
	Size
	Seals
	Folios
	FolioPlace
	FolioOrder
	FolioFlags
	FolioIndex
	FLBName
	FLBData
	FLBCount
	TreeName
	TreePlace
	Unowned
	kinds
)

var kindNames = [kinds]string{"scratch table", "liveupdate number", "session name", "files of a session", "handler", "token", "opaque data",
	"position", "size", "seals", "folios of a file", "place of a folio", "order of a folio", "flags of a folio", "index of a folio",
	"FLB name", "FLB data", "FLB count", "sub-tree name", "sub-tree place", "preserved memory of nobody"}

func (k Kind) String() string { return kindNames[k] }

// Word is one fact of a model, with the session and the file that it is of.
type Word struct {
	Kind          Kind
	Session, File int32
	Value         uint64
}

// Model is what a handover says, in no generation's form: the words in a fixed
// order.
type Model struct {
	Words  []Word
	Blocks []phys.Block // what is preserved, by address
	owned  []bool

	// Leaves are the bitmaps of the map: where each lies, and the block that its
	// first bit stands for.
	Leaves map[phys.Addr]phys.Block
	Nodes  []phys.Addr // other pages of the map
	Root   phys.Addr   // of the map

	mem  phys.Memory
	form *Form
	to   *Form
	bad  error
}

var errDecode = errors.New("the independent decoder cannot read it")

// Decode reads the handover that d names, laid out as form, trusting it. Words
// that a kernel of generation to cannot be given are left out.
func Decode(mem phys.Memory, d kho.Data, form, to *Form) (*Model, error) {
	m := &Model{mem: mem, form: form, to: to, Leaves: make(map[phys.Addr]phys.Block)}
	m.decode(d)
	if m.bad != nil {
		return nil, fmt.Errorf("%w: %w", errDecode, m.bad)
	}
	return m, nil
}

// DecodeMap is Decode of the preserved-memory map alone.
func DecodeMap(mem phys.Memory, d kho.Data, form *Form) (*Model, error) {
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

func (m *Model) decode(d kho.Data) {
	table := m.view(d.Scratch, d.ScratchSize)
	m.add(Scratch, 0, 0, uint64(d.Scratch))
	m.text(Scratch, 0, 0, table)
	root := m.tree(m.view(d.FDT, phys.PageSize))
	m.readMap(phys.Addr(root.u64("preserved-memory-map")))
	m.own(d.FDT, 1)
	slices.SortFunc(root.kids, func(a, b *dtNode) int { return cmp.Compare(a.name, b.name) })
	for _, n := range root.kids {
		pointer, size := "fdt", uint64(0)
		if m.form.bitmap == 0 {
			pointer, size = "preserved-data", n.u64("blob-size")
		}
		at, words := phys.Addr(n.u64(pointer)), len(m.Words)
		switch {
		case n.name == "LUO" && m.form.memfd != "":
			if m.luo(at); m.to.memfd == "" {
				m.Words = m.Words[:words]
			}
		case n.name == "ferry", n.name == "kexec-metadata" && !m.to.meta:
			m.own(at, 1)
		default:
			m.subtree(n.name, at, size)
		}
		if m.bad != nil {
			return
		}
	}
	for i, b := range m.Blocks {
		if !m.owned[i] {
			m.add(Unowned, 0, 0, uint64(b.Addr)|uint64(b.Order))
		}
	}
}

func (m *Model) subtree(name string, at phys.Addr, size uint64) {
	field := make([]byte, 32)
	copy(field, name)
	m.text(TreeName, 0, 0, field)
	m.add(TreePlace, 0, 0, uint64(at))
	if m.form.bitmap > 0 {
		size = uint64(be.Uint32(m.view(at, 8)[4:])) // of a device tree: all that there can be
	}
	if m.to.bitmap == 0 {
		m.add(TreePlace, 0, 0, size)
	}
	m.own(at, 1)
}

// own makes the block at a somebody's, and returns its order.
func (m *Model) own(a phys.Addr, pages uint64) uint64 {
	i, ok := m.index(a)
	if !ok {
		return 255
	}
	m.owned[i] = true
	return uint64(m.Blocks[i].Order)
}

// index returns which block begins at a.
func (m *Model) index(a phys.Addr) (int, bool) {
	return slices.BinarySearchFunc(m.Blocks, a, func(b phys.Block, a phys.Addr) int { return cmp.Compare(b.Addr, a) })
}

func (m *Model) readMap(at phys.Addr) {
	m.Root = at
	if m.form.bitmap > 0 {
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
				m.bits(bitmap, m.form.bitmap, phys.Block{Addr: phys.Addr(start), Order: phys.Order(order)})
			}
			at = phys.Addr(le.Uint64(page))
		}
	} else {
		m.radix(at, 5, 0)
	}
	slices.SortFunc(m.Blocks, func(a, b phys.Block) int { return cmp.Compare(a.Addr, b.Addr) })
	m.owned = make([]bool, len(m.Blocks))
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

func (m *Model) luo(at phys.Addr) {
	m.own(at, 1)
	var flbs phys.Addr
	if m.form.tree {
		root := m.tree(m.view(at, phys.PageSize))
		m.add(Number, 0, 0, root.u64("liveupdate-number"))
		array := phys.Addr(root.kid("luo-session").u64("luo-session-header"))
		m.own(array, 1)
		n := le.Uint64(m.view(array, 8))
		b := m.view(array+8, 80*n)
		for s := range int(n) {
			m.session(s, b[80*s:][:80])
		}
		if m.form.flbs {
			flbs = phys.Addr(root.kid("luo-flb").u64("luo-flb-header"))
		}
	} else {
		page := m.view(at, phys.PageSize)[m.form.text:]
		m.add(Number, 0, 0, le.Uint64(page))
		s := 0
		m.chain(phys.Addr(le.Uint64(page[8:])), 80, func(rec []byte) { m.session(s, rec); s++ })
		flbs = phys.Addr(le.Uint64(page[16:]))
	}
	if flbs == 0 {
		return
	}
	m.own(flbs, 1)
	if !m.to.flbs {
		return
	}
	page := m.view(flbs, phys.PageSize)
	for i := range min(le.Uint64(page[8:]), 63) {
		rec := page[16+64*i:][:64]
		m.text(FLBName, 0, int(i), rec[:48])
		m.add(FLBData, 0, int(i), le.Uint64(rec[48:]))
		m.add(FLBCount, 0, int(i), le.Uint64(rec[56:]))
	}
}

func (m *Model) chain(at phys.Addr, size uint64, each func([]byte)) {
	for n := 0; at != 0 && m.bad == nil; n++ {
		if n == 10000 {
			m.fail("a chain without end")
			return
		}
		m.own(at, 1)
		page := m.view(at, phys.PageSize)
		for i := range min(le.Uint64(page[8:]), 4080/size) {
			each(page[16+i*size:][:size])
		}
		at = phys.Addr(le.Uint64(page))
	}
}

func (m *Model) session(s int, rec []byte) {
	m.text(SessionName, s, 0, rec[:64])
	at, n := phys.Addr(le.Uint64(rec[64:])), le.Uint64(rec[72:])
	m.add(SessionFiles, s, 0, n)
	if at == 0 {
		return
	}
	f := 0
	if !m.form.tree {
		m.chain(at, 64, func(rec []byte) { m.file(s, f, rec); f++ })
		return
	}
	m.own(at, 1)
	for b := m.view(at, 64*n); len(b) > 0; b = b[64:] {
		m.file(s, f, b[:64])
		f++
	}
}

func (m *Model) file(s, f int, rec []byte) {
	data := phys.Addr(le.Uint64(rec[48:]))
	handler, _, _ := bytes.Cut(rec[:48], []byte{0})
	m.add(Token, s, f, le.Uint64(rec[56:]))
	if string(handler) != m.form.memfd {
		m.text(Handler, s, f, rec[:48])
		m.add(Opaque, s, f, uint64(data))
		return
	}
	m.text(Handler, s, f, make([]byte, 48))
	m.own(data, 1)
	page := m.view(data, phys.PageSize)
	m.add(Position, s, f, le.Uint64(page))
	m.add(Size, s, f, le.Uint64(page[8:]))
	if page = page[16:]; m.form.seals {
		if m.to.seals {
			m.add(Seals, s, f, le.Uint64(page))
		}
		page = page[8:]
	} else if m.to.seals {
		m.add(Seals, s, f, 1)
	}
	n := le.Uint64(page)
	m.add(Folios, s, f, n)
	if n == 0 {
		return
	}
	chunk, order := phys.Addr(le.Uint64(page[8:])), le.Uint16(page[22:])
	size := uint64(phys.PageSize) << min(order, 10)
	for left := n; chunk != 0 && m.bad == nil; {
		m.own(chunk, 1)
		list := m.view(chunk, phys.PageSize)
		for i := 8; i < phys.PageSize && left > 0; i += 8 {
			part := phys.Addr(le.Uint64(list[i:]))
			if part == 0 {
				break
			}
			m.own(part, 1)
			k := min(left, size/16)
			for b := m.view(part, 16*k); len(b) > 0; b = b[16:] {
				m.folio(s, f, le.Uint64(b), le.Uint64(b[8:]))
			}
			left -= k
		}
		if chunk = phys.Addr(le.Uint64(list)); chunk == 0 && left > 0 {
			m.fail("session %d file %d: %d folios are missing", s, f, left)
		}
	}
}

func (m *Model) folio(s, f int, word, index uint64) {
	pfn, flags := word&(1<<52-1), word>>52
	order := uint64(0)
	if pfn != 0 {
		order = m.own(phys.PFN(pfn).Addr(), 1)
	}
	m.add(FolioFlags, s, f, flags)
	m.add(FolioPlace, s, f, pfn)
	m.add(FolioOrder, s, f, order)
	m.add(FolioIndex, s, f, index)
}

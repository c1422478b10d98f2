//go:build linux && !metal

package attack

import (
	"bytes"
	"cmp"
	"fmt"
	"slices"

	"ferry/crossing/crossingtest"
	"ferry/internal/oracle"
	"ferry/phys"
)

// Mutator damages a handover along its structure: what a step writes where is
// taken from what the handover is made of, so that damage reaches further than
// the first check.
type Mutator struct {
	s     *Subject
	pages []phys.Addr // that damage goes into: structures, map, FDTs, tables
	slots []phys.Addr // words in them that are not zero
	marks []uint64    // values that mean something

	Shifted bool // the table of scratch areas, or what names it, was damaged
}

// NewMutator returns one for s.
func NewMutator(s *Subject) *Mutator {
	m := &Mutator{s: s}
	for _, r := range s.Regions() {
		for _, p := range r.Parts {
			m.pages = append(m.pages, p.Start.Page())
		}
	}
	if len(s.Blocks) == 0 { // a stand-in: every page that is not plainly contents
		m.pages = append(m.pages, s.structures()...)
	}
	slices.Sort(m.pages)
	m.pages = slices.DeleteFunc(slices.Compact(m.pages), func(a phys.Addr) bool {
		// What the kernel before loaded is no part of the handover, but for what leads to it.
		return a >= s.ZeroPage && a < s.Stage.Start && a != s.ZeroPage && a != s.Node.Page()
	})
	for _, a := range m.pages {
		page := s.Memory.Pages()[a]
		for i := 0; page != nil && i < phys.PageSize; i += 8 {
			if le.Uint64(page[i:]) != 0 {
				m.slots = append(m.slots, a+phys.Addr(i))
			}
		}
	}
	for i := phys.Addr(0); i < 48; i += 8 { // where all begins: often, and the link too
		m.slots = append(m.slots, s.Node+i, s.ZeroPage+0x250)
	}
	ram := s.RAM()
	m.marks = []uint64{0, 1, 2, 7, 8, 255, 256, 4095, 1 << 20, 1<<20 - 4096, 1 << 31, 1 << 52, 1 << 63, ^uint64(0), ^uint64(4095),
		uint64(ram[len(ram)-1].End), uint64(ram[len(ram)-1].End) - 4096, uint64(s.scratch[0].Start), uint64(s.scratch[0].End) - 4096,
		uint64(s.Stage.Start), uint64(s.Payload), uint64(s.Data.Scratch), uint64(s.Data.FDT)}
	return m
}

// structures returns the pages that the first words of other pages point at, and
// those of the map: an approximation that no contents of files hit.
func (s *Subject) structures() (all []phys.Addr) {
	seen := map[phys.Addr]bool{s.Data.FDT: true}
	for todo := []phys.Addr{s.Data.FDT}; len(todo) > 0; {
		a := todo[0]
		todo = todo[1:]
		all = append(all, a)
		page := s.Memory.Pages()[a]
		for i := 0; page != nil && i+8 <= phys.PageSize; i += 4 {
			v := phys.Addr(le.Uint64(page[i:]))
			if v.Aligned(phys.PageSize) && !seen[v] && s.Memory.Pages()[v] != nil {
				seen[v] = true
				todo = append(todo, v)
			}
		}
	}
	return all
}

// Run damages memory as the steps say, of 8 bytes each: kind, how, and three
// numbers of 16 bits.
func (m *Mutator) Run(steps []byte) error {
	for n := 0; len(steps) >= 8 && n < 16; n, steps = n+1, steps[8:] {
		if err := m.step(steps[0], steps[1], int(le.Uint16(steps[2:])), int(le.Uint16(steps[4:])), int(le.Uint16(steps[6:]))); err != nil {
			return err
		}
	}
	return nil
}

func pick[T any](all []T, i int) T { return all[i%len(all)] }

func (m *Mutator) step(kind, how byte, x, y, z int) error {
	slot, page := pick(m.slots, x), pick(m.pages, x)
	switch kind % 12 {
	case 0: // a bit
		return m.edit(page+phys.Addr(y%phys.PageSize), 1, func(b []byte) { b[0] ^= 1 << (how % 8) })
	case 1: // a bit of a word that is in use
		return m.edit(slot, 8, func(b []byte) { b[y%8] ^= 1 << (how % 8) })
	case 2: // a pointer to another page of the handover
		return m.word(slot, uint64(pick(m.pages, y))+[...]uint64{0, 0, 0, 8, 512}[how%5])
	case 3: // a pointer to its own page: a cycle, or a part of itself
		return m.word(slot, uint64(slot.Page()))
	case 4: // a value that means something
		return m.word(slot, pick(m.marks, y)+uint64(how%3)-1)
	case 5: // a count, an order, a key a little off
		return m.edit(slot, 8, func(b []byte) { le.PutUint64(b, le.Uint64(b)+uint64(int8(how))<<(y%64)) })
	case 6: // what another word says
		other, err := m.s.View(pick(m.slots, y), 8)
		if err != nil {
			return err
		}
		return m.word(slot, le.Uint64(other))
	case 7: // a copy of another page
		other, err := m.s.View(pick(m.pages, y), phys.PageSize)
		if err != nil {
			return err
		}
		return m.edit(page, phys.PageSize, func(b []byte) { copy(b, other) })
	case 8: // an end too early
		return m.edit(page, phys.PageSize, func(b []byte) { clear(b[y%phys.PageSize:]) })
	case 9: // records that move: what follows is shifted
		return m.edit(page, phys.PageSize, func(b []byte) {
			at, by := y%phys.PageSize, cmp.Or(int(how)*4%256, 4)
			copy(b[at:], b[min(at+by, len(b)):])
		})
	case 10: // a token, a length or an offset of a device tree
		return m.edit(m.tree(x), phys.PageSize, func(b []byte) {
			be.PutUint32(b[y%1024&^3:], [...]uint32{0, 1, 2, 3, 4, 9, 8, 0x40, 0xffffffff, uint32(z)}[how%10])
		})
	default: // one more preserved block, or one less
		if len(m.s.Before.Leaves) == 0 {
			return nil
		}
		leaves := make([]phys.Addr, 0, len(m.s.Before.Leaves))
		for a := range m.s.Before.Leaves {
			leaves = append(leaves, a)
		}
		slices.Sort(leaves)
		return m.edit(pick(leaves, x)+phys.Addr(y%512), 1, func(b []byte) { b[0] ^= 1 << (how % 8) })
	}
}

// tree returns one of the pages with a device tree.
func (m *Mutator) tree(i int) phys.Addr {
	var trees []phys.Addr
	for _, a := range m.pages {
		if p := m.s.Memory.Pages()[a]; p != nil && be.Uint32(p) == 0xd00dfeed {
			trees = append(trees, a)
		}
	}
	return pick(trees, i)
}

func (m *Mutator) word(at phys.Addr, v uint64) error {
	return m.edit(at, 8, func(b []byte) { le.PutUint64(b, v) })
}

// edit changes n bytes, which are put back when [Subject.Undo] is called.
func (m *Mutator) edit(at phys.Addr, n uint64, change func([]byte)) error {
	b, err := m.s.Poke(at, n)
	if err != nil {
		return err
	}
	r := phys.Range{Start: at, End: at + phys.Addr(n)}
	table := phys.Range{Start: m.s.Data.Scratch, End: m.s.Data.Scratch + phys.Addr(m.s.Data.ScratchSize)}
	node := phys.Range{Start: m.s.Node, End: m.s.Node + crossingtest.NodeSize}
	m.Shifted = m.Shifted || r.Overlaps(table) || r.Overlaps(node) || r.Overlaps(phys.Block{Addr: m.s.ZeroPage}.Range())
	m.s.damaged = append(m.s.damaged, r)
	change(b)
	return nil
}

// Undo puts back everything that was damaged or written.
func (m *Mutator) Undo() error {
	err := m.s.Reset()
	for _, r := range m.s.damaged {
		if e := m.s.Restore(r); err == nil {
			err = e
		}
	}
	m.s.damaged, m.Shifted = m.s.damaged[:0], false
	return err
}

// Judge holds the outcome of a crossing with the damage against the invariants: it
// returns what is broken of them, or nothing.
func (m *Mutator) Judge(o Outcome) string {
	s := m.s
	switch {
	case o.Defect != "":
		return o.Defect
	case o.Cold:
		raw, err := s.list()
		if err != nil {
			return fmt.Sprintf("a damaged list is passed over without a word: %v", err)
		}
		if raw != nil {
			return fmt.Sprintf("the handover %x is lost without a word", raw)
		}
		return s.over(s.Loaded()) // no list leads to it any more, nor to scratch
	case o.Refused:
		if m.Shifted {
			return s.strayInto(s.Loaded())
		}
		// A damaged table may call scratch what is preserved, as far as the map can be
		// read: then nothing of that is written.
		if now, err := oracle.DecodeMap(s.Memory, oracle.Handover(s.data()), s.From); err == nil {
			now.Blocks = slices.DeleteFunc(now.Blocks, func(b phys.Block) bool {
				was, _, ok := s.Before.Holding(b.Addr)
				return !ok || was != b // damage: it may well lie in scratch
			})
			now.Nodes, now.Leaves = s.Before.Nodes, s.Before.Leaves
			return s.strayInto(s.held(now))
		}
		return s.strayInto(s.Loaded())
	}
	got, err := s.Arrived(o)
	if err != nil {
		return err.Error()
	}
	came, err := s.Came(got)
	if err != nil {
		return err.Error()
	}
	if hit := s.strayInto(s.held(came)); hit != "" {
		return hit
	}
	if len(got.GivenUp) > 0 && !bytes.Contains(o.Log, []byte("ferry: warning: ")) {
		return "a file is given up without a word"
	}
	return ""
}

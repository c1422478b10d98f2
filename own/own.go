// Package own proves that an address found in a handover names memory that its
// finder may use, and keeps account of who found it first.
//
// The handover was written by another kernel and is untrusted. An address becomes
// something to work with in two steps. [Rules] judge the place: RAM, aligned, at or
// above 1 MiB, outside scratch. They are the only judge of places in Ferry. A
// [Ledger] adds that the handover preserves exactly this block and that nobody else
// owns it, and names the first owner to the second. What it hands out is a
// [Page] or a [Block]: their fields cannot be set from outside this package, so
// whoever holds one holds the proof.
//
// Linux itself checks little of this: kho_restore_page (kernel/liveupdate/
// kexec_handover.c) trusts the address and takes the order from the page itself.
package own

import (
	"errors"

	"ferry/phys"
)

// Rules that an address in a handover can break, for [errors.Is]. One outside RAM
// breaks [phys.ErrNotRAM].
var (
	ErrPlace     = errors.New("not a place for preserved memory")
	ErrPreserved = errors.New("not preserved as this block")
	ErrShared    = errors.New("owned twice")
)

// Preserved is the set of blocks that a handover preserves. kho.Map is one.
type Preserved interface {
	// Preserved reports whether exactly this block, of exactly this order, is in
	// the set.
	Preserved(phys.Block) bool
	// Head returns the block of the set that starts at a.
	Head(a phys.Addr) (b phys.Block, ok bool)
}

// Space is the memory of one handover: where preserved blocks may lie, and which
// there are. All ledgers of a handover share it.
type Space struct {
	mem   phys.Memory
	rules *Rules
	set   Preserved
	names names
}

// NewSpace returns the space of a handover in mem that preserves set.
func NewSpace(mem phys.Memory, rules *Rules, set Preserved) *Space {
	return &Space{mem: mem, rules: rules, set: set}
}

// Ledger returns a ledger without owners.
func (s *Space) Ledger() *Ledger { return &Ledger{space: s} }

// View returns n bytes at a for reading. It proves only that it is RAM: it is for memory that
// was proved before.
func (s *Space) View(a phys.Addr, n uint64) ([]byte, error) {
	if s == nil {
		return nil, errNobody
	}
	return s.mem.View(a, n)
}

// Preserved reports whether the handover preserves exactly this block.
func (s *Space) Preserved(b phys.Block) bool { return s != nil && s.set.Preserved(b) }

// Head returns the preserved block that starts at a.
func (s *Space) Head(a phys.Addr) (phys.Block, bool) { return s.set.Head(a) }

// Page is a page of order 0 that belongs to whoever proved it, with a window on its
// memory for reading. The zero value is no page.
type Page struct {
	addr phys.Addr
	data *[phys.PageSize]byte
}

// Addr returns where the page lies.
func (p Page) Addr() phys.Addr { return p.addr }

// Bytes returns the page's memory, [phys.PageSize] bytes, for reading. The zero value
// has none.
func (p Page) Bytes() []byte {
	if p.data == nil {
		return nil
	}
	return p.data[:]
}

// Block is a preserved block that belongs to whoever proved it. The zero value is no
// block.
type Block struct {
	block phys.Block
	space *Space
}

// Block returns where the block lies and its order.
func (b Block) Block() phys.Block { return b.block }

// View returns the bytes of the block for reading. The zero value has none.
func (b Block) View() ([]byte, error) {
	if b.space == nil {
		return nil, errNobody
	}
	return b.space.View(b.block.Addr, b.block.Order.Bytes())
}

func fault(a phys.Addr, found, want string, err error) *phys.Error {
	return &phys.Error{Addr: a, Found: found, Want: want, Err: err}
}

// NotPreserved says that object, which must be the block b, is not preserved as such.
func NotPreserved(object string, b phys.Block) error {
	e := notPreserved(b)
	e.Object = object
	return e
}

func notPreserved(b phys.Block) *phys.Error {
	return fault(b.Addr, "not preserved with order "+order(b.Order), "a block of the preserved-memory map", ErrPreserved)
}

package blockset

import (
	"errors"
	"fmt"

	"ferry/phys"
)

// Rules that an address in a handover may break, for [errors.Is]. An address
// outside RAM breaks [phys.ErrNotRAM].
var (
	ErrUnaligned    = errors.New("not aligned")
	ErrLowMemory    = errors.New("below 1 MiB")
	ErrScratch      = errors.New("in scratch")
	ErrNotPreserved = errors.New("not preserved")
	ErrShared       = errors.New("owned twice")
)

// Preserved is the set of blocks that a handover preserves. kho.Map is one.
type Preserved interface {
	// Preserved reports whether exactly this block, of exactly this order, is
	// in the set.
	Preserved(phys.Block) bool
}

// Checker proves that an address found in a handover names memory that the next
// kernel may restore: RAM, aligned, at or above 1 MiB, outside scratch,
// preserved as one block of exactly the order expected, and owned by nobody
// else. The last is why one Checker serves a whole handover: it remembers each
// block that it has passed, in a [BlockSet].
//
// It relies on the preserved blocks not overlapping, which kho checks.
type Checker struct {
	mem     phys.Memory
	set     Preserved
	scratch phys.Ranges
	owned   BlockSet

	base     *Checker  // whose blocks are others' as well
	disputed *BlockSet // blocks that two asked for, which are nobody's; may be nil
}

// NewChecker returns a checker of addresses in mem, given the blocks that the
// handover preserves and its scratch areas. It only reads mem.
func NewChecker(mem phys.Memory, set Preserved, scratch phys.Ranges) *Checker {
	return &Checker{mem: mem, set: set, scratch: scratch}
}

// Beside returns a checker for the same handover that refuses what c has passed and
// keeps account of its own blocks beside c, which does not learn of them.
func (c *Checker) Beside() *Checker {
	return &Checker{mem: c.mem, set: c.set, scratch: c.scratch, base: c}
}

// Forget makes the blocks that c has passed free again, but for those of the checker
// that it stands beside.
func (c *Checker) Forget() { c.owned.Clear() }

// Dispute makes set the blocks that c gives to nobody: those that are in it, and those
// that somebody asks for after another one, which enter it. Whoever came first is
// found by asking again, with another checker and the same set.
func (c *Checker) Dispute(set *BlockSet) { c.disputed = set }

// Page proves a page of order 0 and returns a window on it, for reading. object
// is what the error calls it.
func (c *Checker) Page(object string, a phys.Addr) ([]byte, error) {
	page, e := c.page(a)
	if e != nil {
		e.Object = object
		return nil, e
	}
	return page, nil
}

// Block proves a block of any order. object is what the error calls it.
func (c *Checker) Block(object string, b phys.Block) error {
	if e := c.claim(b); e != nil {
		e.Object = object
		return e
	}
	return nil
}

// Share is Block for memory that may be several objects': one that c itself has passed
// is not refused. It reports whether b is one.
func (c *Checker) Share(object string, b phys.Block) (shared bool, err error) {
	if e := c.sound(b); e != nil {
		e.Object = object
		return false, e
	}
	if c.others(b) {
		return false, &phys.Error{Object: object, Addr: b.Addr, Found: twice, Want: blockOfItsOwn, Err: ErrShared}
	}
	return !c.owned.Add(b), nil
}

// Passed reports whether b was passed, by the checker that c stands beside too.
func (c *Checker) Passed(b phys.Block) bool { return c.owned.Has(b) || c.others(b) }

// Owned returns which of 64 blocks were passed, by the checker that c stands beside
// too: see [BlockSet.Word].
func (c *Checker) Owned(o phys.Order, first uint64) (w uint64) {
	for ; c != nil; c = c.base {
		w |= c.owned.Word(o, first)
	}
	return w
}

// page is Page with an error that has no object yet.
func (c *Checker) page(a phys.Addr) ([]byte, *phys.Error) {
	if e := c.claim(phys.Block{Addr: a}); e != nil {
		return nil, e
	}
	page, err := c.mem.View(a, phys.PageSize)
	if err != nil {
		return nil, fault(a, "no memory", "RAM", err)
	}
	return page, nil
}

// claim proves b and makes the caller its owner.
func (c *Checker) claim(b phys.Block) *phys.Error {
	if e := c.sound(b); e != nil {
		return e
	}
	switch {
	case c.others(b):
	case c.owned.Add(b):
		return nil
	case c.disputed != nil:
		c.disputed.Add(b)
	}
	return fault(b.Addr, twice, blockOfItsOwn, ErrShared)
}

// What is found where a block has an owner, and what is wanted.
const (
	twice         = "already part of another object"
	blockOfItsOwn = "a block of its own"
)

// others reports whether b is a block of a checker that c stands beside, or disputed.
func (c *Checker) others(b phys.Block) bool {
	for o := c.base; o != nil; o = o.base {
		if o.owned.Has(b) {
			return true
		}
	}
	return c.disputed != nil && c.disputed.Has(b)
}

// sound proves all of b but its ownership.
func (c *Checker) sound(b phys.Block) *phys.Error {
	if b.Order > phys.MaxOrder {
		return fault(b.Addr, fmt.Sprintf("order %d", b.Order), "an order that fits memory", ErrNotPreserved)
	}
	size := b.Order.Bytes()
	if !b.Addr.Aligned(size) {
		return fault(b.Addr, fmt.Sprintf("not a multiple of %d", size), "a naturally aligned block", ErrUnaligned)
	}
	r, ok := phys.Span(b.Addr, size)
	if !ok || !c.mem.RAM().Contains(r) {
		return fault(b.Addr, fmt.Sprintf("%d bytes not in RAM", size), "an address inside one RAM range of the e820 map", phys.ErrNotRAM)
	}
	if b.Addr < phys.LowMemory {
		return fault(b.Addr, "below 1 MiB", "memory that firmware leaves alone", ErrLowMemory)
	}
	if area, hit := c.scratch.Overlaps(r); hit {
		return fault(b.Addr, fmt.Sprintf("inside scratch area %v", area), "memory outside scratch", ErrScratch)
	}
	if !c.set.Preserved(b) {
		return fault(b.Addr, "not preserved with order "+fmt.Sprint(b.Order), "a block of the preserved-memory map", ErrNotPreserved)
	}
	return nil
}

func fault(a phys.Addr, found, want string, err error) *phys.Error {
	return &phys.Error{Addr: a, Found: found, Want: want, Err: err}
}

// Memory returns the memory that c proves addresses in.
func (c *Checker) Memory() phys.Memory { return c.mem }

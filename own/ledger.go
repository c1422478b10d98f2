package own

import (
	"errors"

	"ferry/phys"
)

// Ledger says who owns which block of one handover. It proves each block once, in
// full, for the first who claims it, and refuses it to everybody else with the name
// of the first. That is why one Ledger serves a whole handover.
//
// It relies on the preserved blocks not overlapping, which kho proves. A nil Ledger
// proves nothing and refuses everything. Ledgers of one handover must not be used at
// the same time.
type Ledger struct {
	space  *Space
	owned  Blocks
	claims claims

	base     *Ledger   // whose blocks are taken as well
	disputed *Disputed // blocks that several claimed, which nobody gets; may be nil
}

// NewLedger returns a ledger without owners for a handover in mem that preserves set
// and has these scratch areas. It only reads mem.
func NewLedger(mem phys.Memory, set Preserved, scratch phys.Ranges) *Ledger {
	return NewSpace(mem, NewRules(mem.RAM(), scratch), set).Ledger()
}

// Space returns the memory of the ledger's handover.
func (l *Ledger) Space() *Space { return l.space }

// Memory returns the memory that l proves addresses in.
func (l *Ledger) Memory() phys.Memory { return l.space.mem }

// Beside returns a ledger for the same handover that refuses what l has given out and
// records its own blocks, which l does not see.
func (l *Ledger) Beside() *Ledger { return &Ledger{space: l.space, base: l} }

// Forget frees the blocks that l gave out, except for those of the ledger that it was
// made beside.
func (l *Ledger) Forget() {
	l.owned.Clear()
	l.claims.clear()
}

// Dispute makes l refuse the blocks of d. A block that l refuses because it has an
// owner is added to d. To find its first owner, claim all blocks again with another
// ledger and the same d.
func (l *Ledger) Dispute(d *Disputed) { l.disputed = d }

// Claimant claims blocks for one object. Every claim of the zero value is refused.
type Claimant struct {
	ledger *Ledger
	by     owner
}

// As returns the claimant for the object of this kind at address at. An error about
// one of its blocks names it to other claimants.
func (l *Ledger) As(kind string, at phys.Addr) Claimant {
	if l == nil {
		return Claimant{}
	}
	return Claimant{l, owner{l.space.names.index(kind), at}}
}

// Space returns the memory of the handover that c claims blocks of, nil for the zero
// value.
func (c Claimant) Space() *Space {
	if c.ledger == nil {
		return nil
	}
	return c.ledger.space
}

// Page claims a page of order 0. part names it in the error, and to
// other claimants: the part of the object that it is.
func (c Claimant) Page(part string, a phys.Addr) (Page, error) {
	page, e := c.page(part, a)
	if e != nil {
		e.Object = part
		return Page{}, e
	}
	return page, nil
}

// Block claims a block of any order.
func (c Claimant) Block(part string, b phys.Block) (Block, error) {
	if err := c.Claim(part, b); err != nil {
		return Block{}, err
	}
	return Block{b, c.ledger.space}, nil
}

// Claim is Block for callers that do not use the block itself.
func (c Claimant) Claim(part string, b phys.Block) error {
	if e := c.claim(part, b); e != nil {
		e.Object = part
		return e
	}
	return nil
}

// Share is Claim for memory that several objects may have together: a block that was
// claimed from the same ledger is not refused. It reports whether b is one.
func (c Claimant) Share(part string, b phys.Block) (shared bool, err error) {
	e := c.sound(b)
	if e == nil && c.ledger.others(b) {
		e = c.ledger.taken(c.by, b)
	}
	if e != nil {
		e.Object = part
		return false, e
	}
	if !c.ledger.owned.Add(b) {
		return true, nil
	}
	c.ledger.note(c.by, part, b)
	return false, nil
}

// Page is [Claimant.Page] for an object that is one page.
func (l *Ledger) Page(object string, a phys.Addr) (Page, error) {
	return l.As(object, 0).Page(object, a)
}

// Claim is [Claimant.Claim] for an object that is one block.
func (l *Ledger) Claim(object string, b phys.Block) error {
	return l.As(object, 0).Claim(object, b)
}

// Has reports whether b has an owner, one of the ledger that l was made beside too.
func (l *Ledger) Has(b phys.Block) bool { return l.owned.Has(b) || l.others(b) }

// Owned returns which of 64 blocks have an owner, one of the ledger that l was made
// beside too: see [Blocks.Word].
func (l *Ledger) Owned(o phys.Order, first uint64) (w uint64) {
	for ; l != nil; l = l.base {
		w |= l.owned.Word(o, first)
	}
	return w
}

// page is Page with an error that has no object yet.
func (c Claimant) page(part string, a phys.Addr) (Page, *phys.Error) {
	if e := c.claim(part, phys.Block{Addr: a}); e != nil {
		return Page{}, e
	}
	data, err := c.ledger.space.mem.View(a, phys.PageSize)
	if err != nil {
		return Page{}, fault(a, "no memory", "RAM", err)
	}
	return Page{a, (*[phys.PageSize]byte)(data)}, nil
}

// claim proves b and makes c its owner.
func (c Claimant) claim(part string, b phys.Block) *phys.Error {
	if e := c.sound(b); e != nil {
		return e
	}
	l := c.ledger
	if !l.others(b) && l.owned.Add(b) {
		l.note(c.by, part, b)
		return nil
	}
	e := l.taken(c.by, b)
	if l.disputed != nil && !l.others(b) {
		first, _ := l.owner(b)
		l.disputed.add(b, first, c.by)
	}
	return e
}

// errNobody is the error of a claim without a ledger.
var errNobody = errors.New("no ledger: nothing is proved")

// sound proves all of b but its ownership.
func (c Claimant) sound(b phys.Block) *phys.Error {
	if c.ledger == nil {
		return fault(b.Addr, "a claim without a ledger", "the ledger of the handover", errNobody)
	}
	s := c.ledger.space
	if e := s.rules.check(b); e != nil {
		return e
	}
	if !s.set.Preserved(b) {
		return notPreserved(b)
	}
	return nil
}

// others reports whether b belongs to a ledger that l was made beside, or is disputed.
func (l *Ledger) others(b phys.Block) bool {
	for o := l.base; o != nil; o = o.base {
		if o.owned.Has(b) {
			return true
		}
	}
	return l.disputed != nil && l.disputed.blocks.Has(b)
}

// taken refuses b, which belongs to somebody else, to the owner by.
func (l *Ledger) taken(by owner, b phys.Block) *phys.Error {
	return fault(b.Addr, "already part of "+l.whose(by, b), "a block of its own", ErrShared)
}

// whose names the owner of b, or who else claims it.
func (l *Ledger) whose(by owner, b phys.Block) string {
	const unknown = "another object"
	if l.disputed != nil {
		if o, ok := l.disputed.other(by, b); ok {
			return l.space.names.of(o, b)
		}
	}
	for o := l; o != nil; o = o.base {
		if o.owned.Has(b) {
			if first, part := o.owner(b); first != (owner{}) {
				return l.space.names.whole(first, part, b)
			}
		}
	}
	return unknown
}

// Disputed is a set of blocks that more than one object claims. Their owner is
// unknown. The zero value is empty.
type Disputed struct {
	blocks Blocks
	known  []dispute // the first of them
}

// dispute says which two claimed a block.
type dispute struct {
	block         phys.Block
	first, second owner
}

const maxDisputes = 64 // whose parties are remembered

// Has reports whether b is disputed.
func (d *Disputed) Has(b phys.Block) bool { return d.blocks.Has(b) }

func (d *Disputed) add(b phys.Block, first, second owner) {
	if d.blocks.Add(b) && len(d.known) < maxDisputes {
		d.known = append(d.known, dispute{b, first, second})
	}
}

// other returns who claims b beside the owner by.
func (d *Disputed) other(by owner, b phys.Block) (owner, bool) {
	for _, k := range d.known {
		if k.block != b {
			continue
		}
		if k.first == by {
			k.first = k.second
		}
		return k.first, k.first != owner{}
	}
	return owner{}, false
}

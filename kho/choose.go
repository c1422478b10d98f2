package kho

import (
	"bytes"
	"errors"
	"fmt"
	"math/bits"
	"slices"

	"ferry/phys"
)

// choose reads the handover in each of the formats that its version string may
// mean, the newest first, and returns the reading that is right.
//
// Memory decides, and a claim must agree with it. A claim never makes one of two
// readings the right one; but without a claim, evidence that one flipped bit could
// have made is not enough. So a sound handover is read as its kernel wrote it, or
// refused, whatever is claimed.
func (h *Handover) choose(fit []*Format, claim *Format) (*Handover, error) {
	if !slices.Contains(fit, claim) {
		claim = nil
	}
	_, lists := fit[0].index.(list)
	if len(fit) > 1 && lists && h.preserved.root != 0 {
		return h.chooseList(fit[0], fit[1], claim)
	}
	r := h.as(fit[0])
	if claim != nil {
		r = h.as(claim)
	}
	if lists {
		r.alike = fit // no list at all is the same in all
	}
	return r.Handover, r.err
}

// reading is a handover as the kernels of one format read it.
type reading struct {
	*Handover
	err error // why it is not sound as that, nil if it is
}

// as reads the handover in format f.
func (h *Handover) as(f *Format) reading {
	c := *h
	r := reading{Handover: &c}
	c.format, c.alike = f, []*Format{f}
	if r.err = c.read(); r.err == nil {
		r.err = c.checkTable()
	}
	return r
}

// without returns an error in place of a reading in format f if there is a
// sub-tree that its kernels do not know.
func (h *Handover) without(name string, f *Format) reading {
	r := reading{Handover: &Handover{format: f}}
	if n, ok := h.tree.Root().Child(name); ok {
		r.err = &phys.Error{Object: fmt.Sprintf("root device tree: %v", n), Addr: n.Addr(), Found: "live update",
			Want: fmt.Sprintf("none: no kernel of %v knows it", f), Err: ErrVersion}
	}
	return r
}

// lost returns what is wrong with the memory that the sub-trees name: it is not
// preserved, usually.
func (r reading) lost() error {
	if _, err := r.Reserved(); err != nil {
		return err
	}
	return r.TestObjects(func(string, phys.Block) error { return nil })
}

// chooseList reads the handover as a list of large bitmaps, which newer kernels
// write, and as one of small ones. What the small ones say, the large ones say
// too, so the difference is what lies behind the first bytes of each bitmap:
// blocks that were handed over, or somebody else's memory.
func (h *Handover) chooseList(large, small, claim *Format) (*Handover, error) {
	asLarge, asSmall := h.as(large), h.without(luoName, small)
	if asSmall.err == nil {
		asSmall = h.as(small)
	}
	switch {
	case asLarge.err == nil && asSmall.err == nil:
		return h.chooseSound(asLarge, asSmall, claim)
	case asLarge.err == nil:
		return asLarge.unless(claim, asSmall)
	case asSmall.err != nil && claim == small:
		return nil, asSmall.err
	case asSmall.err != nil && claim == large:
		return nil, asLarge.err
	case asSmall.err != nil:
		var both phys.Errors
		both.Add(each(asLarge.err, func(e *phys.Error) { e.Found += fmt.Sprintf(" (read as %v)", large) }))
		both.Add(each(asSmall.err, func(e *phys.Error) { e.Found += fmt.Sprintf(" (read as %v)", small) }))
		return nil, both.Err()
	case claim == nil && h.oneBit(large, small):
		// One bit that flipped would make a list of small bitmaps of one of large ones.
		return nil, each(asLarge.err, func(e *phys.Error) {
			e.Found = fmt.Sprintf("%v, and with one bit changed %v: %s", small, large, e.Found)
			e.Hint, e.Err = "load with ferry load, which knows the running kernel, or say with ferry pack --from which release writes the handover", ErrAmbiguous
		})
	}
	return asSmall.unless(claim, asLarge)
}

// unless returns r, the reading that memory leaves, unless somebody claims the
// other one: nobody knows then whether memory is damaged or the claim is wrong,
// and neither is taken.
func (r reading) unless(claim *Format, other reading) (*Handover, error) {
	if claim != other.format {
		return r.Handover, nil
	}
	return nil, each(other.err, func(e *phys.Error) {
		e.Found = fmt.Sprintf("%v, and not %v as claimed: %s", r.format, claim, e.Found)
		e.Hint, e.Err = "memory is damaged, or another release of the kernel wrote it than ferry.from= or ferry pack --from says", ErrAmbiguous
	})
}

// chooseSound chooses between two readings that are both sound.
func (h *Handover) chooseSound(large, small reading, claim *Format) (*Handover, error) {
	empty, behind, err := h.tails(large.format, small.format)
	switch {
	case err != nil:
		return nil, err
	case behind == nil: // both say the same
		r := large
		if claim == small.format {
			r = small
		}
		r.alike = []*Format{large.format, small.format}
		return r.Handover, nil
	case small.lost() != nil && large.lost() == nil:
		small.err = small.lost()
		return large.unless(claim, small)
	case len(empty) > 1 || len(empty) == 1 && claim == large.format: // a single one could be what a flipped bit left
		e := empty[0]
		small.err = &phys.Error{Object: "preserved-memory map: " + e.object(), Addr: e.at,
			Found: fmt.Sprintf("bitmap %s, its first %d bytes empty", e.bitmap, small.format.index.(list).bitmap),
			Want:  "a bit: these kernels make a bitmap for a block, and take back none", Err: ErrMap}
		return large.unless(claim, small)
	}
	return nil, &phys.Error{Object: "preserved-memory map: " + behind.object(), Addr: behind.at,
		Found: fmt.Sprintf("bitmap %s, which is sound as %v and as %v and does not say the same", behind.bitmap, large.format, small.format),
		Want:  "one of them to be unsound", Hint: "nothing in memory tells which it is: make the handover again, and load again", Err: ErrAmbiguous}
}

// tails looks at what lies in large bitmaps behind small ones. It returns the
// elements that have bits only there, and the first that has any, nil for none.
func (h *Handover) tails(large, small *Format) (empty []element, behind *element, err error) {
	all, size := h.elements(small), small.index.(list).bitmap
	for i, e := range all {
		b, err := h.mem.View(e.bitmap, large.index.(list).bitmap)
		if err != nil {
			return nil, nil, err
		}
		if len(bytes.Trim(b[size:], "\x00")) == 0 {
			continue
		}
		if behind == nil {
			behind = &all[i]
		}
		if len(bytes.Trim(b[:size], "\x00")) == 0 {
			empty = append(empty, e)
		}
	}
	return empty, behind, nil
}

// oneBit reports whether a list of small bitmaps could be one of large ones in
// which one bit flipped: the starts of those, and of the memory that they describe,
// are multiples of their own sizes. The order of a chunk is a bit of all of its
// starts. It could not be if the device tree's own page is found by the address in
// question, and would not be by the other one.
func (h *Handover) oneBit(large, small *Format) bool {
	l, s, n := large.index.(list), small.index.(list), 0
	var chunk phys.Addr // last one of which a start counts
	for _, e := range h.elements(small) {
		start, bitmap := e.start&^phys.Addr(l.reach(e.order)-1), e.bitmap&^phys.Addr(l.bitmap-1)
		if start == e.start && bitmap == e.bitmap {
			continue
		}
		n += bits.OnesCount64(uint64(e.bitmap ^ bitmap))
		if start != e.start && chunk != e.at.Page() {
			n, chunk = n+1, e.at.Page()
		}
		if n > 1 {
			return false
		}
		if e.order != 0 || uint64(h.data.FDT-e.start) >= s.reach(0) {
			continue
		}
		bit := (h.data.FDT - start).PFN()
		if b, err := h.mem.View(bitmap+phys.Addr(bit/8), 1); err != nil || b[0]>>(bit%8)&1 == 0 {
			return false
		}
	}
	return true
}

// elements returns the elements of the list of a sound reading as f.
func (h *Handover) elements(f *Format) []element {
	_, all, _ := f.index.(list).scan(h.mem, h.preserved.root, h.rules)
	return all
}

// each returns err with a changed copy of each error in it.
func each(err error, change func(*phys.Error)) error {
	var all phys.Errors
	list := []error{err}
	if many, ok := errors.AsType[*phys.Errors](err); ok {
		list = many.All()
	}
	for _, err := range list {
		if e, ok := errors.AsType[*phys.Error](err); ok {
			c := *e
			change(&c)
			err = &c
		}
		all.Add(err)
	}
	return all.Err()
}

package blockset

import (
	"fmt"

	"ferry/phys"
)

// Restore proves every block of the chain at head and returns it as a set that
// can be read, shrunk and destroyed but not written: the incoming handover stays
// as it came. Head 0 is the empty chain. pages is where retired blocks are
// reported to; it may be nil for a chain that is only read.
//
// The error is a [*phys.Error] whose object is the block and its index.
func Restore(c *Checker, l Layout, head phys.Addr, pages Pages) (*Set, error) {
	s := &Set{layout: l, pages: pages, incoming: true}
	var err error
	if s.blocks, err = c.AppendChain(nil, "block", l, head); err != nil {
		return nil, err
	}
	for _, b := range s.blocks {
		s.lens = append(s.lens, b.Len())
	}
	return s, nil
}

// AppendChain proves the blocks of the chain at head and appends them to dst,
// for those who read many chains and keep none as a [Set]. object is what an
// error calls a block, before its index.
func (c *Checker) AppendChain(dst []Block, object string, l Layout, head phys.Addr) ([]Block, error) {
	start, limit := len(dst), uint64(l.Capacity())
	for a := head; a != 0; {
		n := len(dst) - start
		page, e := c.page(a)
		if e != nil {
			return dst, chainFault(e, object, dst[start:])
		}
		if n == MaxBlocks {
			e = fault(a, fmt.Sprintf("chain goes on after %d blocks", MaxBlocks), "its end", ErrLimit)
			return dst, chainFault(e, object, dst[start:])
		}
		b := Block{a, page}
		if count := b.count(); count-1 >= limit {
			e = fault(a, fmt.Sprintf("count %d", count), fmt.Sprintf("1..%d", limit), ErrCount)
			return dst, chainFault(e, object, dst[start:])
		}
		dst = append(dst, b)
		a = b.Next()
	}
	return dst, nil
}

// chainFault names the block at which e occurred, the one after those in chain,
// and says where its address came from.
func chainFault(e *phys.Error, object string, chain []Block) *phys.Error {
	n := len(chain)
	e.Object = fmt.Sprintf("%s %d", object, n)
	if e.Err == ErrCount {
		return e
	}
	for i, b := range chain {
		if b.Addr == e.Addr {
			e.Found, e.Want, e.Err = fmt.Sprintf("is block %d of the same chain", i), "a chain that ends", ErrCycle
		}
	}
	if n > 0 {
		e.Hint = fmt.Sprintf("next pointer of %s %d at %v", object, n-1, chain[n-1].Addr)
	}
	return e
}

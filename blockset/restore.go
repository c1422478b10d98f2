package blockset

import (
	"errors"
	"fmt"

	"ferry/own"
	"ferry/phys"
)

// Restore claims every block of the chain at head from the ledger and returns it as a
// set that can be read, shrunk and destroyed but not written: the incoming handover
// stays as it is. Head 0 is the empty chain. Retired blocks are reported to pages; it
// may be nil for a chain that is only read.
//
// The error is a [*phys.Error] whose object is the block and its index.
func Restore(ledger *own.Ledger, l Layout, head phys.Addr, pages Pages) (*Set, error) {
	s := &Set{layout: l, pages: pages, incoming: true}
	var err error
	if s.blocks, err = AppendChain(nil, ledger, "block", l, head); err != nil {
		return nil, err
	}
	for _, b := range s.blocks {
		s.lens = append(s.lens, b.Len())
	}
	return s, nil
}

// AppendChain claims the blocks of the chain at head from the ledger and appends them
// to dst, for those who read many chains and keep none as a [Set]. Their owner is the
// chain, known by its head. object is what an error calls a block, before its index.
func AppendChain(dst []Block, ledger *own.Ledger, object string, l Layout, head phys.Addr) ([]Block, error) {
	start, limit := len(dst), uint64(l.Capacity())
	chain := ledger.As(object, head)
	for a := head; a != 0; {
		n := len(dst) - start
		page, err := chain.Page(object, a)
		if err != nil {
			return dst, chainFault(err, object, dst[start:])
		}
		if n == MaxBlocks {
			err = &phys.Error{Addr: a, Found: fmt.Sprintf("chain goes on after %d blocks", MaxBlocks), Want: "its end", Err: ErrLimit}
			return dst, chainFault(err, object, dst[start:])
		}
		b := Block{a, page.Bytes()}
		if count := b.count(); count-1 >= limit {
			err = &phys.Error{Addr: a, Found: fmt.Sprintf("count %d", count), Want: fmt.Sprintf("1..%d", limit), Err: ErrCount}
			return dst, chainFault(err, object, dst[start:])
		}
		dst = append(dst, b)
		a = b.Next()
	}
	return dst, nil
}

// chainFault names the block that err is about, the one after those in chain, and
// says where its address was read.
func chainFault(err error, object string, chain []Block) error {
	e, ok := errors.AsType[*phys.Error](err)
	if !ok {
		return err
	}
	n := len(chain)
	e.Object = fmt.Sprintf("%s %d", object, n)
	if e.Err == ErrCount {
		return e
	}
	for i, b := range chain {
		if b.addr == e.Addr {
			e.Found, e.Want, e.Err = fmt.Sprintf("is block %d of the same chain", i), "a chain that ends", ErrCycle
		}
	}
	if n > 0 {
		e.Hint = fmt.Sprintf("next pointer of %s %d at %v", object, n-1, chain[n-1].addr)
	}
	return e
}

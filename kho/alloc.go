package kho

import (
	"fmt"
	"math/bits"

	"ferry/phys"
)

// maxAlloc is the largest order that a draft hands out, as in Linux.
const maxAlloc = phys.Order(10)

// allocator hands out blocks of memory that belongs only to the draft: pieces
// that it fetches one after another, each split into blocks of smaller orders as
// they are needed.
type allocator struct {
	more   func() (phys.Range, error) // the next piece
	pieces phys.Ranges                // all of them so far
	free   [maxAlloc + 1][]phys.Addr  // blocks of each order that nobody has
}

// extend adds r to the set, which mostly goes on where it ended, in place.
func extend(s phys.Ranges, r phys.Range) phys.Ranges {
	if n := len(s); n > 0 && s[n-1].End == r.Start {
		s[n-1].End = r.End
		return s
	}
	return s.Add(r)
}

// take returns a free block of order o, without touching it.
func (a *allocator) take(o phys.Order) (phys.Addr, error) {
	if o > maxAlloc {
		return 0, &phys.Error{Object: "page allocator", Found: fmt.Sprintf("request for order %d", o),
			Want: fmt.Sprintf("at most %d", maxAlloc), Err: ErrNoMemory}
	}
	for {
		for n := o; n <= maxAlloc; n++ {
			if len(a.free[n]) > 0 {
				return a.split(n, o), nil
			}
		}
		piece, err := a.more()
		if err != nil {
			return 0, err
		}
		a.add(piece)
	}
}

// split takes a block of order n and gives back all of it but its first block of
// order o.
func (a *allocator) split(n, o phys.Order) phys.Addr {
	last := len(a.free[n]) - 1
	at := a.free[n][last]
	a.free[n] = a.free[n][:last]
	for n > o {
		n--
		a.free[n] = append(a.free[n], at+phys.Addr(n.Bytes()))
	}
	return at
}

// add enters the whole pages of a piece as blocks, as large as they can be.
func (a *allocator) add(piece phys.Range) {
	a.pieces = extend(a.pieces, piece)
	at, ok := phys.AlignUp(piece.Start, phys.PageSize)
	for end := piece.End.Page(); ok && at < end; {
		o := min(maxAlloc, phys.Order(bits.TrailingZeros64(uint64(at.PFN()))), phys.Order(bits.Len64(uint64(end.PFN()-at.PFN()))-1))
		a.free[o] = append(a.free[o], at)
		at += phys.Addr(o.Bytes())
	}
}

// Package blocktest gives tests of chains a page source and a set of preserved
// blocks that are as simple as can be. Nothing outside tests imports it.
package blocktest

import (
	"errors"
	"fmt"

	"ferry/phys"
)

// Errors that the fake reports.
var (
	ErrNoPages = errors.New("no page left")
	ErrUnknown = errors.New("retired a block that is not preserved")
)

// Pages hands out the pages of a range one after another and remembers which
// blocks are preserved. It satisfies blockset.Pages and blockset.Preserved.
type Pages struct {
	Mem    phys.Memory
	Free   phys.Range
	orders map[phys.Addr]phys.Order
}

// New returns a source of the pages of free, which must be RAM of mem.
func New(mem phys.Memory, free phys.Range) *Pages {
	return &Pages{Mem: mem, Free: free, orders: make(map[phys.Addr]phys.Order)}
}

// Alloc zeroes the next page, preserves it with order 0 and returns it.
func (p *Pages) Alloc() (phys.Addr, []byte, error) {
	if p.Free.Size() < phys.PageSize {
		return 0, nil, ErrNoPages
	}
	a := p.Free.Start
	page, err := p.Mem.Edit(a, phys.PageSize)
	if err != nil {
		return 0, nil, err
	}
	clear(page)
	p.Free.Start += phys.PageSize
	p.orders[a] = 0
	return a, page, nil
}

// AllocBlock zeroes the next free block of order o, preserves it and returns it.
// Pages that alignment skips are lost.
func (p *Pages) AllocBlock(o phys.Order) (phys.Addr, []byte, error) {
	a, ok := phys.AlignUp(p.Free.Start, o.Bytes())
	if !ok || a > p.Free.End || uint64(p.Free.End-a) < o.Bytes() {
		return 0, nil, ErrNoPages
	}
	b, err := p.Mem.Edit(a, o.Bytes())
	if err != nil {
		return 0, nil, err
	}
	clear(b)
	p.Free.Start = a + phys.Addr(o.Bytes())
	p.orders[a] = o
	return a, b, nil
}

// Head returns the preserved block that starts at a.
func (p *Pages) Head(a phys.Addr) (phys.Block, bool) {
	o, ok := p.orders[a]
	return phys.Block{Addr: a, Order: o}, ok
}

// Preserve enters a block.
func (p *Pages) Preserve(b phys.Block) error {
	p.orders[b.Addr] = b.Order
	return nil
}

// Retire removes a block, which must be there.
func (p *Pages) Retire(b phys.Block) error {
	if !p.Preserved(b) {
		return fmt.Errorf("%v: %w", b, ErrUnknown)
	}
	delete(p.orders, b.Addr)
	return nil
}

// Preserved reports whether exactly b is preserved.
func (p *Pages) Preserved(b phys.Block) bool {
	o, ok := p.orders[b.Addr]
	return ok && o == b.Order
}

// Len returns the number of preserved blocks.
func (p *Pages) Len() int { return len(p.orders) }

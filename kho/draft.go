package kho

import (
	"fmt"

	"ferry/own"
	"ferry/phys"
)

// Draft is the next handover in the making. It starts as a copy of the incoming
// one, or empty, and is changed by calls; nothing that belongs to the incoming
// handover is written, not even what the draft drops. [Draft.Commit] makes it
// real.
//
// A Draft that fails is given up: the pages it wrote are scratch and stay scratch.
type Draft struct {
	mem      phys.Memory
	format   *Format
	from     *Format // of the incoming handover, if that is another
	data     Data    // scratch of the result, device tree of the old one
	rules    *own.Rules
	old, now *Map
	alloc    allocator
	pool     *pool     // the source of the allocator's memory; nil for a first handover
	root     []carried // properties of the root node
	subtrees []Subtree

	ownLeaves uint64 // bit o: now.orders[o] is the draft's own slice
	newNodes  []phys.Addr
	stats     Stats
	done      bool
}

// Stats counts what a draft changed.
type Stats struct {
	Preserved uint64 // blocks added to the map, pages of Alloc among them
	Retired   uint64 // blocks taken out of the map
	Split     uint64 // blocks that are written in parts, being too large for the format
	Pages     uint64 // free pages taken for any purpose
	Nodes     int    // new pages of the map's own structure
	NodesKept int    // old ones that the new map shares; known after Commit
	TreeBytes int    // size of the new root device tree; known after Commit
}

// carried is a property of the incoming tree that the outgoing one repeats.
type carried struct {
	name  string
	value []byte
}

// Draft begins the handover that follows h, to be written as f; nil means
// the format of h. New pages are cut off scratch, of which occupied must stay as it
// is: the stage, what it was started with, and the kernels that are placed. A draft
// needs at least one free piece of 4 MiB, aligned to its size; the error of a call
// that finds none left wraps [ErrNoMemory].
func (h *Handover) Draft(f *Format, occupied phys.Ranges) (*Draft, error) {
	if f == nil {
		f = h.format
	}
	d := &Draft{mem: h.mem, format: f, data: h.data, old: h.preserved, now: h.preserved.clone(), rules: h.rules, pool: h.pool(occupied)}
	d.alloc.more = d.pool.next
	if h.format != f {
		d.from = h.format
	}
	for p := range h.tree.Root().Properties() {
		d.root = append(d.root, carried{string(p.Name), p.Value})
	}
	d.subtrees = append(d.subtrees, h.subtrees...)
	if err := d.split(); err != nil {
		return nil, phys.In("kho", h.data.FDT, err)
	}
	return d, nil
}

// clone returns a map that can be changed without changing m.
func (m *Map) clone() *Map {
	c := *m
	return &c
}

// Format returns the format that the draft will be written in.
func (d *Draft) Format() *Format { return d.format }

// Memory returns the memory that the draft is written in.
func (d *Draft) Memory() phys.Memory { return d.mem }

// Map returns what the draft preserves. Its members change with the draft; its
// root and nodes are those of the old handover until the commit, then those of
// the new one.
func (d *Draft) Map() *Map { return d.now }

// Stats returns what the draft has changed so far.
func (d *Draft) Stats() Stats { return d.stats }

// Alloc takes a free page, preserves it as a block of order 0, and returns it
// zeroed. The error wraps [ErrNoMemory] if there is none.
func (d *Draft) Alloc() (phys.Addr, []byte, error) { return d.AllocBlock(0) }

// Pool returns the pieces of scratch that new pages were taken from so far.
func (d *Draft) Pool() phys.Ranges { return d.alloc.pieces }

// Remembered returns what the next table of scratch areas remembers of the pieces
// of earlier crossings, and GivenBack what goes back to scratch of them.
func (d *Draft) Remembered() phys.Ranges { return d.pool.kept }

// GivenBack returns what goes back to scratch; see [Draft.Remembered].
func (d *Draft) GivenBack() phys.Ranges { return d.pool.back }

// AllocBlock takes a free block of order o, at most 10, preserves it, and
// returns it zeroed.
func (d *Draft) AllocBlock(o phys.Order) (phys.Addr, []byte, error) {
	a, b, err := d.take(o)
	if err == nil {
		err = d.insert(phys.Block{Addr: a, Order: o})
	}
	if err != nil {
		return 0, nil, err
	}
	return a, b, nil
}

// take returns a zeroed free block that is not preserved.
func (d *Draft) take(o phys.Order) (phys.Addr, []byte, error) {
	if d.done {
		return 0, nil, errDone(0)
	}
	a, err := d.alloc.take(o)
	if err != nil {
		return 0, nil, err
	}
	b, err := d.mem.Edit(a, o.Bytes())
	if err != nil {
		return 0, nil, phys.In("free page", a, err)
	}
	clear(b)
	d.stats.Pages += o.Pages()
	return a, b, nil
}

func errDone(a phys.Addr) error {
	return &phys.Error{Object: "draft of a handover", Addr: a, Found: "a change after the commit", Want: "a new draft", Err: ErrMap}
}

// Preserve adds b, memory that the caller owns, to the map. It must be RAM
// outside scratch, naturally aligned, and overlap neither a member nor a page of
// the old or the new map's structure. A block too large for the format becomes
// several members, which [Draft.Retire] takes out together.
func (d *Draft) Preserve(b phys.Block) error {
	bad := func(rule error, found, want string) error {
		return &phys.Error{Object: "block", Addr: b.Addr, Found: found, Want: want, Err: rule}
	}
	if d.done {
		return errDone(b.Addr)
	}
	if b.Order > maxOrder || !b.Addr.Aligned(b.Order.Bytes()) {
		return bad(ErrMap, fmt.Sprintf("order %d", b.Order), fmt.Sprintf("at most order %d, naturally aligned", maxOrder))
	}
	if err := d.rules.Check("block", b); err != nil {
		return err
	}
	r := b.Range()
	if piece, hit := d.alloc.pieces.Overlaps(r); hit {
		return bad(ErrOverlap, fmt.Sprintf("order %d in %v, the source of new pages", b.Order, piece), "memory of the caller's own")
	}
	if other, hit := d.now.Overlaps(r); hit {
		return bad(ErrOverlap, fmt.Sprintf("order %d overlaps the block of order %d at %s", b.Order, other.Order, other.Addr), "memory not preserved yet")
	}
	if d.old.hasNode(r) || d.ownNode(r) {
		return bad(ErrOverlap, fmt.Sprintf("order %d holds a node of the map", b.Order), "memory that the map does not use")
	}
	return d.insert(b)
}

// Retire takes b out of the map, which must have it with exactly this order. Its
// memory stays as it is, and is not used again before the next kernel runs.
func (d *Draft) Retire(b phys.Block) error {
	if d.done {
		return errDone(b.Addr)
	}
	if !d.member(b) {
		return own.NotPreserved("block to retire", b)
	}
	if err := d.mark(b, false); err != nil {
		return err
	}
	d.stats.Retired++
	return nil
}

package blockset

import (
	"fmt"

	"ferry/phys"
)

// Pages is where a set takes its pages from and gives them back to. kho.Draft
// is one.
type Pages interface {
	// Alloc returns a zeroed page that the outgoing handover preserves with
	// order 0.
	Alloc() (phys.Addr, []byte, error)
	// Retire takes a block out of the outgoing handover. Its memory stays as it
	// is.
	Retire(phys.Block) error
}

// Set is one chain: its blocks in order. The zero value is not usable; see [New]
// and [Restore]. A set is not safe for concurrent use.
//
// It offers what the kernel's struct kho_block_set does. One restored from a
// handover is incoming: its memory is never written, so that Grow and Clear
// refuse, and Shrink and Destroy take its blocks out of the outgoing handover
// without unlinking them.
type Set struct {
	layout   Layout
	pages    Pages
	blocks   []Block
	lens     []int // counts of an incoming set's blocks as they were proved
	fill     int   // blocks before this one are full, as far as Append has seen
	incoming bool
}

// New returns an empty set of records of layout l whose blocks come from pages.
func New(l Layout, pages Pages) *Set { return &Set{layout: l, pages: pages} }

// Init makes s an empty outgoing set again without touching the blocks it had,
// for writing many chains with one Set.
func (s *Set) Init() {
	clear(s.blocks)
	s.blocks, s.lens, s.fill, s.incoming = s.blocks[:0], nil, 0, false
}

// Head returns the address of the first block, 0 if there is none.
func (s *Set) Head() phys.Addr {
	if len(s.blocks) == 0 {
		return 0
	}
	return s.blocks[0].addr
}

// Empty reports whether s has no block.
func (s *Set) Empty() bool { return len(s.blocks) == 0 }

// Blocks returns the chain. The caller must not change it; it is valid until s
// changes.
func (s *Set) Blocks() []Block { return s.blocks }

// Len returns the number of records in s.
func (s *Set) Len() (n int) {
	for i := range s.blocks {
		n += s.len(i)
	}
	return n
}

// len returns the number of records in block i. An incoming block's count is the
// one that was proved, whatever its memory holds now.
func (s *Set) len(i int) int {
	if s.incoming {
		return s.lens[i]
	}
	return s.blocks[i].Len()
}

// Grow adds empty blocks until s has room for n records in all
// (kho_block_set_grow). If that fails, s is as it was. Readers refuse an empty
// block: fill them all, or Shrink s to its length, before it is handed over.
func (s *Set) Grow(n int) error {
	if s.incoming {
		return fmt.Errorf("blockset: growing: %w", ErrIncoming)
	}
	if n > 0 && s.layout.Capacity() == 0 {
		return badSize(int(s.layout))
	}
	if n > s.layout.Max() {
		return fmt.Errorf("blockset: %d records of %d bytes, want at most %d: %w", n, s.layout, s.layout.Max(), ErrLimit)
	}
	for had := len(s.blocks); len(s.blocks) < s.layout.Blocks(n); {
		if err := s.add(); err != nil {
			for len(s.blocks) > had {
				if undo := s.drop(); undo != nil {
					return fmt.Errorf("%w (and undoing it: %w)", err, undo)
				}
			}
			return err
		}
	}
	return nil
}

// Shrink takes blocks off the end while those before it have room for n records
// (kho_block_set_shrink). Records beyond the remaining blocks are lost.
//
// Room is counted in full blocks, as the kernel counts it. The blocks of an
// incoming set need not be full; there a block stays while the ones before it
// hold fewer than n records.
func (s *Set) Shrink(n int) error {
	for len(s.blocks) > 0 && n <= s.room(len(s.blocks)-1) {
		if err := s.drop(); err != nil {
			return err
		}
	}
	return nil
}

// room returns how many records the first n blocks account for.
func (s *Set) room(n int) (room int) {
	if !s.incoming {
		return n * s.layout.Capacity()
	}
	for _, l := range s.lens[:n] {
		room += l
	}
	return room
}

// Clear empties every block and keeps them all (kho_block_set_clear).
func (s *Set) Clear() error {
	if s.incoming {
		return fmt.Errorf("blockset: clearing: %w", ErrIncoming)
	}
	s.fill = 0
	for _, b := range s.blocks {
		b.setCount(0)
		clear(b.page[HeaderSize:])
	}
	return nil
}

// Destroy takes every block out of the outgoing handover and leaves s empty
// (kho_block_set_destroy).
func (s *Set) Destroy() error {
	for len(s.blocks) > 0 {
		if err := s.drop(); err != nil {
			return err
		}
	}
	return nil
}

// Append copies records, whole ones, into the first block with room and those
// behind it, and adds blocks as they fill up.
func (s *Set) Append(records []byte) error {
	if s.incoming {
		return fmt.Errorf("blockset: appending: %w", ErrIncoming)
	}
	size, room := int(s.layout), s.layout.Capacity()
	if room == 0 {
		return badSize(size)
	}
	if part := len(records) % size; part != 0 {
		return fmt.Errorf("blockset: appending %d bytes, the last %d of them a part of a record, want a multiple of %d: %w", len(records), part, size, ErrEntrySize)
	}
	for len(records) > 0 {
		for s.fill < len(s.blocks) && s.blocks[s.fill].Len() == room {
			s.fill++
		}
		if s.fill == len(s.blocks) {
			if err := s.add(); err != nil {
				return err
			}
		}
		b := s.blocks[s.fill]
		have := b.Len()
		n := min(room-have, len(records)/size)
		copy(b.page[HeaderSize+have*size:], records[:n*size])
		b.setCount(have + n)
		records = records[n*size:]
	}
	return nil
}

// add links one more block behind the last.
func (s *Set) add() error {
	n := len(s.blocks)
	if n == MaxBlocks {
		return fmt.Errorf("blockset: block %d of a chain, want at most %d: %w", n+1, MaxBlocks, ErrLimit)
	}
	a, page, err := s.pages.Alloc()
	if err != nil {
		return fmt.Errorf("blockset: page for block %d: %w", n, err)
	}
	if n > 0 {
		s.blocks[n-1].setNext(a)
	}
	s.blocks = append(s.blocks, Block{a, page})
	return nil
}

// drop retires the last block and unlinks it.
func (s *Set) drop() error {
	n := len(s.blocks) - 1
	if s.pages == nil {
		return fmt.Errorf("blockset: retiring block %d: %w", n, ErrIncoming)
	}
	if err := s.pages.Retire(phys.Block{Addr: s.blocks[n].addr}); err != nil {
		return fmt.Errorf("blockset: retiring block %d at %v: %w", n, s.blocks[n].addr, err)
	}
	s.blocks, s.fill = s.blocks[:n], min(s.fill, n)
	if s.incoming {
		s.lens = s.lens[:n]
	} else if n > 0 {
		s.blocks[n-1].setNext(0)
	}
	return nil
}

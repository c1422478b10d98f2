package blockset

// Iter is a place between two records of a set. It is a value: a copy moves on its
// own. An iterator is lost when blocks at or before its place
// are dropped.
type Iter struct {
	set   *Set
	block int // index of its block
	i     int // records of that block before it
}

// Iter returns an iterator before the first record (kho_block_set_it_init).
func (s *Set) Iter() Iter { return Iter{set: s} }

// Next returns the record after the iterator and steps over it, nil behind the
// last one (kho_block_set_it_read_entry). Each block's own count says how many
// records it holds.
func (it *Iter) Next() []byte {
	for it.block < len(it.set.blocks) {
		if it.i < it.set.len(it.block) {
			it.i++
			return it.set.blocks[it.block].entry(it.set.layout, it.i-1)
		}
		if it.block == len(it.set.blocks)-1 {
			break
		}
		it.block, it.i = it.block+1, 0
	}
	return nil
}

// Reserve returns the next slot for writing, counts it as a record and steps
// over it (kho_block_set_it_reserve_entry). It goes on to the next block only
// when this one is full, and returns nil if the set is full or incoming; see
// [Set.Grow]. Records behind the slot in its block no longer count.
func (it *Iter) Reserve() []byte {
	s := it.set
	if s.incoming || it.block >= len(s.blocks) {
		return nil
	}
	if it.i == s.layout.Capacity() {
		if it.block == len(s.blocks)-1 {
			return nil
		}
		it.block, it.i = it.block+1, 0
	}
	b := s.blocks[it.block]
	it.i++
	b.setCount(it.i)
	return b.entry(s.layout, it.i-1)
}

// Prev steps back over the record before the iterator and returns it, nil before
// the first (kho_block_set_it_prev). The kernel steps to the last slot of the
// block before, which is a record only if that block is full; this steps to
// its last record.
func (it *Iter) Prev() []byte {
	for it.i == 0 {
		if it.block == 0 {
			return nil
		}
		it.block--
		it.i = it.set.len(it.block)
	}
	it.i--
	return it.set.blocks[it.block].entry(it.set.layout, it.i)
}

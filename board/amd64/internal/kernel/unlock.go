package kernel

// Unlock makes the physical pages of [start, end) writable in the direct map. It
// reports false if the stage's memory does not suffice for the tables.
func Unlock(start, end uint64) bool { return writable(start, end) || unlockPages(start, end) }

// writable reports whether the physical pages are writable in the direct map
// already.
func writable(start, end uint64) bool {
	for a := start; a < end; a += PageSize {
		if mach.tables.leaf(DirectMap+a)&PTEWrite == 0 {
			return false
		}
	}
	return true
}

// unlockPages calls unlock on the kernel stack.
func unlockPages(start, end uint64) bool

// unlock makes the physical pages of [start, end) writable in the direct map,
// splitting larger pages at its borders. It runs on the kernel stack with
// interrupts off.
func unlock(start, end uint64) bool {
	m := mach
	for start < end {
		a, level := m.tables.find(DirectMap + start)
		if a == 0 {
			return false
		}
		size, e := levelSize(level), word(a)
		switch {
		case *e&PTEWrite != 0:
		case level == level4K, start&(size-1) == 0 && end-start >= size:
			*e |= PTEWrite
		default:
			if !m.tables.split(e, level) {
				return false
			}
			continue
		}
		start = start&^(size-1) + size
	}
	FlushAll()
	return true
}

// find returns the address and level of the entry that maps va, 0 if nothing
// does.
func (t *tables) find(va uint64) (a, level uint64) {
	for level = level4K; level <= level1G; level++ {
		a = t.entry(va, level, false)
		if a > covered && *word(a)&PTEPresent != 0 && (level == level4K || *word(a)&pteLarge != 0) {
			return a, level
		}
	}
	return 0, 0
}

// split replaces a large page by a table of the level below with the same rights.
func (t *tables) split(e *uint64, level uint64) bool {
	table := t.frames.take()
	if table == 0 {
		return false
	}
	step, flags := levelSize(level-1), *e&^pteAddress
	if level-1 == level4K {
		flags &^= pteLarge
	}
	for i := uint64(0); i < 512; i++ {
		*word(table + t.frames.base + i*8) = *e&pteAddress + i*step | flags
	}
	*e = table | PTEPresent | PTEWrite
	return true
}

package kernel

// Page table entries, Intel SDM volume 3, 4.5. Flags are the entry's bits;
// addresses are physical unless named va.
const (
	PTEPresent   = 1 << 0
	PTEWrite     = 1 << 1
	pteNoCache   = 1<<3 | 1<<4
	pteDirty     = 1 << 6
	pteLarge     = 1 << 7
	pteNoExecute = 1 << 63
	pteAddress   = 0x000f_ffff_ffff_f000
)

// tables are the board's page tables, and what they are made of.
type tables struct {
	root      uint64 // physical address of the highest table
	entryRoot uint64 // page tables of the way in, see gate.go
	noExecute uint64 // PTE bit 63 if the processor has it
	gigabyte  uint64 // not 0: 1 GiB pages
	levels    uint64 // 4 or 5

	frames      frames
	entryFrames uint64 // physical: the first page of the tables of the way in
}

// Levels at which an entry maps memory.
const (
	level4K = 1
	level2M = 2
	level1G = 3
)

// levelSize returns the bytes that an entry of the level spans.
func levelSize(level uint64) uint64 { return PageSize << (9 * (level - 1)) }

// slot returns the index of va in a table of the level.
func slot(va, level uint64) uint64 { return va >> (12 + 9*(level-1)) & 511 }

// Entry returns the address of the page table entry for the 4 KiB page at va, 0
// if there is no table or a larger page, and no memory to make one.
func Entry(va uint64, create bool) *uint64 {
	a := mach.tables.entry(va, level4K, create)
	if a <= covered {
		return nil
	}
	return word(a)
}

// Leaf returns the entry that maps va in pages of whatever size, 0 if nothing
// does.
func Leaf(va uint64) uint64 { return mach.tables.leaf(va) }

func (t *tables) leaf(va uint64) uint64 {
	for level := uint64(level4K); level <= level1G; level++ {
		if a := t.entry(va, level, false); a > covered {
			e := *word(a)
			if e&PTEPresent == 0 || level > level4K && e&pteLarge == 0 {
				return 0
			}
			return e
		}
	}
	return 0
}

// covered is what entry returns for memory that a larger page maps.
const covered = 1

// entry returns the virtual address of the entry for va in the table of the
// level, 0 if the tables above end before, or covered. create adds tables.
func (t *tables) entry(va, level uint64, create bool) uint64 {
	table := t.root
	for l := t.levels; l > level; l-- {
		e := word(table + t.frames.base + slot(va, l)*8)
		switch {
		case *e&pteLarge != 0 && l <= level1G:
			return covered
		case *e == 0:
			if !create {
				return 0
			}
			pa := t.frames.take()
			if pa == 0 {
				return 0
			}
			*e = pa | PTEPresent | PTEWrite
		}
		table = *e & pteAddress
	}
	return table + t.frames.base + slot(va, level)*8
}

// span maps [va, va+size) to pa in pages of the level. Pages that are mapped
// already stay as they are.
func (t *tables) span(va, pa, size, flags, level uint64) bool {
	step := levelSize(level)
	if level > level4K {
		flags |= pteLarge
	}
	for size > 0 {
		a := t.entry(va, level, true)
		if a == 0 {
			return false
		}
		for {
			if a > covered && *word(a) == 0 {
				*word(a) = pa | flags
			}
			va += step
			pa += step
			if size -= step; size == 0 || slot(va, level) == 0 {
				break
			}
			if a > covered {
				a += 8
			}
		}
	}
	return true
}

// DirectEnd is where the direct map ends, as a physical address: the board's own
// memory follows. RAM beyond it is not used.
const DirectEnd = machineBase - DirectMap

// direct maps the physical range into the direct map, read-only.
func (t *tables) direct(start, end uint64) bool {
	return t.linear(DirectMap, start, min((end+PageSize-1)&^(PageSize-1), DirectEnd), 0)
}

// linear maps the physical range, of whole pages after rounding, at its address plus
// offset, writable or not: with the largest pages that are wholly inside it, so that
// nothing but memory is ever cached.
func (t *tables) linear(offset, start, end, write uint64) bool {
	start &^= PageSize - 1
	flags := PTEPresent | write | t.noExecute
	for start < end {
		level := uint64(level4K)
		for level < level1G && start&(levelSize(level+1)-1) == 0 && end-start >= levelSize(level+1) {
			if level == level2M && t.gigabyte == 0 {
				break
			}
			level++
		}
		// As far as pages of this size go: to the next border of the size above,
		// or to the end.
		above := levelSize(level + 1)
		stop := (start + above) &^ (above - 1)
		if level == level1G || level == level2M && t.gigabyte == 0 {
			stop = end
		}
		if stop > end {
			stop = end
		}
		stop = start + (stop-start)&^(levelSize(level)-1)
		if !t.linearSpan(offset, start, stop, flags, level) {
			return false
		}
		start = stop
	}
	return true
}

// linearSpan maps one run of pages of the level; if smaller pages are there
// already, it fills what is missing between them.
func (t *tables) linearSpan(offset, start, end, flags, level uint64) bool {
	step, large := levelSize(level), uint64(0)
	if level > level4K {
		large = pteLarge
	}
	for start < end {
		a := t.entry(offset+start, level, true)
		if a == 0 {
			return false
		}
		if a == covered {
			start += step
			continue
		}
		for {
			if e := word(a); *e == 0 {
				*e = start | flags | large
			} else if large != 0 && *e&pteLarge == 0 && !t.linearSpan(offset, start, start+step, flags, level-1) {
				return false
			}
			a += 8
			if start += step; start >= end || slot(offset+start, level) == 0 {
				break
			}
		}
	}
	return true
}

// MapKernel makes n zeroed pages of kernel memory at kernelBase + offset. It
// reports false if the stage's memory does not suffice.
func MapKernel(offset, n uint64) (va uint64, ok bool) {
	va = kernelBase + offset
	for i := uint64(0); i < n; i++ {
		pa := mach.tables.frames.take()
		if pa == 0 || !mach.tables.span(va+i*PageSize, pa, PageSize, PTEPresent|PTEWrite|mach.tables.noExecute, level4K) {
			return 0, false
		}
	}
	return va, true
}

// MapPage maps the page at pa to be read and written at va, where nothing is
// mapped. It reports false if the stage's memory does not suffice for the
// tables.
func MapPage(va, pa uint64) bool {
	enabled := disableInterrupts()
	ok := mach.tables.span(va, pa, PageSize, PTEPresent|PTEWrite|mach.tables.noExecute, level4K)
	if enabled {
		enableInterrupts()
	}
	return ok
}

// UnmapPage takes the 4 KiB page at va away and returns its physical address, 0 if none
// is mapped.
func UnmapPage(va uint64) (pa uint64) {
	e := mach.tables.entry(va, level4K, false)
	if e <= covered || *word(e) == 0 {
		return 0
	}
	pa = *word(e) & pteAddress
	*word(e) = 0
	invlpg(va)
	return pa
}

// NoExecute returns the entry bit that forbids execution, 0 on a processor
// without it.
func NoExecute() uint64 { return mach.tables.noExecute }

// Flush drops what the processor remembers of the page at va.
func Flush(va uint64) { invlpg(va) }

// FlushAll drops what the processor remembers of all pages.
func FlushAll() { writeCR3(readCR3()) }

package amd64

import "ferry/phys"

// Physical is the machine's RAM, [phys.Memory] on metal. All of it is mapped
// read-only, but for the pages that Edit was asked for: a store anywhere else
// faults.
type Physical struct {
	direct *phys.Direct
	ram    phys.Ranges
	stage  phys.Range

	confined bool
	writable phys.Ranges // if confined: what alone may be edited
}

// Memory returns all of [RAM].
func Memory() *Physical {
	ram := RAM()
	return &Physical{direct: phys.NewDirect(DirectMap, ram), ram: ram, stage: Boot().Stage}
}

// Confine lets Edit serve memory inside areas alone from now on, and of those of an
// earlier call what lies in both. All other pages stay read-only to this code, and
// there is no way back.
func (p *Physical) Confine(areas phys.Ranges) {
	if areas = areas.Add(); p.confined {
		areas = p.writable.Sub(p.writable.Sub(areas...)...)
	}
	p.confined, p.writable = true, areas
}

// View implements [phys.Memory].
func (p *Physical) View(a phys.Addr, n uint64) ([]byte, error) { return p.direct.View(a, n) }

// Edit implements [phys.Memory]. The pages stay writable from then on. The stage's
// own memory is refused with [phys.ErrReadOnly].
func (p *Physical) Edit(a phys.Addr, n uint64) ([]byte, error) {
	b, err := p.direct.View(a, n)
	if err != nil || n == 0 {
		return b, err
	}
	r := phys.Range{Start: a, End: a + phys.Addr(n)}
	if p.confined {
		if err := phys.CheckWritable(p.writable, a, n); err != nil {
			return nil, err
		}
	}
	if r.Overlaps(p.stage) {
		return nil, &phys.Error{Object: "memory", Addr: a, Found: "the stage's own memory " + p.stage.String(),
			Want: "an address outside", Err: phys.ErrReadOnly}
	}
	start, end := uint64(a.Page()), (uint64(r.End)+PageSize-1)&^(PageSize-1)
	if !writable(start, end) && !unlockPages(start, end) {
		return nil, &phys.Error{Object: "memory", Addr: a, Found: "no page left of the stage's memory to make it writable",
			Hint: "link the image with a larger init_size", Err: phys.ErrReadOnly}
	}
	return b, nil
}

// RAM implements [phys.Memory].
func (p *Physical) RAM() phys.Ranges { return p.ram }

// writable reports whether the physical pages are writable in the direct map
// already.
func writable(start, end uint64) bool {
	for a := start; a < end; a += PageSize {
		if mach.leaf(DirectMap+a)&PTEWrite == 0 {
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
		a, level := m.find(DirectMap + start)
		if a == 0 {
			return false
		}
		size, e := levelSize(level), word(a)
		switch {
		case *e&PTEWrite != 0:
		case level == level4K, start&(size-1) == 0 && end-start >= size:
			*e |= PTEWrite
		default:
			if !m.split(e, level) {
				return false
			}
			continue
		}
		start = start&^(size-1) + size
	}
	FlushAll()
	return true
}

// find returns the address and level of the entry that maps va, 0 where nothing
// does.
func (m *machine) find(va uint64) (a, level uint64) {
	for level = level4K; level <= level1G; level++ {
		a = m.entry(va, level, false)
		if a > covered && *word(a)&PTEPresent != 0 && (level == level4K || *word(a)&pteLarge != 0) {
			return a, level
		}
	}
	return 0, 0
}

// split replaces a large page by a table of the level below with the same rights.
func (m *machine) split(e *uint64, level uint64) bool {
	table := m.frame()
	if table == 0 {
		return false
	}
	step, flags := levelSize(level-1), *e&^pteAddress
	if level-1 == level4K {
		flags &^= pteLarge
	}
	for i := uint64(0); i < 512; i++ {
		*word(table + m.frameBase + i*8) = *e&pteAddress + i*step | flags
	}
	*e = table | PTEPresent | PTEWrite
	return true
}

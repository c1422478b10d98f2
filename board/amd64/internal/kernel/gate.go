package kernel

// The image's virtual addresses may be the physical ones of other memory, which
// an identity mapping shows there. Code that switches between the loader's tables
// or the next kernel's and the board's own goes through a gate: pages of text at
// a separate place, mapped in both tables, and only for as long as it takes.

// gatePages covers a function shorter than a page.
const gatePages = 2

// openGate maps the code that starts in the page of the physical address pa at
// the gate.
func (t *tables) openGate(pa uint64) bool {
	return t.span(gateBase, pa&^(PageSize-1), gatePages*PageSize, PTEPresent, level4K)
}

// closeGate takes the mapping away again.
func (t *tables) closeGate() {
	for i := uint64(0); i < gatePages; i++ {
		if e := t.entry(gateBase+i*PageSize, level4K, false); e > covered {
			*word(e) = 0
		}
		invlpg(gateBase + i*PageSize)
	}
}

// mapEnter opens the gate for the way in, and builds the tables for its first
// step: the upper half of the board's own, and the code that switches where it
// runs now.
func (t *tables) mapEnter() bool {
	if !t.openGate(addressOfThrough()) {
		return false
	}
	own := t.root
	t.entryFrames = t.frames.next
	if t.root = t.frames.take(); t.root == 0 {
		return false
	}
	for i := uint64(256 * 8); i < PageSize; i += 8 {
		*word(t.root + i) = *word(own + i)
	}
	a := addressOfEnter() &^ (PageSize - 1)
	ok := t.span(a, a, gatePages*PageSize, PTEPresent, level4K)
	t.entryRoot, t.root = t.root, own
	return ok
}

// unmapEnter closes the gate and frees the tables of the first step, which were
// the last pages that were taken from the rest.
func (t *tables) unmapEnter() {
	t.closeGate()
	for pa := t.entryFrames; pa < t.frames.next; pa += PageSize {
		t.frames.give(pa)
	}
}

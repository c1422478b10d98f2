package kho

import (
	"fmt"
	"math/bits"
	"slices"

	"ferry/phys"
)

// Where new pages come from. Free memory is found by window, the 128 MiB of one
// leaf of order 0: a bitmap of what is free there is made when the first page of
// the window is asked for. So the cost follows the pages that are handed out,
// and not what is preserved.
//
// Linux 7.3 gives every 1 GiB block that holds neither a preserved page nor a
// node of the map to its early allocator, so new pages go where such pages are
// already: first the windows of the device tree and of the map's nodes, then
// their 1 GiB blocks, then other busy blocks, then any memory. Within a window
// they go from the top down, away from the image of the old kernel, in whose
// text its other processors may still stand.
const (
	windowShift = leafShift + phys.PageShift
	gibShift    = 30
	maxAlloc    = phys.Order(10) // largest order handed out, as in Linux
)

// window is the free memory of 128 MiB, one bit a page.
type window struct {
	free [leafWords]uint64
	end  [maxAlloc + 1]int // for each order, the word below which blocks may be free
}

// allocator hands out memory that no one uses: RAM outside scratch, not to be
// avoided, in neither the old handover nor the new one.
type allocator struct {
	usable phys.Ranges
	old    *Map
	now    *Map // what the draft preserves, kept apart by take and claim

	pending phys.Range // claimed last, perhaps not in now yet
	windows map[uint64]*window
	queue   []uint64 // numbers of windows, in the order of preference
	queued  map[uint64]bool
	phase   int
	cursor  [maxAlloc + 1]int // position in queue of the window that may have room
}

func newAllocator(usable phys.Ranges, old, now *Map, first phys.Addr) *allocator {
	a := &allocator{usable: usable, old: old, now: now,
		windows: make(map[uint64]*window), queued: make(map[uint64]bool)}
	if first != 0 {
		a.enqueue(number(first, leafShift))
	}
	return a
}

// take returns a free block of order o and marks it used, without touching it.
func (a *allocator) take(o phys.Order) (phys.Addr, error) {
	if o > maxAlloc {
		return 0, &phys.Error{Object: "page allocator", Found: fmt.Sprintf("request for order %d", o),
			Want: fmt.Sprintf("at most %d", maxAlloc), Err: ErrNoMemory}
	}
	for {
		for ; a.cursor[o] < len(a.queue); a.cursor[o]++ {
			n := a.queue[a.cursor[o]]
			if page, ok := a.window(n).take(o); ok {
				return phys.Addr(n<<windowShift + uint64(page)<<phys.PageShift), nil
			}
		}
		if !a.refill() {
			return 0, &phys.Error{Object: "page allocator", Found: fmt.Sprintf("no free block of order %d", o),
				Want: "free memory outside scratch", Hint: "give the machine more memory, or preserve less", Err: ErrNoMemory}
		}
	}
}

// claim marks the pages of r, about to be preserved, used in the windows that
// were looked at already; in others the map will show them, and until it does,
// the pending range.
func (a *allocator) claim(r phys.Range) {
	a.pending = r
	if n := number(r.Start, leafShift); n == number(r.End-1, leafShift) {
		if w := a.windows[n]; w != nil {
			w.use(pages(r, n))
		}
		return
	}
	for n, w := range a.windows {
		if r.Overlaps(block(n, leafShift).Range()) {
			w.use(pages(r, n))
		}
	}
}

// pages returns which pages of window n r touches, as a half-open range of page
// numbers in the window. r must overlap it.
func pages(r phys.Range, n uint64) (from, to uint64) {
	start := phys.Addr(n << windowShift)
	if r.Start > start {
		from = uint64(r.Start-start) >> phys.PageShift
	}
	return from, min(uint64(r.End-1-start)>>phys.PageShift+1, leafBits)
}

// window returns the free memory of window n, looking for it the first time.
func (a *allocator) window(n uint64) *window {
	w := a.windows[n]
	if w != nil {
		return w
	}
	w = new(window)
	for o := range w.end {
		w.end[o] = leafWords
	}
	a.windows[n] = w
	r := block(n, leafShift).Range()
	for i := a.usable.Index(r.Start); i < len(a.usable) && a.usable[i].Overlaps(r); i++ {
		// Whole pages alone: a range may start or end inside one.
		start, ok := phys.AlignUp(a.usable[i].Start, phys.PageSize)
		part := phys.Range{Start: max(start, r.Start), End: min(a.usable[i].End.Page(), r.End)}
		if ok && !part.Empty() {
			w.release(pages(part, n))
		}
	}
	var used [leafWords]uint64
	a.old.cover(n, &used)
	a.now.cover(n, &used)
	for i := range used {
		w.free[i] &^= used[i]
	}
	for i := a.old.firstNode(r.Start); i < len(a.old.nodes) && a.old.nodes[i].Addr() < r.End; i++ {
		w.use(pages(phys.Block{Addr: a.old.nodes[i].Addr()}.Range(), n))
	}
	if a.pending.Overlaps(r) {
		w.use(pages(a.pending, n))
	}
	return w
}

// cover sets in used the pages of window n that members of m cover.
func (m *Map) cover(n uint64, used *[leafWords]uint64) {
	for rest := m.present; rest != 0; {
		o := nextOrder(&rest)
		l := m.at(o, n>>o)
		if l == nil {
			continue
		}
		first := (n << leafShift >> o) & (leafBits - 1)
		end := first + max(uint64(leafBits)>>o, 1)
		for b, ok := l.next(first, end); ok; b, ok = l.next(b+1, end) {
			setBits(used, (b-first)<<o, min((b-first+1)<<o, leafBits))
		}
	}
}

// setBits sets bits [from, to).
func setBits(words *[leafWords]uint64, from, to uint64) {
	for b := from; b < to; {
		n := min(64-b%64, to-b)
		words[b/64] |= ^uint64(0) >> (64 - n) << (b % 64)
		b += n
	}
}

// use takes pages [from, to) of the window out of what is free.
func (w *window) use(from, to uint64) {
	for b := from; b < to; {
		n := min(64-b%64, to-b)
		w.free[b/64] &^= ^uint64(0) >> (64 - n) << (b % 64)
		b += n
	}
}

// release adds pages [from, to) of the window to what is free.
func (w *window) release(from, to uint64) { setBits(&w.free, from, to) }

// starts holds, for orders 0 to 5, a bit for every page that a block may start
// at.
var starts = [...]uint64{^uint64(0), 0x5555555555555555, 0x1111111111111111, 0x0101010101010101, 0x0001000100010001, 0x0000000100000001}

// take finds the last free block of order o in the window and marks it used. It
// never looks again at words in which no page is left.
func (w *window) take(o phys.Order) (uint64, bool) {
	if o >= 6 {
		return w.takeWords(o)
	}
	for i := w.end[o] - 1; i >= 0; i-- {
		free := w.free[i]
		for s := range o {
			free &= free >> (1 << s) // bit b: 2^(s+1) pages from b on are free
		}
		if free &= starts[o]; free != 0 {
			w.end[o] = i + 1
			b := uint64(i)*64 + uint64(63-bits.LeadingZeros64(free))
			w.use(b, b+o.Pages())
			return b, true
		}
	}
	w.end[o] = 0
	return 0, false
}

// takeWords is take for blocks of whole words.
func (w *window) takeWords(o phys.Order) (uint64, bool) {
	n := int(o.Pages() / 64)
	for i := w.end[o] - n; i >= 0; i -= n {
		if !slices.ContainsFunc(w.free[i:i+n], func(f uint64) bool { return f != ^uint64(0) }) {
			w.end[o] = i
			clear(w.free[i : i+n])
			return uint64(i) * 64, true
		}
	}
	w.end[o] = 0
	return 0, false
}

// refill adds windows of the next phase to the queue.
func (a *allocator) refill() bool {
	a.phase++
	switch a.phase {
	case 1: // where the map's nodes are
		for _, n := range a.old.nodes {
			a.enqueue(number(n.Addr(), leafShift))
		}
	case 2: // the 1 GiB blocks of those
		for _, w := range a.queue {
			a.enqueueGiB(w >> (gibShift - windowShift))
		}
	case 3, 4: // other busy ones, then all
		for i := len(a.usable) - 1; i >= 0; i-- {
			r := a.usable[i]
			for g := uint64(r.End-1) >> gibShift; g+1 > uint64(r.Start)>>gibShift; g-- {
				if a.phase == 4 || a.busy(g) {
					a.enqueueGiB(g)
				}
				if g == 0 {
					break
				}
			}
		}
	default:
		return false
	}
	return true
}

// busy reports whether 1 GiB block number g holds anything of either handover.
func (a *allocator) busy(g uint64) bool {
	r := phys.Range{Start: phys.Addr(g << gibShift), End: phys.Addr((g + 1) << gibShift)}
	if a.old.hasNode(r) {
		return true
	}
	if _, hit := a.old.Overlaps(r); hit {
		return true
	}
	_, hit := a.now.Overlaps(r)
	return hit
}

func (a *allocator) enqueueGiB(g uint64) {
	const n = 1 << (gibShift - windowShift)
	for i := n - 1; i >= 0; i-- {
		a.enqueue(g*n + uint64(i))
	}
}

func (a *allocator) enqueue(n uint64) {
	if !a.queued[n] {
		a.queued[n] = true
		a.queue = append(a.queue, n)
	}
}

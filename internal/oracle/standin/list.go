package standin

import (
	"cmp"
	"fmt"
	"math/bits"
	"slices"

	"ferry/phys"
)

// The list of bitmaps: chunks of a page, each for blocks of one order, with a
// header of next, order, count and then elements of start and bitmap.
const (
	chunkHeader   = 16
	chunkElement  = 16
	chunkElements = 255
	emptyOrder    = 6 // of a chunk without elements
)

// window is what one bitmap covers: index counts windows of the order.
type window struct {
	order phys.Order
	index uint64
}

// list is preserved memory as 6.16 to 7.0 track it until it is handed over.
type list struct {
	bytes   uint64 // of a bitmap
	aligned bool   // each bitmap in a page of its own
	bitmaps map[window]phys.Addr
	slab    phys.Addr // page of the allocator that bitmaps are taken from
	used    uint64    // bytes of it
}

// span is the memory that a bitmap covers.
func (l *list) span(order phys.Order) uint64 { return 8 * l.bytes * order.Bytes() }

// bit returns the bitmap and the bit of the block, and the bitmap's page where it
// is a new one.
func (l *list) bit(a *arena, b phys.Block) (bitmap []byte, bit uint64, added uint64, err error) {
	w := window{b.Order, uint64(b.Addr) / l.span(b.Order)}
	at, ok := l.bitmaps[w]
	if !ok {
		if at, added, err = l.alloc(a); err != nil {
			return nil, 0, added, err
		}
		l.bitmaps[w] = at
	}
	bitmap, err = a.mem.Edit(at, l.bytes)
	return bitmap, uint64(b.Addr) % l.span(b.Order) / b.Order.Bytes(), added, err
}

// alloc returns a zeroed bitmap. Small ones share pages with data of others.
func (l *list) alloc(a *arena) (at phys.Addr, pages uint64, err error) {
	if l.slab == 0 || l.used+l.bytes > phys.PageSize {
		page, bytes, err := a.take(0)
		if err != nil {
			return 0, 0, err
		}
		l.slab, l.used, pages = page, 0, 1
		if l.bytes < phys.PageSize {
			for i := range bytes {
				bytes[i] = 0xa5 // somebody else's
			}
			if !l.aligned {
				l.used = l.bytes
			}
		}
	}
	at = l.slab + phys.Addr(l.used)
	l.used += l.bytes
	if l.aligned {
		l.used = phys.PageSize
	}
	bitmap, err := a.mem.Edit(at, l.bytes)
	clear(bitmap)
	return at, pages, err
}

// finalize writes the chunks and returns the first: kho_mem_serialize.
func (l *list) finalize(a *arena, reversed bool) (head phys.Addr, pages uint64, err error) {
	room := chunkElements
	ws := []window{{order: emptyOrder, index: ^uint64(0)}} // this one is left out again
	for w := range l.bitmaps {
		ws = append(ws, w)
	}
	slices.SortFunc(ws, func(a, b window) int {
		return cmp.Or(cmp.Compare(a.order, b.order), cmp.Compare(a.index, b.index))
	})
	if reversed {
		slices.Reverse(ws)
		room = 2
	}
	var last []byte
	for _, w := range ws {
		if n := le32(last, 12); last == nil || le32(last, 8) != uint32(w.order) || int(n) == room {
			at, chunk, err := a.take(0)
			if err != nil {
				return 0, pages, err
			}
			pages++
			if last == nil {
				head = at
			} else {
				le.PutUint64(last, uint64(at))
			}
			last = chunk
			le.PutUint32(last[8:], uint32(w.order))
		}
		if w.index == ^uint64(0) {
			continue
		}
		n := le32(last, 12)
		element := last[chunkHeader+chunkElement*n:]
		le.PutUint64(element, w.index*l.span(w.order))
		le.PutUint64(element[8:], uint64(l.bitmaps[w]))
		le.PutUint32(last[12:], n+1)
	}
	return head, pages, nil
}

func le32(b []byte, at int) uint32 {
	if b == nil {
		return 0
	}
	return le.Uint32(b[at:])
}

// walkList calls block for every entry of the list that starts at head, and node
// for the memory of the list itself, as kho_mem_deserialize does.
func walkList(mem phys.Memory, head phys.Addr, bitmapBytes uint64, node func(phys.Range), block func(phys.Block)) error {
	seen := make(map[phys.Addr]bool)
	windows := make(map[phys.Block]bool)
	for at := head; at != 0; {
		chunk, err := mem.View(at, phys.PageSize)
		if err != nil {
			return fmt.Errorf("chunk %v: %w", at, err)
		}
		if seen[at] || !at.Aligned(phys.PageSize) {
			return fmt.Errorf("chunk %v: seen before, or misaligned", at)
		}
		seen[at] = true
		node(phys.Block{Addr: at}.Range())
		order, n := phys.Order(le.Uint32(chunk[8:])), le.Uint32(chunk[12:])
		if le.Uint32(chunk[8:]) > maxInt || n > chunkElements {
			return fmt.Errorf("chunk %v: order %d, whose size overflows an int, or %d elements", at, le.Uint32(chunk[8:]), n)
		}
		for i := range n {
			element := chunk[chunkHeader+chunkElement*i:]
			start, bitmap := phys.Addr(le.Uint64(element)), phys.Addr(le.Uint64(element[8:]))
			if !start.Aligned(8*bitmapBytes*order.Bytes()) || !bitmap.Aligned(bitmapBytes) {
				return fmt.Errorf("chunk %v: element %d: start %v or bitmap %v is misaligned", at, i, start, bitmap)
			}
			if w := (phys.Block{Addr: start, Order: order}); windows[w] {
				return fmt.Errorf("chunk %v: element %d: %v is there twice", at, i, w)
			} else {
				windows[w] = true
			}
			words, err := mem.View(bitmap, bitmapBytes)
			if err != nil {
				return fmt.Errorf("chunk %v: element %d: bitmap %v: %w", at, i, bitmap, err)
			}
			node(phys.Range{Start: bitmap, End: bitmap + phys.Addr(bitmapBytes)})
			for w := 0; w < len(words); w += 8 {
				for word := le.Uint64(words[w:]); word != 0; word &= word - 1 {
					bit := uint64(8*w + bits.TrailingZeros64(word))
					block(phys.Block{Addr: start + phys.Addr(bit*order.Bytes()), Order: order})
				}
			}
		}
		at = phys.Addr(le.Uint64(chunk))
	}
	return nil
}

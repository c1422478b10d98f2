package opened

import (
	"encoding/binary"
	"math/bits"

	"ferry/phys"
)

// Write puts the kernel into the memory of its place, relocated by slide: how much
// further its virtual address is from the one that it is linked for. to must have
// the size of the image in whole pages, or more; what is behind those is not
// touched: the kernel clears it. Nothing depends on the physical address, which the
// kernel finds out by itself.
func (k *Kernel) Write(to []byte, slide uint64) {
	k.copyPages(to[:k.count()*phys.PageSize])
	if slide == 0 {
		return
	}
	le := binary.LittleEndian
	to = to[:k.Image]
	for t := k.wide; len(t) >= place; t = t[place:] {
		b := to[le.Uint32(t):][:wide]
		le.PutUint64(b, le.Uint64(b)+slide)
	}
	for t := k.narrow; len(t) >= place; t = t[place:] {
		b := to[le.Uint32(t):][:narrow]
		le.PutUint32(b, le.Uint32(b)+uint32(slide))
	}
}

// copyPages writes the image, runs of pages at a time.
func (k *Kernel) copyPages(to []byte) {
	from := k.pages
	for at := uint64(0); at < k.count(); {
		n := k.run(at, true)
		copy(to[at*phys.PageSize:][:n*phys.PageSize], from)
		from = from[n*phys.PageSize:]
		at += n
		n = k.run(at, false)
		clear(to[at*phys.PageSize:][:n*phys.PageSize])
		at += n
	}
}

// run counts the pages from page at on that are there, or are not.
func (k *Kernel) run(at uint64, there bool) uint64 {
	start, end := at, k.count()
	for at < end {
		b := k.present[at/8]
		if there {
			b = ^b
		}
		if b >>= at % 8; b != 0 {
			at += uint64(bits.TrailingZeros8(b))
			break
		}
		at = (at/8 + 1) * 8
	}
	return min(at, end) - start
}

package opened

import (
	"encoding/binary"

	"ferry/phys"
)

// Randomised reports whether the kernel was built to be started at addresses of
// somebody's choice (CONFIG_RANDOMIZE_BASE): one that was not has no relocations and
// keeps its virtual address.
func (k *Kernel) Randomised() bool { return k.Space == RandomSpace }

// Slides returns by how many multiples of the alignment, 0 among them, the kernel's
// virtual address may be further than the one it is linked for.
func (k *Kernel) Slides() uint64 {
	if !k.Randomised() {
		return 1
	}
	return 1 + (k.Space-uint64(k.Link)-k.Memory)/k.Alignment
}

// Places returns how many places there are for the kernel in pieces of free
// memory.
func (k *Kernel) Places(free []phys.Range) (n uint64) {
	for _, piece := range free {
		n += k.places(piece)
	}
	return n
}

// places is Places of one piece.
func (k *Kernel) places(piece phys.Range) uint64 {
	piece.End = min(piece.End, MaxAddr)
	start, ok := phys.AlignUp(piece.Start, k.Alignment)
	if !ok || start >= piece.End || uint64(piece.End-start) < k.Memory {
		return 0
	}
	return 1 + (uint64(piece.End-start)-k.Memory)/k.Alignment
}

// Place returns one of the places by its number, which must be less than Places.
func (k *Kernel) Place(free []phys.Range, n uint64) phys.Range {
	for _, piece := range free {
		if count := k.places(piece); n >= count {
			n -= count
			continue
		}
		start, _ := phys.AlignUp(piece.Start, k.Alignment)
		start += phys.Addr(n * k.Alignment)
		return phys.Range{Start: start, End: start + phys.Addr(k.Memory)}
	}
	return phys.Range{}
}

// Choose chooses one of the places and a slide, each as likely as any other and
// neither by the other, with what random fills in. Without a place it returns an
// empty range.
func (k *Kernel) Choose(free []phys.Range, random func([]byte)) (at phys.Range, slide uint64) {
	places := k.Places(free)
	if places == 0 {
		return phys.Range{}, 0
	}
	var b [16]byte
	random(b[:])
	// Of 64 bits, so that no choice is likelier than another by more than 2^-40.
	at = k.Place(free, binary.LittleEndian.Uint64(b[:])%places)
	slide = binary.LittleEndian.Uint64(b[8:]) % k.Slides() * k.Alignment
	clear(b[:])
	return at, slide
}

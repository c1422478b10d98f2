package kho

import (
	"encoding/binary"
	"math/bits"
	"sort"

	"ferry/phys"
)

// A leaf is read in parts, because the bitmaps of one format are that small.
const (
	leafParts = 8
	partBytes = phys.PageSize / leafParts
	partWords = partBytes / 8
)

// leaf is a bitmap of one order: bit b is for block number
// window<<leafShift + b. Most leaves are a page of memory that several formats
// understand; one that an older kernel left in pieces stays so until a format
// wants it whole.
type leaf struct {
	window uint64
	addr   phys.Addr // of its page; 0 if it is in pieces
	parts  [leafParts]*[partBytes]byte
	pieces *[leafParts]phys.Addr // of the parts if there is no page, 0 for one without bits
	own    bool                  // written by a draft, which may go on writing it
}

// zeroPart is a part without bits that lies nowhere. Nothing writes it.
var zeroPart [partBytes]byte

// setPage makes page the bytes of the leaf.
func (l *leaf) setPage(page []byte) {
	for j := range l.parts {
		l.parts[j] = (*[partBytes]byte)(page[j*partBytes:])
	}
}

// word returns bits 64i to 64i+63.
func (l *leaf) word(i int) uint64 {
	return binary.LittleEndian.Uint64(l.parts[i/partWords%leafParts][i%partWords*8:])
}

// byte returns the byte of bit b, which is below leafBits.
func (l *leaf) byte(b uint64) *byte { return &l.parts[b/(8*partBytes)%leafParts][b/8%partBytes] }

// has reports bit b of the leaf, which is below leafBits.
func (l *leaf) has(b uint64) bool { return *l.byte(b)>>(b&7)&1 != 0 }

// empty reports whether part j has no bits.
func (l *leaf) empty(j int) bool { return *l.parts[j] == zeroPart }

// search returns the position of the first leaf at or after window.
func search(ls []leaf, window uint64) int {
	return sort.Search(len(ls), func(i int) bool { return ls[i].window >= window })
}

// next returns the first set bit in [lo, hi), hi being at most leafBits.
func (l *leaf) next(lo, hi uint64) (uint64, bool) {
	for i := lo / 64; i*64 < hi; i++ {
		w := l.word(int(i))
		if i == lo/64 {
			w &= ^uint64(0) << (lo % 64)
		}
		if w != 0 {
			b := i*64 + uint64(bits.TrailingZeros64(w))
			return b, b < hi
		}
	}
	return 0, false
}

// gap returns the first clear bit at or after lo, leafBits if there is none.
func (l *leaf) gap(lo uint64) uint64 {
	for i := lo / 64; i < leafWords; i++ {
		w := ^l.word(int(i))
		if i == lo/64 {
			w &= ^uint64(0) << (lo % 64)
		}
		if w != 0 {
			return i*64 + uint64(bits.TrailingZeros64(w))
		}
	}
	return leafBits
}

func (l *leaf) walk(o phys.Order, visit func(phys.Block) error) error {
	shift := phys.PageShift + o
	for i := range leafWords {
		base := (l.window<<leafShift | uint64(i)<<6) << shift
		for w := l.word(i); w != 0; w &= w - 1 {
			b := phys.Block{Addr: phys.Addr(base + uint64(bits.TrailingZeros64(w))<<shift), Order: o}
			if err := visit(b); err != nil {
				return err
			}
		}
	}
	return nil
}

// pages calls visit for every page that holds a part of the leaf.
func (l *leaf) pages(visit func(phys.Addr)) {
	if l.pieces == nil {
		visit(l.addr)
		return
	}
	for _, a := range l.pieces {
		if a != 0 {
			visit(a.Page())
		}
	}
}

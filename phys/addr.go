// Package phys models physical memory: addresses, orders, ranges, and windows
// through which the bytes behind an address may be read or edited.
//
// An address read from memory that another kernel wrote is untrusted ("an
// allegation", in the words of Hubris). It stays an [Addr] until a [Memory] has checked
// that it names RAM, and only then becomes bytes. Nothing in this package follows a pointer.
//
// All addresses are x86-64 physical addresses in bytes; pages are 4096 bytes.
package phys

import "fmt"

// Page geometry of x86-64 with 4 KiB pages, the only one that Ferry handles.
const (
	PageShift = 12
	PageSize  = 1 << PageShift
)

// LowMemory is the end of the first MiB: firmware and the next kernel use what
// lies below whatever a handover says, so nothing of value may lie there.
const LowMemory Addr = 1 << 20

// MaxOrder is the largest order whose block fits a 64-bit address space.
const MaxOrder Order = 51

// Addr is a physical address in bytes.
type Addr uint64

// PFN is a page frame number: an [Addr] shifted right by [PageShift].
type PFN uint64

// Order is the binary logarithm of a block's size in pages, as in the Linux
// page allocator: a block of order n is 4096<<n bytes, naturally aligned.
type Order uint8

// String formats a the way kernel logs do.
func (a Addr) String() string { return fmt.Sprintf("%#x", uint64(a)) }

// PFN returns the number of the page frame that a lies in.
func (a Addr) PFN() PFN { return PFN(a >> PageShift) }

// Aligned reports whether a is a multiple of n, a power of two in bytes.
func (a Addr) Aligned(n uint64) bool { return uint64(a)&(n-1) == 0 }

// Page returns the start of the page that a lies in.
func (a Addr) Page() Addr { return a &^ (PageSize - 1) }

// Addr returns the address of the first byte of the frame.
func (p PFN) Addr() Addr { return Addr(p) << PageShift }

// Bytes returns the size of a block of this order. o must not exceed
// [MaxOrder].
func (o Order) Bytes() uint64 { return PageSize << o }

// Pages returns the number of 4 KiB pages in a block of this order.
func (o Order) Pages() uint64 { return 1 << o }

// Block is one naturally aligned run of 2^Order pages: what Linux preserves,
// restores and frees as a unit.
type Block struct {
	Addr  Addr
	Order Order
}

// Range returns the bytes that the block covers.
func (b Block) Range() Range { return Range{b.Addr, b.Addr + Addr(b.Order.Bytes())} }

// String formats b as address and order.
func (b Block) String() string { return fmt.Sprintf("%s order %d", b.Addr, b.Order) }

// AlignDown rounds a down to a multiple of n, a power of two.
func AlignDown(a Addr, n uint64) Addr { return a &^ Addr(n-1) }

// AlignUp rounds a up to a multiple of n, a power of two; ok is false if
// that passes the end of the address space.
func AlignUp(a Addr, n uint64) (up Addr, ok bool) {
	up = (a + Addr(n-1)) &^ Addr(n-1)
	return up, up >= a
}

// Package blockset models linked-block chains: the lists of fixed-size records
// that Linux 7.2 and later hand from one kernel to the next in page-sized,
// singly linked blocks.
//
// A block is one preserved page of order 0: a header of 16 bytes (address of the
// next block, number of records in this one) and the records, packed. All
// integers are little endian. The kernel writes a chain through
// kho_block_set_grow and kho_block_set_it_reserve_entry, and reads it through
// kho_block_set_restore and kho_block_set_it_read_entry, all of
// kernel/liveupdate/kho_block.c; the layout is include/linux/kho/abi/block.h.
//
// # Security
//
// A chain read from memory is untrusted. The kernel checks the count of each block,
// the length of the chain and that it ends; it follows any address. This package
// claims each page from an [own.Ledger] first: RAM, aligned, outside scratch,
// preserved with exactly order 0, and not part of anything read before. A chain costs
// at most [MaxBlocks] steps, whatever it says, and no allocation is sized by what it
// says.
//
// Records are handed out as windows on the block's page: nothing is copied, and
// nothing is allocated for a record.
package blockset

import (
	"encoding/binary"
	"errors"
	"fmt"

	"ferry/phys"
)

// Limits of the format.
const (
	// MaxBlocks is the longest chain that the kernel writes or reads
	// (KHO_MAX_BLOCKS), in blocks.
	MaxBlocks = 10000

	// HeaderSize is the length in bytes of a block's header; records follow it.
	HeaderSize = 16

	// Room is the number of bytes of a block that records may take.
	Room = phys.PageSize - HeaderSize
)

// Offsets of the header's fields, both u64.
const (
	offNext  = 0 // physical address of the next block, 0 in the last one
	offCount = 8 // records in this block
)

// Rules of the format that a chain may break, for [errors.Is].
var (
	ErrCycle     = errors.New("chain leads back into itself")
	ErrCount     = errors.New("count out of range")
	ErrLimit     = errors.New("more blocks than the kernel allows")
	ErrIncoming  = errors.New("incoming chain is read-only")
	ErrEntrySize = errors.New("record does not fit a block")
)

// Layout is the shape of one kind of chain: the size of its records in bytes, 1 to
// [Room]. With any other size no chain holds a record.
type Layout uint16

// LayoutOf returns the layout of records of size bytes, 1 to [Room].
func LayoutOf(size int) (Layout, error) {
	if size < 1 || size > Room {
		return 0, badSize(size)
	}
	return Layout(size), nil
}

func badSize(size int) error {
	return fmt.Errorf("blockset: records of %d bytes, want 1..%d: %w", size, Room, ErrEntrySize)
}

// Size returns the size of a record in bytes.
func (l Layout) Size() int { return int(l) }

// Capacity returns how many records one block holds.
func (l Layout) Capacity() int {
	if l == 0 {
		return 0
	}
	return Room / int(l)
}

// Blocks returns how many blocks n records take when each but the last is full: 0 if
// none holds a record.
func (l Layout) Blocks(n int) int {
	room := l.Capacity()
	if n <= 0 || room == 0 {
		return 0
	}
	return (n-1)/room + 1
}

// Max returns the largest number of records that a chain holds.
func (l Layout) Max() int { return MaxBlocks * l.Capacity() }

// Block is one block of a chain: a page that was proved as an [own.Page], or that a
// [Set] took from its [Pages]. It cannot be made otherwise.
type Block struct {
	addr phys.Addr
	page []byte
}

// Addr returns where the block lies.
func (b Block) Addr() phys.Addr { return b.addr }

// Page returns the block's page, [phys.PageSize] bytes, for reading.
func (b Block) Page() []byte { return b.page }

// Next returns the address of the following block, 0 if this is the last.
func (b Block) Next() phys.Addr {
	return phys.Addr(binary.LittleEndian.Uint64(b.page[offNext:]))
}

// count returns the header's count, unproved.
func (b Block) count() uint64 { return binary.LittleEndian.Uint64(b.page[offCount:]) }

// Len returns the number of records in a block that was restored or written by
// this package.
func (b Block) Len() int { return int(b.count()) }

// Entries returns the block's records, l bytes each, as one window on its page.
//
// Precondition: b was restored or written with layout l.
func (b Block) Entries(l Layout) []byte {
	end := HeaderSize + b.Len()*int(l)
	return b.page[HeaderSize:end:end]
}

// entry returns record i, which may lie beyond the count but not the capacity.
func (b Block) entry(l Layout, i int) []byte {
	start := HeaderSize + i*int(l)
	return b.page[start : start+int(l) : start+int(l)]
}

func (b Block) setNext(a phys.Addr) { binary.LittleEndian.PutUint64(b.page[offNext:], uint64(a)) }
func (b Block) setCount(n int)      { binary.LittleEndian.PutUint64(b.page[offCount:], uint64(n)) }

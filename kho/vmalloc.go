package kho

import (
	"bytes"
	"encoding/binary"
	"fmt"

	"ferry/own"
	"ferry/phys"
)

// Geometry of a vmalloc area (struct kho_vmalloc and struct kho_vmalloc_chunk,
// the same in every release): a descriptor of 16 bytes, and chunk pages of one
// link and 511 addresses.
const (
	VmallocSize = 16 // bytes of the descriptor

	vmallocPages = 8 // offsets in it, of which the first chunk's address is the first
	vmallocFlags = 12
	vmallocOrder = 14

	chunkSlots = phys.PageSize/8 - 1
	chunkData  = 8 // offset of the first address
)

// Flags of a vmalloc area.
const (
	VmallocAlloc = 1 << 0 // allocated by vmalloc itself
	VmallocHuge  = 1 << 1 // may be mapped by larger pages
)

// Vmalloc is the descriptor of memory that was virtually contiguous in the
// kernel that preserved it: blocks of equal order, listed in chunk pages. It is
// embedded in the structures that own such memory.
type Vmalloc struct {
	First phys.Addr // first chunk page
	Pages uint32    // 4 KiB pages in all blocks together
	Flags uint16
	Order uint16 // of each block
}

// ParseVmalloc reads a descriptor from the first [VmallocSize] bytes of b,
// checking nothing.
func ParseVmalloc(b []byte) Vmalloc {
	return Vmalloc{
		First: phys.Addr(binary.LittleEndian.Uint64(b)),
		Pages: binary.LittleEndian.Uint32(b[vmallocPages:]),
		Flags: binary.LittleEndian.Uint16(b[vmallocFlags:]),
		Order: binary.LittleEndian.Uint16(b[vmallocOrder:]),
	}
}

// Append appends the descriptor to b.
func (v Vmalloc) Append(b []byte) []byte {
	b = binary.LittleEndian.AppendUint64(b, uint64(v.First))
	b = binary.LittleEndian.AppendUint32(b, v.Pages)
	b = binary.LittleEndian.AppendUint16(b, v.Flags)
	return binary.LittleEndian.AppendUint16(b, v.Order)
}

// Area is the memory of a vmalloc descriptor that [OpenVmalloc] proved.
type Area struct {
	Vmalloc
	space  *own.Space
	chunks []chunk // each preserved with order 0
	last   int     // addresses in the last of them; the others are full
	odd    error   // see Odd
}

// chunk is one page of the list of an area's blocks.
type chunk struct {
	addr phys.Addr
	page *[phys.PageSize]byte
}

// Chunks returns the chunk pages, each preserved with order 0.
func (a *Area) Chunks() []phys.Addr {
	all := make([]phys.Addr, len(a.chunks))
	for i, c := range a.chunks {
		all[i] = c.addr
	}
	return all
}

// Odd says what no kernel writes in the descriptor or the chunks, though readers pass
// over it; it is nil if there is nothing such.
func (a *Area) Odd() error { return a.odd }

// OpenVmalloc reads and proves the area that v, which was read at address at,
// describes: chunks and blocks preserved with their exact orders, as many pages as v
// says, every chunk but the last full, and none twice. What readers pass over is no
// error: see [Area.Odd]. It takes 16 bytes a chunk from the heap. An area of no pages
// is an error; owners express it by no descriptor at all. An error's address is that
// of the word that is wrong.
//
// Each chunk is claimed for the owner before its addresses are proved, so that no work
// is done for one that is another object's; the blocks are claimed last.
func OpenVmalloc(owner own.Claimant, at phys.Addr, v Vmalloc) (*Area, error) {
	a, err := readVmalloc(owner.Space(), at, v, func(b phys.Block) error { return owner.Claim("chunk", b) })
	if err == nil {
		err = a.claimBlocks(owner)
	}
	if err != nil {
		return nil, err
	}
	return a, nil
}

// Claim claims the chunks and blocks of the area for another owner. It reads the
// blocks' addresses and proves nothing else again.
func (a *Area) Claim(owner own.Claimant) error {
	for _, c := range a.chunks {
		if err := owner.Claim("chunk", phys.Block{Addr: c.addr}); err != nil {
			return err
		}
	}
	return a.claimBlocks(owner)
}

func (a *Area) claimBlocks(owner own.Claimant) error {
	for i := range a.Len() {
		if err := owner.Claim("block of the area", a.Block(i)); err != nil {
			return err
		}
	}
	return nil
}

// readVmalloc is OpenVmalloc without claims except for those of chunks, as claim says.
func readVmalloc(space *own.Space, at phys.Addr, v Vmalloc, claim func(chunk phys.Block) error) (*Area, error) {
	bad := func(offset phys.Addr, found, want string) error {
		return &phys.Error{Object: "vmalloc area", Addr: at + offset, Found: found, Want: want, Err: ErrVmalloc}
	}
	switch {
	case v.Order > uint16(maxAlloc):
		return nil, bad(vmallocOrder, fmt.Sprintf("order %d", v.Order), fmt.Sprintf("at most %d", maxAlloc))
	case v.Pages == 0 || v.Pages&(1<<v.Order-1) != 0:
		return nil, bad(vmallocPages, fmt.Sprintf("%d pages in blocks of order %d", v.Pages, v.Order), "a positive number of whole blocks")
	case v.First == 0:
		return nil, bad(0, "no chunk", fmt.Sprintf("one for %d blocks", v.Pages>>v.Order))
	}
	a := &Area{Vmalloc: v, space: space}
	if err := a.read(at, claim); err != nil {
		return nil, phys.In(fmt.Sprintf("vmalloc area %v", at), at, err)
	}
	if v.Flags&^(VmallocAlloc|VmallocHuge) != 0 {
		a.odd = bad(vmallocFlags, fmt.Sprintf("flags %#x", v.Flags), "only flags 0x1 and 0x2")
	}
	return a, nil
}

// read reads the chunks; the address of the first one was read at link.
func (a *Area) read(link phys.Addr, claim func(chunk phys.Block) error) error {
	bad := func(found, want string) error {
		if a.odd != nil {
			return a.odd // what is missing may be behind the end of a list
		}
		return &phys.Error{Object: "link", Addr: link, Found: found, Want: want, Err: ErrVmalloc}
	}
	var passed chain
	for at, left := a.First, a.Len(); at != 0; {
		if len(a.chunks) > 0 && a.last < chunkSlots {
			return bad(fmt.Sprintf("chunk %v after one that is not full", at), "full chunks before it")
		}
		if passed.again(at) {
			return bad(fmt.Sprintf("chunk %v, which the list has passed", at), "a list that ends")
		}
		b := phys.Block{Addr: at}
		if !a.space.Preserved(b) {
			return notPreservedAt("link", link, "chunk", b)
		}
		if err := claim(b); err != nil {
			return phys.In(fmt.Sprintf("link %v", link), link, err)
		}
		page, err := a.space.View(at, phys.PageSize)
		if err != nil {
			return phys.In("chunk", at, err)
		}
		n, err := a.checkChunk(at, page, left)
		if err != nil {
			return err
		}
		a.chunks, a.last = append(a.chunks, chunk{at, (*[phys.PageSize]byte)(page)}), n
		left -= n
		link = at
		if at = phys.Addr(binary.LittleEndian.Uint64(page)); at == 0 && left > 0 {
			return bad(fmt.Sprintf("the last chunk, after %d blocks", a.Len()-left), fmt.Sprintf("%d blocks", a.Len()))
		}
	}
	return nil
}

// chain finds out whether addresses that follow each other lead back to one that
// they have passed: some time after they do, and without remembering them, by
// Brent's algorithm. The zero value is before the first.
type chain struct {
	mark       phys.Addr // passed, and compared with what follows
	left, next int       // how many are still compared with it, and how many were at first
}

// again reports whether the chain passes a for the second time, or had before.
func (c *chain) again(a phys.Addr) bool {
	if a == c.mark && c.next > 0 {
		return true
	}
	if c.left == 0 {
		c.next = max(1, 2*c.next)
		c.mark, c.left = a, c.next
	}
	c.left--
	return false
}

// checkChunk proves the addresses in one chunk, of at most left blocks, and
// returns how many there are. Readers stop at the first zero.
func (a *Area) checkChunk(chunk phys.Addr, page []byte, left int) (n int, err error) {
	name := func(i int) (object string, at phys.Addr) {
		return fmt.Sprintf("chunk %s slot %d", chunk, i), chunk + phys.Addr(chunkData+8*i)
	}
	slot := func(i int, found, want string) error {
		object, at := name(i)
		return &phys.Error{Object: object, Addr: at, Found: found, Want: want, Err: ErrVmalloc}
	}
	list := page[chunkData:]
	for ; n < chunkSlots; n++ {
		p := phys.Addr(binary.LittleEndian.Uint64(list[8*n:]))
		if p == 0 {
			break
		}
		if n == left {
			return 0, slot(n, fmt.Sprintf("one more block, %v", p), fmt.Sprintf("%d blocks", a.Len()))
		}
		if b := (phys.Block{Addr: p, Order: phys.Order(a.Order)}); !a.space.Preserved(b) {
			object, at := name(n)
			return 0, notPreservedAt(object, at, "block", b)
		}
	}
	if bytes.Equal(list[8*n:], noSlots[8*n:]) || a.odd != nil {
		return n, nil
	}
	i := n
	for binary.LittleEndian.Uint64(list[8*i:]) == 0 {
		i++
	}
	a.odd = slot(i, phys.Addr(binary.LittleEndian.Uint64(list[8*i:])).String(), "zeros after the end of the list")
	return n, nil
}

// noSlots is what the list of a chunk is without addresses.
var noSlots [8 * chunkSlots]byte

// Len returns the number of blocks.
func (a *Area) Len() int { return int(a.Pages >> a.Order) }

// Block returns block i of the area, in the order of virtual addresses.
func (a *Area) Block(i int) phys.Block {
	list := a.chunks[i/chunkSlots].page[chunkData:]
	return phys.Block{Addr: phys.Addr(binary.LittleEndian.Uint64(list[i%chunkSlots*8:])), Order: phys.Order(a.Order)}
}

// View returns the bytes of block i for reading.
func (a *Area) View(i int) ([]byte, error) {
	b := a.Block(i)
	return a.space.View(b.Addr, b.Order.Bytes())
}

// Vmalloc writes the chunk pages for an area of the given blocks, all of order
// o and preserved already, into new pages of the draft, and returns its
// descriptor. As in Linux a full chunk has a successor, empty if need be.
func (d *Draft) Vmalloc(flags uint16, o phys.Order, blocks []phys.Addr) (Vmalloc, error) {
	v := Vmalloc{Flags: flags, Order: uint16(o), Pages: uint32(len(blocks)) << o}
	if len(blocks) == 0 || o > maxAlloc || uint64(len(blocks))<<o != uint64(v.Pages) {
		return v, &phys.Error{Object: "vmalloc area", Found: fmt.Sprintf("%d blocks of order %d", len(blocks), o),
			Want: "1 to 2^32-1 pages", Err: ErrVmalloc}
	}
	var last []byte
	for i := 0; i <= len(blocks); i += chunkSlots {
		a, page, err := d.Alloc()
		if err != nil {
			return v, err
		}
		if last == nil {
			v.First = a
		} else {
			binary.LittleEndian.PutUint64(last, uint64(a))
		}
		for j, b := range blocks[i:min(i+chunkSlots, len(blocks))] {
			binary.LittleEndian.PutUint64(page[chunkData+8*j:], uint64(b))
		}
		last = page
	}
	return v, nil
}

package memfd

import (
	"encoding/binary"
	"fmt"
	"math"

	"ferry/blockset"
	"ferry/kho"
	"ferry/phys"
)

// Compatible is the name of the handler, and of its format, in Linux 7.1 to 7.3.
const Compatible = "memfd-v2"

// The format memfd-v2, little endian: struct memfd_luo_ser and struct
// memfd_luo_folio_ser of include/linux/kho/abi/memfd.h.
const (
	v2Pos    = 0  // u64
	v2Size   = 8  // u64
	v2Seals  = 16 // u32
	v2Flags  = 20 // u32: 0
	v2Count  = 24 // nr_folios, u64
	v2Folios = 32 // struct kho_vmalloc
	v2End    = v2Folios + kho.VmallocSize

	entrySize   = 16 // one folio: pfn and flags, index
	entryIndex  = 8
	pfnBits     = 52 // flags are above
	pageEntries = phys.PageSize / entrySize
)

// openV2 is Open for memfd-v2.
func openV2(h *kho.Handover, c *blockset.Checker, a phys.Addr) (*File, error) {
	b, err := c.Page("structure", a)
	if err != nil {
		return nil, err
	}
	u := binary.LittleEndian.Uint64
	f := &File{Addr: a, Meta: Meta{Pos: u(b[v2Pos:]), Size: u(b[v2Size:]), Seals: binary.LittleEndian.Uint32(b[v2Seals:])},
		Folios: u(b[v2Count:]), h: h}
	if err := f.check(binary.LittleEndian.Uint32(b[v2Flags:])); err != nil {
		return nil, err
	}
	v := kho.ParseVmalloc(b[v2Folios:v2End])
	if f.Folios == 0 {
		if v != (kho.Vmalloc{}) {
			return nil, bad(a+v2Folios, "an array without folios", "zeros")
		}
		return f, nil
	}
	if want := (f.Folios + pageEntries - 1) / pageEntries; uint64(v.Pages) != want {
		return nil, bad(a+v2Folios, fmt.Sprintf("array of %d pages", v.Pages), fmt.Sprintf("%d for %d folios", want, f.Folios))
	}
	if f.area, err = h.Map.Vmalloc(v); err != nil {
		return nil, phys.In("folio array", v.First, err)
	}
	return f, f.claim(c)
}

// check proves the plain fields of the structure.
func (f *File) check(flags uint32) error {
	switch {
	case f.Size > math.MaxInt64:
		return bad(f.Addr+v2Size, fmt.Sprintf("size %#x", f.Size), "at most 2^63-1")
	case f.Pos > math.MaxInt64:
		return bad(f.Addr+v2Pos, fmt.Sprintf("position %#x", f.Pos), "at most 2^63-1")
	case f.Seals&^allSeals != 0:
		return bad(f.Addr+v2Seals, fmt.Sprintf("seals %#x", f.Seals), fmt.Sprintf("seals %#x at most", allSeals))
	case flags != 0:
		return bad(f.Addr+v2Flags, fmt.Sprintf("flags %#x", flags), "0")
	case f.Folios > filePages(f.Size) || (f.Folios == 0) != (f.Size == 0):
		return bad(f.Addr+v2Count, fmt.Sprintf("%d folios for %d bytes", f.Folios, f.Size), fmt.Sprintf("1..%d, 0 for an empty file", filePages(f.Size)))
	}
	return nil
}

// claim makes the file the owner of its array.
func (f *File) claim(c *blockset.Checker) error {
	for _, a := range f.area.Chunks {
		if err := c.Block("chunk of the folio array", phys.Block{Addr: a}); err != nil {
			return err
		}
	}
	for i := range f.area.Len() {
		if err := c.Block("folio array", f.area.Block(i)); err != nil {
			return err
		}
	}
	return nil
}

// entry reads entry i of the array and finds the order of its folio. at is where
// the entry lies.
func (f *File) entry(i uint64) (folio Folio, at phys.Addr, err error) {
	off := i * entrySize
	block := phys.Order(f.area.Order).Bytes()
	page := f.area.Block(int(off / block))
	at = page.Addr + phys.Addr(off%block)
	b, err := f.h.Memory().View(at, entrySize)
	if err != nil {
		return folio, at, err
	}
	word := binary.LittleEndian.Uint64(b)
	folio = Folio{Index: binary.LittleEndian.Uint64(b[entryIndex:]), Flags: uint16(word >> pfnBits)}
	pfn := phys.PFN(word & (1<<pfnBits - 1))
	if pfn == 0 {
		return folio, at, nil
	}
	var ok bool
	if folio.Block, ok = f.h.Map.Head(pfn.Addr()); !ok {
		return folio, at, &phys.Error{Object: "memory", Addr: pfn.Addr(), Found: "not the head of a preserved block",
			Want: "a block of the preserved-memory map", Err: kho.ErrPreserved}
	}
	return folio, at, nil
}

// Write preserves a memfd in d and returns the address of its structure. The
// folios must be preserved in d already, and ascend by index.
func Write(d *kho.Draft, m Meta, folios []Folio) (phys.Addr, error) {
	a, page, err := d.Alloc()
	if err != nil {
		return 0, fmt.Errorf("memfd: structure: %w", err)
	}
	f := File{Meta: m, Addr: a, Folios: uint64(len(folios))}
	if err := f.check(0); err != nil {
		return 0, phys.In("memfd", a, err)
	}
	binary.LittleEndian.PutUint64(page[v2Pos:], m.Pos)
	binary.LittleEndian.PutUint64(page[v2Size:], m.Size)
	binary.LittleEndian.PutUint32(page[v2Seals:], m.Seals)
	binary.LittleEndian.PutUint64(page[v2Count:], f.Folios)
	if len(folios) == 0 {
		return a, nil
	}
	array, err := f.writeArray(d, folios)
	if err != nil {
		return 0, err
	}
	v, err := d.Vmalloc(kho.VmallocAlloc, 0, array)
	if err != nil {
		return 0, fmt.Errorf("memfd: folio array: %w", err)
	}
	v.Append(page[v2Folios:v2Folios])
	return a, nil
}

// writeArray writes the entries into new pages and returns these.
func (f *File) writeArray(d *kho.Draft, folios []Folio) (array []phys.Addr, err error) {
	var page []byte
	next := uint64(0)
	for i, folio := range folios {
		if i%pageEntries == 0 {
			var a phys.Addr
			if a, page, err = d.Alloc(); err != nil {
				return nil, fmt.Errorf("memfd: folio array: %w", err)
			}
			array = append(array, a)
		}
		at := array[len(array)-1] + phys.Addr(i%pageEntries*entrySize)
		if next, err = f.place(folio, next, at); err != nil {
			return nil, phys.In(fmt.Sprintf("memfd: folio %d", i), at, err)
		}
		if !folio.Hole() && !d.Map().Preserved(folio.Block) {
			return nil, &phys.Error{Object: fmt.Sprintf("memfd: folio %d", i), Addr: folio.Block.Addr,
				Found: fmt.Sprintf("not preserved with order %d", folio.Block.Order), Want: "a preserved block", Err: kho.ErrPreserved}
		}
		b := page[i%pageEntries*entrySize:]
		binary.LittleEndian.PutUint64(b, uint64(folio.Block.Addr.PFN())|uint64(folio.Flags)<<pfnBits)
		binary.LittleEndian.PutUint64(b[entryIndex:], folio.Index)
	}
	return array, nil
}

func bad(a phys.Addr, found, want string) error {
	return &phys.Error{Object: "structure", Addr: a, Found: found, Want: want, Err: ErrStruct}
}

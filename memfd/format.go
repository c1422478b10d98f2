package memfd

import (
	"encoding/binary"
	"fmt"
	"math"
	"slices"

	"ferry/kho"
	"ferry/own"
	"ferry/phys"
)

// Format is how one family of kernel releases lays out the structure of a memfd.
// There is one value for each, in a file of its own with all of its constants.
// Fields are little endian.
type Format struct {
	handler  string // compatible string of the file handler
	releases string // that write it

	// Offsets in the structure, which lies at the start of a page of its own.
	pos    uint64 // u64
	size   uint64 // u64
	seals  uint64 // u32, if there is one
	flags  uint64 // u32, always 0, if there is one
	count  uint64 // nr_folios, u64
	folios uint64 // struct kho_vmalloc, the last field
	sealed bool   // has seals and flags

	written bool // every writer clears folios that nobody wrote to, and says so
	twice   bool // the writers let one file be preserved more than once

	head head // with which the structure begins; nil: with its first field
}

// head is the beginning of a structure, by which readers know what is in it.
type head interface {
	// check refuses what is in the head of the structure b, which is at a, but not
	// known.
	check(a phys.Addr, b []byte) error
	// put writes the head to the beginning of b, which is zero.
	put(b []byte)
}

// table is every format of released kernels, the oldest first. Removing a format is
// deleting its file and its row.
var table = Table{V1, V2}

// Table is a set of formats, the oldest first.
type Table []*Format

// Formats returns every format of released kernels, the oldest first. All can be read
// and written.
func Formats() Table { return slices.Clone(table) }

// ByHandler returns which of [Formats] the files of this handler are in, nil if none.
func ByHandler(handler []byte) *Format { return table.ByHandler(handler) }

// ByHandler returns which of the formats the files of this handler are in, nil if they
// are no memfds or in none of them.
func (t Table) ByHandler(handler []byte) *Format {
	for _, f := range t {
		if string(handler) == f.handler {
			return f
		}
	}
	return nil
}

// Handler returns the compatible string of the format's file handler.
func (f *Format) Handler() string { return f.handler }

// Twice reports whether the kernels of the format let a file be preserved more than
// once, so that two files may have memory together.
func (f *Format) Twice() bool { return f.twice }

// HoldsSeals reports whether the format records seals.
func (f *Format) HoldsSeals() bool { return f.sealed }

// String names the format.
func (f *Format) String() string { return f.handler }

// Releases says which kernel releases write the format.
func (f *Format) Releases() string { return f.releases }

// end returns the length of the structure in bytes.
func (f *Format) end() uint64 { return f.folios + kho.VmallocSize }

// The array of folios, the same in every format: 16 bytes for each, little endian.
const (
	entrySize   = 16 // one folio: pfn and flags, index
	entryIndex  = 8
	pfnBits     = 52 // flags are above
	pageEntries = phys.PageSize / entrySize
)

// open is Open without the name of the object.
func (f *Format) open(ledger *own.Ledger, a phys.Addr) (*File, error) {
	owner := ledger.As(objectName, a)
	page, err := owner.Page("structure", a)
	if err != nil {
		return nil, err
	}
	b := page.Bytes()
	if f.head != nil {
		if err := f.head.check(a, b); err != nil {
			return nil, err
		}
	}
	file := &File{Addr: a, format: f, space: ledger.Space()}
	if f.isUnreadable(b) {
		file.unreadable = true
		return file, nil
	}
	u := binary.LittleEndian.Uint64
	file.Meta = Meta{Pos: u(b[f.pos:]), Size: u(b[f.size:]), Seals: SealSeal}
	file.Folios = u(b[f.count:])
	if f.sealed {
		file.Seals = binary.LittleEndian.Uint32(b[f.seals:])
		if flags := binary.LittleEndian.Uint32(b[f.flags:]); flags != 0 {
			file.note(f.flags, "flags %#x, which no kernel sets and none reads", flags)
		}
	}
	if file.Pos > math.MaxInt64 {
		file.note(f.pos, "position %#x, which no file can have: it will be 0", file.Pos)
	}
	if err := file.check(); err != nil {
		return nil, err
	}
	at := a + phys.Addr(f.folios)
	v := kho.ParseVmalloc(b[f.folios:f.end()])
	if file.Folios == 0 {
		if v != (kho.Vmalloc{}) {
			file.note(f.folios, "an array of %d pages at %v for no folios, which nobody reads", v.Pages, v.First)
		}
		return file, nil
	}
	if want := (file.Folios + pageEntries - 1) / pageEntries; uint64(v.Pages) != want {
		return nil, bad(at, fmt.Sprintf("array of %d pages", v.Pages), fmt.Sprintf("%d for %d folios", want, file.Folios))
	}
	if file.area, err = kho.OpenVmalloc(owner, at, v); err != nil {
		return nil, phys.In("folio array", at, err)
	}
	if odd := file.area.Odd(); odd != nil && file.odd == "" {
		file.odd = "folio array: " + odd.Error()
	}
	return file, nil
}

// note keeps what is odd in the field of the structure at offset.
func (f *File) note(offset uint64, format string, args ...any) {
	if f.odd == "" {
		f.odd = fmt.Sprintf("structure %v: ", f.Addr+phys.Addr(offset)) + fmt.Sprintf(format, args...)
	}
}

// check proves the plain fields of the structure.
func (f *File) check() error {
	at := func(offset uint64) phys.Addr { return f.Addr + phys.Addr(offset) }
	switch {
	case f.Size > math.MaxInt64:
		return bad(at(f.format.size), fmt.Sprintf("size %#x", f.Size), "at most 2^63-1")
	case f.Seals&^allSeals != 0:
		return bad(at(f.format.seals), fmt.Sprintf("seals %#x", f.Seals), fmt.Sprintf("seals %#x at most", allSeals))
	case f.Folios > filePages(f.Size) || (f.Folios == 0) != (f.Size == 0):
		return bad(at(f.format.count), fmt.Sprintf("%d folios for %d bytes", f.Folios, f.Size),
			fmt.Sprintf("1..%d, 0 for an empty file", filePages(f.Size)))
	}
	return nil
}

// Claim claims from the ledger, one for the handover of f, what [Open] claimed: the
// structure and the array. It reads neither again. It is for finding out whose they are
// once it is known that several files name the same.
func (f *File) Claim(ledger *own.Ledger) error {
	owner := ledger.As(objectName, f.Addr)
	err := owner.Claim("structure", phys.Block{Addr: f.Addr})
	if err == nil && f.area != nil {
		err = phys.In("folio array", f.Addr+phys.Addr(f.format.folios), f.area.Claim(owner))
	}
	return phys.In(objectName, f.Addr, err)
}

// entry reads entry i of the array and finds the order of its folio. at is the
// address of the entry.
func (f *File) entry(i uint64) (folio Folio, at phys.Addr, err error) {
	off := i * entrySize
	block := phys.Order(f.area.Order).Bytes()
	page := f.area.Block(int(off / block))
	at = page.Addr + phys.Addr(off%block)
	b, err := f.space.View(at, entrySize)
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
	if folio.Block, ok = f.space.Head(pfn.Addr()); ok {
		return folio, at, nil
	}
	folio.Block, folio.Lost = phys.Block{Addr: pfn.Addr()}, true
	return folio, at, nil
}

func bad(a phys.Addr, found, want string) error {
	return &phys.Error{Object: "structure", Addr: a, Found: found, Want: want, Err: ErrStruct}
}

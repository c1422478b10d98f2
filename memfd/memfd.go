// Package memfd models what Linux preserves of a memfd: size, position, seals,
// and the folios that hold its contents.
//
// Linux A's file handler wrote it (memfd_luo_preserve and memfd_luo_freeze,
// mm/memfd_luo.c): a structure in a page of its own, whose address is the data
// of the file's record in package luo, and behind it an array with one entry a
// folio in a kho_vmalloc area. The array never changed; the structure did, and
// the name of the handler with it:
//
//	v1.go  memfd-v1, Linux 6.19 and 7.0: without seals
//	v2.go  memfd-v2, Linux 7.1 to 7.3
//
// # Security
//
// The structure and the array are untrusted. [Open] proves
// the structure and the area, [File.Walk] each entry of the array as it meets
// it. How large a folio is comes only from the preserved-memory map; the
// next kernel takes it from there too. Nothing is allocated for an entry.
package memfd

import (
	"errors"
	"fmt"

	"ferry/kho"
	"ferry/own"
	"ferry/phys"
)

// Rules that a memfd may break, for [errors.Is]. Those of its pointers are in
// packages blockset and kho.
var (
	ErrStruct = errors.New("bad memfd structure")
	ErrFolio  = errors.New("bad folio entry")
	ErrFormat = errors.New("the format cannot hold the file")
	ErrDiffer = errors.New("files differ")

	ErrVersion = errors.New("a memfd of an unknown format") // see [Unknown]
)

// Seals of a memfd, as in F_ADD_SEALS.
const (
	SealSeal        = 0x01 // no more seals
	SealShrink      = 0x02
	SealGrow        = 0x04
	SealWrite       = 0x08
	SealFutureWrite = 0x10
	SealExec        = 0x20
	allSeals        = 0x3f
)

// Flags of a folio. Linux writes both, except for 6.19 up to some release between
// 6.19.8 and 6.19.14, which writes those of the moment.
const (
	Dirty    = 0x1
	UpToDate = 0x2
	allFlags = Dirty | UpToDate
)

// Meta is what a memfd is apart from its contents.
type Meta struct {
	Pos   uint64 // file position in bytes
	Size  uint64 // in bytes
	Seals uint32
}

// Folio is one entry of the array: memory that holds part of the contents.
type Folio struct {
	Block phys.Block // address 0 is a hole of one page
	Index uint64     // its place in the file, in pages; a multiple of its size
	Flags uint16     // Dirty, UpToDate
	Lost  bool       // the memory is not preserved, and its size unknown
}

// Hole reports whether the entry has no memory: the next kernel skips it.
func (f Folio) Hole() bool { return f.Block.Addr == 0 }

// File is a preserved memfd whose structure and array [Open] proved. It is kept: what
// was proved once is not proved again. It takes about 250 bytes, and 16 more for each
// 130,000 folios.
type File struct {
	Meta
	Addr   phys.Addr // of the structure
	Folios uint64    // entries of the array

	format     *Format
	space      *own.Space // of its handover
	area       *kho.Area  // the array; nil if there are no entries
	survey     survey     // known once the array was walked
	odd        string
	walked     bool
	unreadable bool
	asIs       bool // not to be repaired
}

// Ref is where a file record says that a memfd is.
type Ref struct {
	Format *Format   // that of the record's handler
	Addr   phys.Addr // of the structure: the record's data
}

// objectName is what errors and other owners call a file.
const objectName = "memfd"

// survey is what a walk over all folios finds.
type survey struct {
	unset   int        // folios that lack a flag
	lost    uint64     // folios whose memory is not preserved
	missing uint64     // entry of the first of these
	largest phys.Order // of a folio
	gap     uint64     // first index without memory
	behind  uint64     // entry of the array that should have given it some
	holes   bool       // there is one
}

// Format returns the format that the file was read in.
func (f *File) Format() *Format { return f.format }

// Odd says what no kernel writes, though none minds it: empty if there is nothing
// such. It is carried as it is.
func (f *File) Odd() string { return f.odd }

// Open reads the memfd that ref names and proves it. It claims the pages of the
// structure and of the array from the ledger, so that no other object of the handover
// may have them; the folios are left to [File.Check].
//
// The seals of a file from a format without them are [SealSeal], which the kernels
// that write it give to every memfd that they restore.
//
// The error is a [*phys.Error].
func Open(ledger *own.Ledger, ref Ref) (*File, error) {
	if ref.Format == nil {
		return nil, &phys.Error{Object: objectName, Addr: ref.Addr, Found: "a file of another handler, or in an unknown format",
			Want: "a format", Err: ErrVersion}
	}
	file, err := ref.Format.open(ledger, ref.Addr)
	if err != nil {
		return nil, phys.In(objectName, ref.Addr, err)
	}
	return file, nil
}

// Walk proves each entry of the array in turn and calls visit for it: in
// ascending order of indexes, none overlapping another, each within the file.
// It stops at the first error and returns it.
func (f *File) Walk(visit func(Folio) error) error {
	for i, next := uint64(0), uint64(0); i < f.Folios; i++ {
		folio, at, err := f.entry(i)
		if err == nil {
			next, err = f.place(folio, next, at)
		}
		if err != nil {
			return phys.In(fmt.Sprintf("memfd %v: folio %d", f.Addr, i), at, err)
		}
		if err := visit(folio); err != nil {
			return err
		}
	}
	return nil
}

// place proves the place of the folio in the file, given the first index that is
// free, and returns the next such. at is the address of its entry.
func (f *File) place(folio Folio, free uint64, at phys.Addr) (next uint64, err error) {
	pages := folio.Block.Order.Pages()
	bad := func(found, want string) (uint64, error) {
		return 0, &phys.Error{Object: "entry", Addr: at, Found: found, Want: want, Err: ErrFolio}
	}
	switch end := filePages(f.Size); {
	case folio.Index%pages != 0:
		return bad(fmt.Sprintf("index %d", folio.Index), fmt.Sprintf("a multiple of its %d pages", pages))
	case folio.Index < free:
		return bad(fmt.Sprintf("index %d", folio.Index), fmt.Sprintf("%d or above, behind the folio before", free))
	case folio.Index >= end:
		return bad(fmt.Sprintf("index %d", folio.Index), fmt.Sprintf("below %d, the end of the file", end))
	}
	return folio.Index + pages, nil
}

// Check walks the array and claims the folios from the ledger for this file only. It
// costs time with the number of folios, and a bit of memory a page.
func (f *File) Check(ledger *own.Ledger) error {
	owner := ledger.As(objectName, f.Addr)
	return f.each(func(b phys.Block) error { return owner.Claim("memory", b) })
}

// Share is Check for a file that may have memory together with others: see
// [Format.Twice]. Each of them has a structure and an array of its own, which name the
// same folios. It calls shared for the blocks that another file claimed from the same
// ledger.
func (f *File) Share(ledger *own.Ledger, shared func(phys.Block)) error {
	owner := ledger.As(objectName, f.Addr)
	return f.each(func(b phys.Block) error {
		again, err := owner.Share("memory", b)
		if again {
			shared(b)
		}
		return err
	})
}

// each walks the array and calls claim for the memory of each folio that is preserved.
func (f *File) each(claim func(phys.Block) error) error {
	i := -1
	return f.walk(func(folio Folio) error {
		i++
		if folio.Hole() || folio.Lost {
			return nil
		}
		if err := claim(folio.Block); err != nil {
			return phys.In(fmt.Sprintf("memfd %v: folio %d", f.Addr, i), f.Addr, err)
		}
		return nil
	})
}

// Lost returns how many folios name memory that is not preserved, with an error about
// the first of them, nil if there is none. Linux 6.19 and 7.0 leave such a file
// if two sessions preserved one memfd and one of them was given up: that takes the
// memory out of the handover, and not out of the other session's array. In any release
// the kernel that comes to such a folio gives up, answers EIO, and lets go of those
// before and behind.
func (f *File) Lost() (n uint64, err error) {
	s, err := f.look()
	if err != nil || s.lost == 0 {
		return 0, err
	}
	folio, at, err := f.entry(s.missing)
	if err != nil {
		return 0, err
	}
	return s.lost, &phys.Error{Object: fmt.Sprintf("memfd %v: folio %d: entry", f.Addr, s.missing), Addr: at,
		Found: fmt.Sprintf("memory %v", folio.Block.Addr), Want: "the head of a preserved block", Err: own.ErrPreserved}
}

// LostOutside proves that no folio whose memory is not preserved lies in rs.
func (f *File) LostOutside(rs phys.Ranges) error {
	if n, _ := f.Lost(); n == 0 {
		return nil
	}
	i := -1
	return f.Walk(func(folio Folio) error {
		i++
		if in, hit := rs.Overlaps(folio.Block.Range()); folio.Lost && hit {
			return &phys.Error{Object: fmt.Sprintf("memfd %v: folio %d", f.Addr, i), Addr: folio.Block.Addr,
				Found: fmt.Sprintf("memory in %v that is not preserved", in), Want: "memory that a file can have had", Err: own.ErrPreserved}
		}
		return nil
	})
}

// AsIs says that the file is not to be repaired: its memory is others' as well, so
// that all of them have to go on naming it.
func (f *File) AsIs() { f.asIs = true }

// walk is Walk that remembers what it finds.
func (f *File) walk(visit func(Folio) error) error {
	var s survey
	i, next, follows := uint64(0), uint64(0), uint64(0)
	err := f.Walk(func(folio Folio) error {
		i++
		if folio.Lost {
			if s.lost++; s.lost == 1 {
				s.missing = i - 1
			}
		}
		if !folio.Hole() {
			if folio.Flags != allFlags {
				s.unset++
			}
			s.largest = max(s.largest, folio.Block.Order)
			if folio.Index > next && !s.holes {
				s.gap, s.behind, s.holes = next, follows, true
			}
			next, follows = folio.Index+folio.Block.Order.Pages(), i
		}
		return visit(folio)
	})
	if next < filePages(f.Size) && !s.holes {
		s.gap, s.behind, s.holes = next, follows, true
	}
	if err == nil {
		f.survey, f.walked = s, true
	}
	return err
}

// look walks the array if nobody did.
func (f *File) look() (survey, error) {
	if !f.walked {
		if err := f.walk(func(Folio) error { return nil }); err != nil {
			return survey{}, err
		}
	}
	return f.survey, nil
}

// Whole proves that every page of the file has memory: Linux fills holes when it
// preserves a file, so that one which arrives with holes has lost what was there.
func (f *File) Whole() error {
	s, err := f.look()
	if err != nil || s.lost > 0 || !s.holes { // how much was lost is unknown
		return err
	}
	at, where := f.Addr+phys.Addr(f.format.count), ""
	if s.behind < f.Folios {
		_, entry, _ := f.entry(s.behind)
		where = fmt.Sprintf(" (entry %d at %v is of another)", s.behind, entry)
	}
	return phys.In("memfd", at, bad(at, fmt.Sprintf("%d folios, and page %d of %d in none of them%s", f.Folios, s.gap, filePages(f.Size), where), "memory for every page"))
}

// Unset returns how many folios were recorded with other flags than [Dirty] and
// [UpToDate], and are to be repaired: see [File.Rewrite]. It walks the array unless [File.Check] did, which is
// what proves the array: of a file whose array is unsound it returns 0.
func (f *File) Unset() int {
	s, err := f.look()
	if err != nil || f.asIs || s.lost > 0 {
		return 0
	}
	return s.unset
}

// Contents calls visit for each stretch of the file in order, up to its size: n
// bytes at offset off, with a window on them in data, nil if there is no
// memory and the bytes read as zeros.
func (f *File) Contents(visit func(off, n uint64, data []byte) error) error {
	at := uint64(0)
	hole := func(to uint64) error {
		if to = min(to, f.Size); at < to {
			err := visit(at, to-at, nil)
			at = to
			return err
		}
		return nil
	}
	err := f.Walk(func(folio Folio) error {
		if folio.Lost {
			return &phys.Error{Object: fmt.Sprintf("memfd %v: page %d", f.Addr, folio.Index), Addr: folio.Block.Addr,
				Found: "memory that is not preserved", Want: "contents", Err: own.ErrPreserved}
		}
		if folio.Hole() {
			return nil
		}
		off := folio.Index << phys.PageShift
		if err := hole(off); err != nil {
			return err
		}
		n := min(folio.Block.Order.Bytes(), f.Size-off)
		data, err := f.space.View(folio.Block.Addr, n)
		if err != nil {
			return err
		}
		at = off + n
		return visit(off, n, data)
	})
	if err != nil {
		return err
	}
	return hole(f.Size)
}

// filePages returns how many pages size bytes take.
func filePages(size uint64) uint64 {
	return size>>phys.PageShift + (size&(phys.PageSize-1)+phys.PageSize-1)>>phys.PageShift
}

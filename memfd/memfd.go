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
// The structure and the array are another kernel's allegations. [Open] proves
// the structure and the area, [File.Walk] each entry of the array as it meets
// it. How large a folio is comes from the preserved-memory map alone, where the
// next kernel takes it from too. Nothing is allocated for an entry.
package memfd

import (
	"errors"
	"fmt"

	"ferry/blockset"
	"ferry/kho"
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

// Flags of a folio. Linux writes both, but for 6.19 up to some release between
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
	Block phys.Block // address 0 stands for a hole of one page
	Index uint64     // where it stands in the file, in pages; a multiple of its size
	Flags uint16     // Dirty, UpToDate
}

// Hole reports whether the entry has no memory: the next kernel skips it.
func (f Folio) Hole() bool { return f.Block.Addr == 0 }

// File is a preserved memfd whose structure and array [Open] proved.
type File struct {
	Meta
	Addr   phys.Addr // of the structure
	Folios uint64    // entries of the array

	format *Format
	h      *kho.Handover
	area   *kho.Area // the array; nil where there are no entries
	survey *survey   // nil before the array was walked
}

// survey is what a walk over all folios finds.
type survey struct {
	unset   int        // folios that lack a flag
	largest phys.Order // of a folio
	stale   uint64     // first index of a folio that was never written to
	anew    bool       // there is one
	gap     uint64     // first index without memory
	behind  uint64     // entry of the array that should have given it some
	holes   bool       // there is one
}

// Format returns the format that the file was read in.
func (f *File) Format() *Format { return f.format }

// Open reads the memfd in format f whose structure lies at a. c, made for h,
// proves and remembers the pages of the structure and of the array, so that no
// other object of the handover may claim them; the folios are left to
// [File.Check]. A nil c is for opening again what was claimed before: everything is
// proved but whose it is.
//
// The seals of a file from a format without them are [SealSeal], which the kernels
// that write it give to every memfd that they restore.
//
// The error is a [*phys.Error].
func Open(f *Format, h *kho.Handover, c *blockset.Checker, a phys.Addr) (*File, error) {
	file, err := f.open(h, c, a)
	if err != nil {
		return nil, phys.In("memfd", a, err)
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

// place proves where the folio stands in the file, given the first index that is
// free, and returns the next such. at is where its entry lies.
func (f *File) place(folio Folio, free uint64, at phys.Addr) (next uint64, err error) {
	pages := folio.Block.Order.Pages()
	bad := func(found, want string) (uint64, error) {
		return 0, &phys.Error{Object: "entry", Addr: at, Found: found, Want: want, Err: ErrFolio}
	}
	switch end := filePages(f.Size); {
	case folio.Flags&^allFlags != 0:
		return bad(fmt.Sprintf("flags %#x", folio.Flags), fmt.Sprintf("flags %#x at most", allFlags))
	case folio.Index%pages != 0:
		return bad(fmt.Sprintf("index %d", folio.Index), fmt.Sprintf("a multiple of its %d pages", pages))
	case folio.Index < free:
		return bad(fmt.Sprintf("index %d", folio.Index), fmt.Sprintf("%d or above, behind the folio before", free))
	case folio.Index >= end:
		return bad(fmt.Sprintf("index %d", folio.Index), fmt.Sprintf("below %d, the end of the file", end))
	}
	return folio.Index + pages, nil
}

// Check walks the array and makes the file the owner of its folios with c. It
// costs time with the number of folios, and a bit of memory a page.
func (f *File) Check(c *blockset.Checker) error {
	i := -1
	return f.walk(func(folio Folio) error {
		i++
		if folio.Hole() {
			return nil
		}
		if err := c.Block("memory", folio.Block); err != nil {
			return phys.In(fmt.Sprintf("memfd %v: folio %d", f.Addr, i), f.Addr, err)
		}
		return nil
	})
}

// walk is Walk that remembers what it finds.
func (f *File) walk(visit func(Folio) error) error {
	var s survey
	i, next, follows := uint64(0), uint64(0), uint64(0)
	err := f.Walk(func(folio Folio) error {
		i++
		if !folio.Hole() {
			if folio.Flags != allFlags {
				s.unset++
			}
			if folio.Flags&UpToDate == 0 && !s.anew {
				s.stale, s.anew = folio.Index, true
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
		f.survey = &s
	}
	return err
}

// look walks the array if nobody did.
func (f *File) look() (survey, error) {
	if f.survey == nil {
		if err := f.walk(func(Folio) error { return nil }); err != nil {
			return survey{}, err
		}
	}
	return *f.survey, nil
}

// Whole proves that every page of the file has memory, and contents where the
// kernels of the format give every page some: Linux fills holes when it preserves
// a file, so that one which arrives with holes has lost what was there.
func (f *File) Whole() error {
	s, err := f.look()
	if err != nil {
		return err
	}
	at := f.Addr + phys.Addr(f.format.count)
	switch {
	case s.holes:
		where := ""
		if s.behind < f.Folios {
			_, entry, _ := f.entry(s.behind)
			where = fmt.Sprintf(" (entry %d at %v is of another)", s.behind, entry)
		}
		return phys.In("memfd", at, bad(at, fmt.Sprintf("%d folios, and page %d of %d in none of them%s", f.Folios, s.gap, filePages(f.Size), where), "memory for every page"))
	case s.anew && f.format.written:
		return phys.In("memfd", f.area.Block(0).Addr, &phys.Error{Object: "folio array", Addr: f.area.Block(0).Addr,
			Found: fmt.Sprintf("page %d never written to", s.stale), Want: "contents, as every kernel of " + f.format.handler + " gives each page", Err: ErrFolio})
	}
	return nil
}

// Unset returns how many folios were recorded without [Dirty] or [UpToDate]; see
// [File.Rewrite]. It walks the array unless [File.Check] did, which is what proves
// the array: of a file whose array is unsound it returns 0.
func (f *File) Unset() int {
	s, err := f.look()
	if err != nil {
		return 0
	}
	return s.unset
}

// Contents calls visit for each stretch of the file in order, up to its size: n
// bytes at offset off, with a window on them in data, nil where there is no
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
		if folio.Hole() {
			return nil
		}
		off := folio.Index << phys.PageShift
		if err := hole(off); err != nil {
			return err
		}
		n := min(folio.Block.Order.Bytes(), f.Size-off)
		data, err := f.h.Memory().View(folio.Block.Addr, n)
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

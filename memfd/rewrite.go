package memfd

import (
	"fmt"

	"ferry/kho"
	"ferry/phys"
)

// Fits reports why f cannot be handed over as as, to a kernel that takes back
// folios of order restore at most; nil if it can.
//
// A format without seals gives every file [SealSeal] and no other. A file with
// none is written to it all the same, for what it loses is that it may be sealed
// later. Any other set of seals is a promise to whoever maps the file, and
// breaking it in silence would be a change of security: it is refused.
func (f *File) Fits(as *Format, restore phys.Order) error {
	if err := f.fitsSeals(as); err != nil {
		return phys.In("memfd", f.Addr, err)
	}
	if restore >= phys.MaxOrder {
		return nil
	}
	s, err := f.look()
	if err != nil || s.largest <= restore {
		return err
	}
	i := -1
	return f.Walk(func(folio Folio) error {
		i++
		if folio.Block.Order <= restore {
			return nil
		}
		return &phys.Error{Object: fmt.Sprintf("memfd %v: folio %d", f.Addr, i), Addr: folio.Block.Addr,
			Found: fmt.Sprintf("order %d", folio.Block.Order), Want: fmt.Sprintf("at most order %d", restore),
			Hint: "the next kernel takes no larger one back", Err: ErrFormat}
	})
}

func (f *File) fitsSeals(as *Format) error {
	if as.sealed || f.Seals&^SealSeal == 0 {
		return nil
	}
	return &phys.Error{Object: "structure", Addr: f.Addr, Found: fmt.Sprintf("seals %#x", f.Seals),
		Want: fmt.Sprintf("none but %#x in %v (Linux %s)", SealSeal, as, as.releases),
		Hint: "the file would come back unsealed", Err: ErrFormat}
}

// Rewrite writes f as as into d and returns the address of its new structure. Its
// old structure leaves d; array and folios are shared with the old handover. A
// file that needs no change stays where it is.
//
// Folios that were not recorded with [Dirty] and [UpToDate] are repaired on the way,
// whichever format they go to: there is a new array, with both flags for each. What
// lacked UpToDate was never written to in the formats whose kernels write down the
// flags of the moment: it is replaced by a new zeroed block of the same order. In the
// others the contents are there, and only the flag is damaged. The old array and those blocks leave d; not
// a byte of them is changed. A file with folios whose memory is not preserved, and one
// that is to stay as it is ([File.AsIs]), goes on with the array that it has.
func (f *File) Rewrite(d *kho.Draft, as *Format) (phys.Addr, error) {
	if _, err := f.look(); err != nil {
		return 0, err
	}
	unset := f.Unset()
	switch {
	case as == f.format && unset == 0:
		return f.Addr, nil
	case f.unreadable:
		a, err := WriteUnreadable(d, as)
		if err == nil {
			err = d.Retire(phys.Block{Addr: f.Addr})
		}
		return a, err
	}
	file := File{Meta: f.Meta, Folios: f.Folios, format: as}
	a, err := file.write(d, func() (v kho.Vmalloc, err error) {
		switch {
		case f.area == nil:
			return v, nil
		case unset == 0:
			return f.area.Vmalloc, nil
		}
		return f.repair(d, &file)
	})
	if err == nil {
		err = d.Retire(phys.Block{Addr: f.Addr})
	}
	if err != nil {
		return 0, phys.In(fmt.Sprintf("memfd %v: rewriting", f.Addr), f.Addr, err)
	}
	return a, nil
}

// repair writes the array of f anew for file, its successor, and retires the old
// one.
func (f *File) repair(d *kho.Draft, file *File) (v kho.Vmalloc, err error) {
	w := file.array(d)
	err = f.Walk(func(folio Folio) error {
		if !folio.Hole() && folio.Flags&UpToDate == 0 && !f.format.written {
			old := folio.Block
			if err := d.Retire(old); err != nil {
				return err
			}
			if folio.Block.Addr, _, err = d.AllocBlock(old.Order); err != nil {
				return err
			}
		}
		if !folio.Hole() {
			folio.Flags = allFlags
		}
		return w.append(folio)
	})
	if err != nil {
		return v, err
	}
	for _, a := range f.area.Chunks() {
		if err := d.Retire(phys.Block{Addr: a}); err != nil {
			return v, err
		}
	}
	for i := range f.area.Len() {
		if err := d.Retire(f.area.Block(i)); err != nil {
			return v, err
		}
	}
	return w.finish()
}

// Same reports how f, read back from the new handover, differs from want, the
// file that it was rewritten from; nil if it does not. Seals are equal if
// a format on the way has none, as long as [File.Fits] let them pass. A folio that
// [File.Rewrite] repairs must have both flags and, if it never was up to date,
// zeroed memory of its own.
func (f *File) Same(want *File) error {
	if f.unreadable != want.unreadable {
		return fmt.Errorf("memfd %v: unreadable %v, want %v as memfd %v: %w", f.Addr, f.unreadable, want.unreadable, want.Addr, ErrDiffer)
	}
	got, was := f.Meta, want.Meta
	if !f.format.sealed || !want.format.sealed {
		got.Seals, was.Seals = got.Seals|SealSeal, was.Seals|SealSeal
	}
	if got != was || f.Folios != want.Folios {
		return fmt.Errorf("memfd %v: %+v and %d folios, want %+v and %d of memfd %v: %w",
			f.Addr, f.Meta, f.Folios, want.Meta, want.Folios, want.Addr, ErrDiffer)
	}
	i := uint64(0)
	return f.Walk(func(folio Folio) error {
		old, _, err := want.entry(i)
		if err != nil {
			return err
		}
		if folio != old {
			if err := f.isRepair(folio, old, want.format); err != nil {
				return fmt.Errorf("memfd %v: folio %d: %+v, want %+v of memfd %v: %w", f.Addr, i, folio, old, want.Addr, err)
			}
		}
		i++
		return nil
	})
}

// isRepair proves that folio is what [File.Rewrite] makes of old, of a file in format
// from, which lacks a flag.
func (f *File) isRepair(folio, old Folio, from *Format) error {
	repaired := old
	repaired.Flags = allFlags
	fresh := old.Flags&UpToDate == 0 && !from.written
	if fresh {
		repaired.Block.Addr = folio.Block.Addr
	}
	if old.Hole() || folio != repaired || fresh && folio.Block.Addr == old.Block.Addr {
		return ErrDiffer
	}
	if !fresh {
		return nil
	}
	b, err := f.space.View(folio.Block.Addr, folio.Block.Order.Bytes())
	if err != nil {
		return err
	}
	for i := range b {
		if b[i] != 0 {
			return fmt.Errorf("byte %d is not zero: %w", i, ErrDiffer)
		}
	}
	return nil
}

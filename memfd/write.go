package memfd

import (
	"encoding/binary"
	"fmt"

	"ferry/kho"
	"ferry/own"
	"ferry/phys"
)

// Write preserves a memfd in d in format f and returns the address of its
// structure. The folios must be preserved in d already, and ascend by index.
// Seals that the format does not hold are refused; see [File.Fits].
func Write(d *kho.Draft, f *Format, m Meta, folios []Folio) (phys.Addr, error) {
	file := File{Meta: m, Folios: uint64(len(folios)), format: f}
	return file.write(d, func() (v kho.Vmalloc, err error) {
		if len(folios) == 0 {
			return v, nil
		}
		w := file.array(d)
		for _, folio := range folios {
			if err := w.append(folio); err != nil {
				return v, err
			}
		}
		return w.finish()
	})
}

// write writes the structure of f, whose array is what folios returns, and sets
// its address.
func (f *File) write(d *kho.Draft, folios func() (kho.Vmalloc, error)) (phys.Addr, error) {
	a, page, err := d.Alloc()
	if err != nil {
		return 0, fmt.Errorf("memfd: structure: %w", err)
	}
	f.Addr = a
	if err = f.check(); err == nil {
		err = f.fitsSeals(f.format)
	}
	if err != nil {
		return 0, phys.In("memfd", a, err)
	}
	v, err := folios()
	if err != nil {
		return 0, err
	}
	as := f.format
	as.begin(page)
	binary.LittleEndian.PutUint64(page[as.pos:], f.Pos)
	binary.LittleEndian.PutUint64(page[as.size:], f.Size)
	if as.sealed {
		binary.LittleEndian.PutUint32(page[as.seals:], f.Seals)
	}
	binary.LittleEndian.PutUint64(page[as.count:], f.Folios)
	v.Append(page[as.folios:as.folios])
	return a, nil
}

// begin writes the head of the structure, if it has one.
func (f *Format) begin(page []byte) {
	if f.head != nil {
		f.head.put(page)
	}
}

// arrayWriter writes the folios of a file.
type arrayWriter struct {
	f     *File
	d     *kho.Draft
	pages []phys.Addr
	page  []byte // the last one
	n     int    // folios so far
	next  uint64 // first index that is free
}

func (f *File) array(d *kho.Draft) *arrayWriter { return &arrayWriter{f: f, d: d} }

// append adds one folio, which must be preserved.
func (w *arrayWriter) append(folio Folio) error {
	i := w.n % pageEntries
	if i == 0 {
		a, page, err := w.d.Alloc()
		if err != nil {
			return fmt.Errorf("memfd: folio array: %w", err)
		}
		w.pages, w.page = append(w.pages, a), page
	}
	at := w.pages[len(w.pages)-1] + phys.Addr(i*entrySize)
	next, err := w.f.place(folio, w.next, at)
	if err != nil {
		return phys.In(fmt.Sprintf("memfd: folio %d", w.n), at, err)
	}
	if !folio.Hole() && !w.d.Map().Preserved(folio.Block) {
		return &phys.Error{Object: fmt.Sprintf("memfd: folio %d", w.n), Addr: folio.Block.Addr,
			Found: fmt.Sprintf("not preserved with order %d", folio.Block.Order), Want: "a preserved block", Err: own.ErrPreserved}
	}
	b := w.page[i*entrySize:]
	binary.LittleEndian.PutUint64(b, uint64(folio.Block.Addr.PFN())|uint64(folio.Flags)<<pfnBits)
	binary.LittleEndian.PutUint64(b[entryIndex:], folio.Index)
	w.n, w.next = w.n+1, next
	return nil
}

// finish returns the descriptor of the array.
func (w *arrayWriter) finish() (kho.Vmalloc, error) {
	v, err := w.d.Vmalloc(kho.VmallocAlloc, 0, w.pages)
	if err != nil {
		return v, fmt.Errorf("memfd: folio array: %w", err)
	}
	return v, nil
}

package luo

import (
	"encoding/binary"
	"fmt"

	"ferry/blockset"
	"ferry/kho"
	"ferry/phys"
)

// Options say how a state is written.
type Options struct {
	// Format to write; nil is the one that the state was restored from.
	Format *Format

	// BeyondLimits writes larger arrays than the kernels of the format do, as far
	// as their readers go; see [Fits].
	BeyondLimits bool

	// Rewrite returns the handler and the data that stand for those of f, a file
	// of s, in the new handover. It may take pages of the draft and retire what
	// the old data names. nil carries every record as it is, in bulk.
	Rewrite func(s Session, f File) (handler string, data uint64, err error)
}

// Serialize writes st into new pages of d, takes the pages that it was restored
// from out of d, and points the sub-tree at the new root. Blocks are filled to
// their capacity, whatever they were before; arrays have the order that Linux
// gives them. The same state and the same sequence of pages give the same bytes.
//
// The FLB page alone stays where it is: its format is the same in every release
// that has one, nothing in it changes and no kernel frees it, so a copy would
// only be one more thing that can go wrong. One with more on it than its records is
// written anew. A state built from nothing, or from a
// format without FLBs, gets a new one; a format without FLBs gets none. Records
// of unknown handlers are carried as they are; see [State.Handlers].
//
// Everything that the format may not hold is refused before anything is written.
// Where it fails later, d must not be committed.
func Serialize(st *State, d *kho.Draft, o Options) error { return serializeTo(st, d, o) }

// outgoing is what serializing needs of the outgoing handover. kho.Draft is one.
type outgoing interface {
	blockset.Pages
	AllocBlock(o phys.Order) (phys.Addr, []byte, error)
	SetSubtree(name string, a phys.Addr, size uint64) error
	DropSubtree(name string) bool
}

func serializeTo(st *State, d outgoing, o Options) error {
	if st.absent {
		return nil
	}
	w := &writer{st: st, d: d, format: o.Format, rewrite: o.Rewrite}
	if w.format == nil {
		w.format = st.format
	}
	if w.format == nil {
		return fmt.Errorf("luo: serializing: a state from nothing needs a format")
	}
	if err := Fits(st, w.format, o.BeyondLimits); err != nil {
		return err
	}
	err := st.check()
	if err == nil {
		err = w.write()
	}
	if err != nil {
		return fmt.Errorf("luo: serializing as %v: %w", w.format, err)
	}
	return nil
}

// writer writes one state.
type writer struct {
	st      *State
	d       outgoing
	format  *Format
	rewrite func(Session, File) (string, uint64, error)
	rec     [fileSize]byte // being rewritten
}

func (w *writer) write() error {
	root, size, err := w.format.form().serialize(w)
	if err != nil {
		return err
	}
	if err := w.st.retire(w.d, w.format.HoldsFLBs()); err != nil {
		return err
	}
	return w.d.SetSubtree(Subtree, root, size)
}

// flbs returns the FLB page for the new handover, 0 where there is to be none.
func (w *writer) flbs() (phys.Addr, error) {
	st := w.st
	none := st.noFLBs && st.format.HoldsFLBs() && w.format.tree == nil // as it came
	if st.flbPage != 0 && !st.flbStale || none {
		return st.flbPage, nil
	}
	a, page, err := w.d.Alloc()
	if err != nil {
		return 0, fmt.Errorf("FLB page: %w", err)
	}
	binary.LittleEndian.PutUint64(page[flbPages:], 1)
	binary.LittleEndian.PutUint64(page[flbNumber:], uint64(len(st.flbs)/flbSize))
	copy(page[flbRecords:], st.flbs)
	return a, nil
}

// sessions writes the record of each session into what slot returns. files writes
// those of one session and returns where.
func (w *writer) sessions(slot func() []byte, files func(Session) (phys.Addr, error)) error {
	for s, err := range w.st.Sessions() {
		if err != nil {
			return err
		}
		a, err := files(s)
		if err != nil {
			return fmt.Errorf("%v: %w", s, err)
		}
		rec := slot()
		copy(rec, s.Name())
		binary.LittleEndian.PutUint64(rec[sessionFiles:], uint64(a))
		binary.LittleEndian.PutUint64(rec[sessionCount:], uint64(s.Len()))
	}
	return nil
}

// files calls put for the records of the files of s as they are to be written,
// many at a time where nothing in them changes.
func (w *writer) files(s Session, put func(records []byte) error) error {
	c := s.records()
	for seg := c.stretch(); len(seg) > 0; seg = c.stretch() {
		c.skip(len(seg))
		if w.rewrite == nil {
			if err := put(seg); err != nil {
				return err
			}
			continue
		}
		for ; len(seg) > 0; seg = seg[fileSize:] {
			if err := w.file(s, File(seg[:fileSize:fileSize])); err != nil {
				return err
			}
			if err := put(w.rec[:]); err != nil {
				return err
			}
		}
	}
	return c.err
}

// file makes the new record of f.
func (w *writer) file(s Session, f File) error {
	handler, data, err := w.rewrite(s, f)
	if err == nil {
		err = checkName("handler", handler, MaxHandlerName)
	}
	if err != nil {
		return fmt.Errorf("file token %#x: %w", f.Token(), err)
	}
	clear(w.rec[copy(w.rec[:], handler):])
	binary.LittleEndian.PutUint64(w.rec[fileData:], data)
	binary.LittleEndian.PutUint64(w.rec[fileToken:], f.Token())
	return nil
}

// retire takes the blocks that st was restored from out of d. The FLB page stays
// where the new handover has use for it.
func (st *State) retire(d blockset.Pages, keepFLBs bool) error {
	retire := func(what string, b phys.Block) error {
		if err := d.Retire(b); err != nil {
			return fmt.Errorf("retiring the %s %v: %w", what, b, err)
		}
		return nil
	}
	if st.root == 0 {
		return nil
	}
	if err := retire("root", phys.Block{Addr: st.root}); err != nil {
		return err
	}
	if st.flbPage != 0 && (!keepFLBs || st.flbStale) {
		if err := retire("FLB page", phys.Block{Addr: st.flbPage}); err != nil {
			return err
		}
	}
	for i := range st.arrays {
		if err := retire("array", st.arrays.at(i)); err != nil {
			return err
		}
	}
	if st.format.ser == nil {
		return nil
	}
	for _, l := range []*runs{&st.sessions, &st.files} {
		for i := range l.n { // each is one block
			if err := retire("block", phys.Block{Addr: l.at(i).addr().Page()}); err != nil {
				return err
			}
		}
	}
	return nil
}

// Drop takes a state without sessions out of d, for kernels that have no live
// update: the sub-tree and all that belongs to it. A state with sessions is
// refused as by [FitsNone], for they would be lost.
func Drop(st *State, d *kho.Draft) error { return drop(st, d) }

func drop(st *State, d outgoing) error {
	if err := FitsNone(st, "a kernel without live update"); err != nil {
		return err
	}
	if err := st.retire(d, false); err != nil {
		return fmt.Errorf("luo: dropping: %w", err)
	}
	d.DropSubtree(Subtree)
	return nil
}

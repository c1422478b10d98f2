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

	// Rewrite returns the handler and the data that f, a file of s, has in the new
	// handover. It may take pages of the draft and retire what the old data names.
	// nil carries every file as it is, in bulk if the records of both formats are
	// alike.
	Rewrite func(s Session, f File) (handler string, data uint64, err error)
}

// Serialize writes st into new pages of d, takes the pages that it was restored
// from out of d, and points the sub-tree at the new root. Blocks are filled to
// their capacity, whatever they were before; arrays have the order that Linux
// gives them. The same state and the same sequence of pages give the same bytes.
//
// Only the FLB page stays where it is: every release that has one writes it alike,
// nothing in it changes and no kernel frees it, so a copy would only be one more
// thing that can go wrong. One with more on it than its records is written anew. A
// state built by [New], or from a format without FLBs, gets a new one; a format
// without FLBs gets none. Files of unknown handlers are carried as they are; see
// [State.Handlers].
//
// Everything that the format cannot hold, and a state that is damaged, is refused
// before anything is written. If it fails later, d must not be committed.
func Serialize(st *State, d *kho.Draft, o Options) error { return serializeTo(st, d, o) }

// outgoing is what serializing needs of the outgoing handover. kho.Draft is one.
type outgoing interface {
	blockset.Pages
	AllocBlock(o phys.Order) (phys.Addr, []byte, error)
	SetSubtree(name string, a phys.Addr, size uint64) error
	DropSubtree(name string) bool
}

// places is where a state is written: pages that a form took, in a fixed order.
type places interface {
	// session returns the place of the next session record.
	session() []byte
	// files begins the list of n files of one session.
	files(n int) error
	// append copies records to that list.
	append(records []byte) error
	// head returns where the list is, 0 if it is empty.
	head() phys.Addr
	// finish writes the root and returns it and its size.
	finish(number uint64, flbs phys.Addr) (root phys.Addr, size uint64, err error)
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
		return fmt.Errorf("luo: serializing: a state built by New needs a format")
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
	places  places
	rec     []byte // of a file that changes
}

// write takes the pages in a fixed order: root, session records, FLB page if there is
// to be a new one, then the files of each session.
func (w *writer) write() (err error) {
	f := w.format
	if w.places, err = f.form.create(w.d, f, w.st.Len()); err != nil {
		return err
	}
	var flbs phys.Addr
	if f.HoldsFLBs() {
		if flbs, err = w.flbs(); err != nil {
			return err
		}
	}
	w.rec = make([]byte, f.file.size)
	for s, err := range w.st.Sessions() {
		if err != nil {
			return err
		}
		n := s.Len()
		if err := w.files(s, n); err != nil {
			return fmt.Errorf("%v: %w", s, err)
		}
		f.session.put(w.places.session(), s.Name, uint64(w.places.head()), uint64(n))
	}
	root, size, err := w.places.finish(w.st.Number, flbs)
	if err != nil {
		return err
	}
	if err := w.st.retire(w.d, w.keepsFLBs()); err != nil {
		return err
	}
	return w.d.SetSubtree(Subtree, root, size)
}

// keepsFLBs reports whether the incoming FLB page, if there is one, stays.
func (w *writer) keepsFLBs() bool {
	return w.format.HoldsFLBs() && !w.st.flbStale && w.st.flb == w.format.flb
}

// flbs returns the FLB page for the new handover, 0 if there is to be none.
func (w *writer) flbs() (phys.Addr, error) {
	st := w.st
	switch {
	case st.flbPage != 0 && w.keepsFLBs():
		return st.flbPage, nil
	case st.noFLBs && st.format.HoldsFLBs() && w.format.flbs == optionalFLBs:
		return 0, nil // as before
	}
	a, page, err := w.d.Alloc()
	if err != nil {
		return 0, fmt.Errorf("FLB page: %w", err)
	}
	binary.LittleEndian.PutUint64(page[flbPages:], 1)
	binary.LittleEndian.PutUint64(page[flbNumber:], uint64(st.numFLBs()))
	for i, rest := 0, page[flbRecords:]; i < st.numFLBs(); i++ {
		f := st.flbAt(i)
		w.format.flb.put(rest, f.Name, f.Data, f.Users)
		rest = rest[w.format.flb.size:]
	}
	return a, nil
}

// files writes the records of the n files of s, many at a time if nothing in them
// changes.
func (w *writer) files(s Session, n int) error {
	if err := w.places.files(n); err != nil || n == 0 {
		return err
	}
	c, from := s.records(), &w.st.file
	bulk := w.rewrite == nil && w.st.file == w.format.file
	for seg := c.stretch(); len(seg) > 0; seg = c.stretch() {
		a := c.pos
		c.skip(len(seg))
		if bulk {
			if err := w.places.append(seg); err != nil {
				return err
			}
			continue
		}
		for ; len(seg) > 0; seg, a = seg[from.size:], a+phys.Addr(from.size) {
			if err := w.file(s, from.file(seg, a)); err != nil {
				return err
			}
			if err := w.places.append(w.rec); err != nil {
				return err
			}
		}
	}
	return c.err
}

// file makes the new record of f.
func (w *writer) file(s Session, f File) error {
	to := &w.format.file
	if w.rewrite == nil {
		to.put(w.rec, f.Handler, f.Data, f.Token)
		return nil
	}
	handler, data, err := w.rewrite(s, f)
	if err == nil {
		err = checkName("handler", handler, to.room-1)
	}
	if err != nil {
		return fmt.Errorf("file token %#x: %w", f.Token, err)
	}
	clear(w.rec)
	copy(w.rec[to.name:], handler)
	binary.LittleEndian.PutUint64(w.rec[to.first:], data)
	binary.LittleEndian.PutUint64(w.rec[to.second:], f.Token)
	return nil
}

// retire takes the blocks that st was restored from out of d, except for the FLB page if
// the new handover keeps it.
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
	if st.flbPage != 0 && !keepFLBs {
		if err := retire("FLB page", phys.Block{Addr: st.flbPage}); err != nil {
			return err
		}
	}
	return st.format.form.owned(st, retire)
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

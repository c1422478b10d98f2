package crossing

import (
	"slices"

	"ferry/kho"
	"ferry/luo"
)

// readers names the formats of the incoming handover if a kernel is known not to
// read them; empty: it reads them, or that is unknown.
type readers struct{ next, rollback string }

// unreadBy applies formats, which returns in what the handover is if a generation does not
// read it, to the next and to the rollback kernel, as far as their generations are known.
func (w *WayOut) unreadBy(formats func(*Generation) string) {
	w.unread = readers{}
	if g := w.start.next.gen; g != nil {
		w.unread.next = formats(g)
	}
	if b := w.start.rollback; b != nil && b.gen != nil {
		w.unread.rollback = formats(b.gen)
	}
}

// compare finds out which kernels are known not to read a handover, as far as it was
// read.
func (w *WayOut) compare(in *kho.Handover) {
	state := luo.Recognise(in, readableFormats(w.start.options.Experimental).luo...)
	w.unreadBy(func(g *Generation) string {
		switch {
		case slices.ContainsFunc(in.Formats(), func(f *kho.Format) bool { return g.reads(f, state) }):
			return ""
		case state == nil:
			return in.Format().String()
		}
		return in.Format().String() + ", " + state.String()
	})
}

// open compares a handover that was not read because something else was wrong.
func (w *WayOut) open() error {
	d, ok := w.data()
	if !ok {
		return nil
	}
	h, err := kho.Open(w.room.memory, d, w.start.from.format())
	if err == nil {
		w.compare(h)
	}
	return err
}

// recognise is compare for a handover that was not read yet. It uses what its root and
// its map show, and what is said of its kernel if they do not contradict that.
func (w *WayOut) recognise() {
	d, ok := w.data()
	if !ok {
		return
	}
	fit, from := kho.Recognise(w.room.memory, d), w.start.from.gen
	w.unreadBy(func(g *Generation) string {
		switch {
		case len(fit) > 0 && !slices.Contains(fit, g.KHO):
			return fit[0].String()
		case from != nil && (len(fit) == 0 || slices.Contains(fit, from.KHO)) && !g.reads(from.KHO, from.LUO):
			return "what generation " + from.Name + " writes"
		}
		return ""
	})
}

package luo

import "ferry/phys"

// Records behind a count. Linux 6.19, 7.0 and the first 7.1 leave some if an attempt
// to reboot failed after the state was written (kho_finalize out of memory, a
// kexec that returns) and sessions were closed before the next: luo_session_serialize
// writes over as many records as there are then, and over as much of a name as it
// needs. No reader looks at them. But a count that is damaged reads the same, and hides
// a session that is there: that one has files in memory that is preserved, and that
// no other session has.

// tail is session records with bytes behind those that count.
type tail struct {
	stretch
	odd *phys.Error // the first record behind them that is not zero
}

// findHidden separates records of sessions that are there from remains of others, when
// all sessions are read.
func (r *reader) findHidden() {
	size := r.st.session.size
	for _, t := range r.hidden {
		e := t.odd
		for off := 0; off+size <= len(t.rest); off += size {
			if !r.live(t.rest[off : off+size]) {
				continue
			}
			live := *e
			live.Addr, live.Found, live.Hint = t.addr+phys.Addr(len(t.recs)+off), "a session whose files are preserved", hidden
			if err := r.found(&live); err != nil {
				return
			}
			if e = nil; r.st.sessEnd == nil {
				r.st.sessEnd = &live
			}
			break
		}
		if e != nil {
			r.odd(e)
		}
	}
}

// live reports whether rec is the record of a session whose files are preserved, and
// no other session's.
func (r *reader) live(rec []byte) bool {
	st := r.st
	if st.session.number(rec) == 0 {
		return false
	}
	a := phys.Addr(st.session.value(rec))
	b, ok := r.heads.Head(a)
	if !ok || r.c.Has(b) {
		return false
	}
	first, err := r.c.Memory().View(a, phys.PageSize)
	if err != nil {
		return false
	}
	name := st.file.nameField(first[st.format.form.firstFile():])
	return checkText("handler", name) == nil && checkPadding("handler", name) == nil
}

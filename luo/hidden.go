package luo

import (
	"ferry/blockset"
	"ferry/phys"
)

// Records behind a count. Linux 6.19, 7.0 and the first 7.1 leave some where an attempt
// to reboot came to nothing after the state was written (kho_finalize out of memory, a
// kexec that returns) and sessions were closed before the next: luo_session_serialize
// writes over as many records as there are then, and over as much of a name as it
// needs. No reader looks at them. But a count that is damaged reads the same, and hides
// a session that is there: that one has files in memory that is preserved, and that
// nobody else has.

// tail is what lies behind the session records of one count.
type tail struct {
	rest []byte
	end  phys.Addr
	odd  *phys.Error // its first record that is not zero
}

// behind keeps the rest of an object behind its session records, which ends at end, for
// [reader.findHidden]. odd is nil where there are zeros.
func (r *reader) behind(rest []byte, end phys.Addr, odd *phys.Error) {
	if odd != nil && len(r.hidden) < maxFindings {
		r.hidden = append(r.hidden, tail{rest, end, odd})
	}
}

// findHidden tells records of sessions that are there from what is left of others, when
// all sessions are read.
func (r *reader) findHidden() error {
	for _, h := range r.hidden {
		e := h.odd
		for rest := h.rest; len(rest) >= sessionSize; rest = rest[sessionSize:] {
			if !r.live(rest[:sessionSize]) {
				continue
			}
			live := *e
			live.Addr, live.Found, live.Hint = h.end-phys.Addr(len(rest)), "a session whose files are preserved", hidden
			if err := r.found(&live); err != nil {
				return err
			}
			e = nil
			break
		}
		if e != nil {
			r.odd(e)
		}
	}
	return nil
}

// live reports whether rec is the record of a session whose files are preserved, and
// nobody else's.
func (r *reader) live(rec []byte) bool {
	if u64(rec[sessionCount:]) == 0 {
		return false
	}
	a := phys.Addr(u64(rec[sessionFiles:]))
	b, ok := r.heads.Head(a)
	if !ok || r.c.Passed(b) {
		return false
	}
	first, err := r.c.Memory().View(a, phys.PageSize)
	if err != nil {
		return false
	}
	if r.st.format.tree == nil {
		first = first[blockset.HeaderSize:]
	}
	name := first[:handlerName]
	return checkText("handler", name) == nil && checkPadding("handler", name) == nil
}

package luo

import (
	"errors"
	"fmt"

	"ferry/blockset"
	"ferry/kho"
	"ferry/phys"
)

// Restore reads the state that h hands over, in whatever format it is. It proves
// every pointer with c, which must have been made for h and which remembers the
// pages it passed, and writes nothing. A handover without the sub-tree gives an
// empty state that is [State.Absent].
//
// The error is a [*phys.Error] that names the session, the block and its
// address, or [phys.Errors] where more than one session is damaged: what is wrong
// with one does not keep the others from being read. It wraps [ErrVersion] where the format is none of [Formats]; its text
// then says what was found and what is known of that.
func Restore(h *kho.Handover, c *blockset.Checker) (*State, error) {
	t, ok := h.Subtree(Subtree)
	if !ok {
		st := newState(0, h.Memory())
		st.absent, st.sealed = true, true
		return st, nil
	}
	st, err := restoreFrom(c, h.Map, t.Data, t.Size)
	if err != nil {
		return nil, phys.In("luo", t.Data, err)
	}
	return st, nil
}

// Recognise returns the format that the state in h says it is in, nil where there is
// none and where that cannot be told. Nothing of the state is proved.
func Recognise(h *kho.Handover) *Format {
	t, ok := h.Subtree(Subtree)
	if !ok {
		return nil
	}
	page, err := h.Memory().View(t.Data.Page(), phys.PageSize)
	if err != nil || t.Data != t.Data.Page() {
		return nil
	}
	f, _ := recognise(t.Data, page, t.Size)
	return f
}

// heads is the preserved-memory map, which alone says how large an array may be.
type heads interface {
	// Head returns the preserved block that starts at a.
	Head(a phys.Addr) (phys.Block, bool)
}

// restoreFrom reads the state whose root is size bytes at root.
func restoreFrom(c *blockset.Checker, m heads, root phys.Addr, size uint64) (*State, error) {
	page, err := c.Page("root", root)
	if err != nil {
		return nil, err
	}
	f, err := recognise(root, page, size)
	if err != nil {
		return nil, err
	}
	st := newState(0, c.Memory())
	st.format, st.root, st.sealed = f, root, true
	r := &reader{st: st, c: c, heads: m}
	if odd := f.oddRoot(root, page); odd != nil {
		r.odd(odd)
	}
	err = f.form().restore(r, page)
	if err == nil {
		err = r.findHidden()
	}
	if err != nil {
		r.bad = append(r.bad, err)
	}
	return st, r.bad.Err()
}

// reader restores one state.
type reader struct {
	st     *State
	c      *blockset.Checker
	heads  heads
	chain  []blockset.Block // of files, being read
	tokens repeats
	rising bool   // the tokens of the session being read only rise so far
	last   uint64 // token of its last file
	bad    phys.Errors
	hidden []tail

	// The handler field of the file read last, which is proved and counted once
	// for all files in a row that have the same.
	handler [handlerName]byte
	proved  bool
}

// maxFindings bounds how many errors of a state are kept. Behind the last of them
// it is not read any further, which the report has room to say.
const maxFindings = 14

// maxOdd bounds what is kept of what readers pass over.
const maxOdd = 8

var errMore = errors.New("too much is damaged: the rest of the state was not looked at")

// found keeps the error of one object, beside which the others can be read. It
// returns one where no more are to be.
func (r *reader) found(err error) error {
	if r.bad = append(r.bad, err); len(r.bad) == maxFindings {
		return errMore
	}
	return nil
}

// more reports whether there is room for more that is odd: what is not kept costs
// nothing to say.
func (r *reader) more() bool { return len(r.st.odd) < maxOdd }

// odd keeps what is odd, as long as there is room.
func (r *reader) odd(err error) {
	if r.more() {
		r.st.odd = append(r.st.odd, err)
	}
}

// sessions reads the session records seg, which lie at address a behind those
// read before, and the files of each.
func (r *reader) sessions(seg []byte, a phys.Addr) error {
	st := r.st
	i := st.Len()
	if err := st.sessions.append(a, len(seg)/sessionSize); err != nil {
		return err
	}
	for ; len(seg) > 0; seg = seg[sessionSize:] {
		s := Session{st, seg[:sessionSize:sessionSize], i}
		if err := r.session(s, a); err != nil {
			if err := r.found(phys.In(s.String(), a, err)); err != nil {
				return err
			}
			if st.Len() == i { // else its files are known
				st.first = append(st.first, uint32(st.files.n))
			}
		}
		a, i = a+sessionSize, i+1
	}
	return nil
}

// uniqueNames proves that no two sessions have one name, when all are read.
func (r *reader) uniqueNames() error {
	st := r.st
	d, err := st.checkNames()
	if d != nil {
		e := d.fault("session", st.sessionAddr)
		e.Hint = stops
		err = e
	}
	if err != nil {
		return r.found(err)
	}
	return nil
}

// odd says what is odd in the record of a session. Kernels take of a name what comes
// before a NUL or fits. Those up to 7.1.3 could make one without a name; without files
// as well its record is that of nothing, as a count reads that is too high.
func (s Session) odd() *phys.Error {
	name := s.rec[:sessionName]
	switch {
	case len(text(name)) == sessionName:
		return noEnd("name", name)
	case s.rec[0] == 0 && zeros(s.rec):
		return &phys.Error{Found: "neither a name nor files", Want: "a session", Err: ErrName}
	}
	return checkPadding("name", name)
}

// session reads one session, whose record lies at a.
func (r *reader) session(s Session, a phys.Addr) error {
	if r.more() {
		if odd := s.odd(); odd != nil {
			odd.Object, odd.Addr = "record", a
			r.odd(phys.In(s.String(), a, odd))
		}
	}
	st := r.st
	r.rising = true
	head, count := phys.Addr(u64(s.rec[sessionFiles:])), u64(s.rec[sessionCount:])
	n := 0
	if head == 0 && count != 0 {
		// luo_file_deserialize warns, and takes the session for one without files.
		if r.more() {
			r.odd(phys.In(s.String(), a, &phys.Error{Object: "record", Addr: a, Found: fmt.Sprintf("%d files that are nowhere", count), Want: "none", Err: ErrCount}))
		}
	} else {
		var err error
		if n, err = st.format.form().files(r, a, head, count); err != nil {
			return err
		}
	}
	st.nfiles += n
	st.first = append(st.first, uint32(st.files.n))
	if r.rising {
		return nil
	}
	d, err := s.checkTokens(&r.tokens)
	if d != nil && r.more() {
		r.odd(phys.In(s.String(), a, d.fault("file", func(j int) phys.Addr { return st.fileAddr(s.i, j) })))
	}
	return err
}

// inArray stands for the index of a block where records lie in an array.
const inArray = -1

// files reads the file records seg, which lie at address a, those of block i of
// the session. n came before, and it returns how many there were with them.
func (r *reader) files(seg []byte, a phys.Addr, i, n int) (int, error) {
	st := r.st
	if err := st.files.append(a, len(seg)/fileSize); err != nil {
		return n, err
	}
	same := 0 // files of r.handler that are not counted yet
	rising, last := r.rising, r.last
	for off := 0; off < len(seg); off += fileSize {
		rec := (*[fileSize]byte)(seg[off:])
		token := u64(rec[fileToken:])
		rising = rising && (token > last || n+off == 0)
		last = token
		if handler := (*[handlerName]byte)(rec[:]); *handler != r.handler || !r.proved {
			st.count(text(r.handler[:]), same)
			same = 0
			of := func(e *phys.Error) *phys.Error {
				if e.Object = fmt.Sprintf("file block %d", i); i == inArray {
					e.Object = "file array"
				}
				e.Object += fmt.Sprintf(": file %d", n+off/fileSize)
				e.Addr = a + phys.Addr(off)
				return e
			}
			if e := checkText("handler", handler[:]); e != nil {
				e.Hint = stops
				return n, of(e)
			}
			if r.more() {
				if e := checkPadding("handler", handler[:]); e != nil {
					r.odd(of(e))
				}
			}
			r.handler, r.proved = *handler, true
		}
		same++
	}
	st.count(text(r.handler[:]), same)
	r.rising, r.last = rising, last
	return n + len(seg)/fileSize, nil
}

// flbs reads the FLB page. Linux 7.0 and the first 7.1 may leave records of an earlier
// attempt to reboot behind those of its count (luo_flb_serialize), others may not.
func (r *reader) flbs(a phys.Addr) error {
	page, err := r.c.Page("header", a)
	if err != nil {
		return err
	}
	pages, count := u64(page[flbPages:]), u64(page[flbNumber:])
	if pages != 1 {
		r.odd(phys.In("FLB page", a, &phys.Error{Object: "header", Addr: a, Found: fmt.Sprintf("%d pages", pages), Want: "1", Err: ErrCount}))
	}
	if count > MaxFLBs {
		return &phys.Error{Object: "header", Addr: a, Found: fmt.Sprintf("count %d", count), Want: fmt.Sprintf("0..%d", MaxFLBs), Err: ErrCount}
	}
	if odd := unused("header", a, a+phys.PageSize, page[flbRecords:], count, flbSize); odd != nil {
		if r.st.format.tree == nil {
			odd.Hint = "Linux would take the FLB for lost"
			return odd
		}
		r.st.flbStale = true
		r.odd(phys.In("FLB page", a, odd))
	}
	r.st.flbPage = a
	r.st.flbs = page[flbRecords : flbRecords+count*flbSize]
	e := r.st.checkFLBs(func(odd *phys.Error) {
		odd.Addr += a + flbRecords
		r.odd(phys.In("FLB page", a, odd))
	})
	if e != nil {
		e.Addr += a + flbRecords
		return e
	}
	return nil
}

package luo

import (
	"errors"
	"fmt"
	"slices"

	"ferry/blockset"
	"ferry/kho"
	"ferry/own"
	"ferry/phys"
)

// Restore reads the state that h hands over, in whatever of [Formats] and more it
// is. It claims every page from c, a ledger of h, before it follows a pointer to it,
// and writes nothing. A handover without the sub-tree
// gives an empty state that is [State.Absent].
//
// The state holds what is sound, and the error, which [State.Err] repeats, says what
// is not: one damaged session does not keep the others from being read. The state is
// nil if its root cannot be read at all. The error is a [*phys.Error] that names the
// session, the block and its address, or [phys.Errors] of several objects. It wraps
// [ErrVersion] if no format matches; its text then says what was found and what is
// known of that.
func Restore(h *kho.Handover, c *own.Ledger, more ...*Format) (*State, error) {
	t, ok := h.Subtree(Subtree)
	if !ok {
		st := newState(0, common, h.Memory())
		st.absent, st.sealed = true, true
		return st, nil
	}
	st, err := restoreFrom(c, h.Map(), t.Data, t.Size, more...)
	return st, phys.In("luo", t.Data, err)
}

// Recognise returns which of [Formats] and more the state in h says it is in, nil if
// there is none or if that is unknown. Nothing of the state is proved.
func Recognise(h *kho.Handover, more ...*Format) *Format {
	t, ok := h.Subtree(Subtree)
	if !ok {
		return nil
	}
	page, err := h.Memory().View(t.Data.Page(), phys.PageSize)
	if err != nil || t.Data != t.Data.Page() {
		return nil
	}
	f, s, err := recognise(append(Formats(), more...), t.Data, page, t.Size)
	if err == nil {
		_, err = f.form.open(f, s)
	}
	if err != nil {
		return nil
	}
	return f
}

// heads is the preserved-memory map, the only thing that says how large an array may be.
type heads interface {
	// Head returns the preserved block that starts at a.
	Head(a phys.Addr) (phys.Block, bool)
}

// restoreFrom reads the state whose root is size bytes at root.
func restoreFrom(c *own.Ledger, m heads, root phys.Addr, size uint64, more ...*Format) (*State, error) {
	proved, err := c.Page("root", root)
	if err != nil {
		return nil, err
	}
	page := proved.Bytes()
	f, s, err := recognise(append(Formats(), more...), root, page, size)
	if err != nil {
		return nil, err
	}
	in, err := f.form.open(f, s)
	if err != nil {
		return nil, err
	}
	st := newState(in.number, f.layouts, c.Memory())
	st.format, st.root, st.sealed = f, root, true
	r := &reader{st: st, c: c, heads: m, handler: make([]byte, f.file.room)}
	r.restore(in)
	st.err = r.bad.Err()
	return st, st.err
}

// reader restores one state.
type reader struct {
	st     *State
	c      *own.Ledger
	heads  heads
	chain  []blockset.Block // of files, being read
	tokens repeats
	bad    phys.Errors
	hidden []tail

	// The session being read.
	rec    []byte    // its record
	at     phys.Addr // of that
	n      int       // its files so far
	rising bool      // their tokens only rise
	last   uint64    // token of the last one

	// The handler field of the file read last, which is proved and counted once
	// for all files in a row that have the same.
	handler []byte
	proved  bool
}

// maxOdd bounds what is kept of what readers ignore.
const maxOdd = 8

var errMore = errors.New("too much is damaged: the rest of the state was not looked at")

// found keeps the error of one object, beside which others can be read. It returns
// one if no more are to be.
func (r *reader) found(err error) error {
	if r.full() {
		return errMore
	}
	if r.bad.Add(err); r.full() {
		r.bad.Add(errMore)
		return errMore
	}
	return nil
}

// full reports whether so much was found that the rest is not looked at.
func (r *reader) full() bool { return r.bad.Full() }

// more reports whether there is room for more that is odd: what is not kept costs
// nothing to find.
func (r *reader) more() bool { return len(r.st.odd) < maxOdd }

// odd keeps what is odd, as long as there is room.
func (r *reader) odd(err error) {
	if r.more() {
		r.st.odd = append(r.st.odd, err)
	}
}

// restore reads all that the root names.
func (r *reader) restore(in contents) {
	st := r.st
	if in.odd != nil {
		r.odd(in.odd)
	}
	err := in.badSessions
	if err == nil {
		err = st.format.form.readSessions(r, in.sessions)
	}
	if st.sessEnd = err; err != nil {
		r.found(err)
	}
	if !r.full() {
		r.uniqueNames()
	}
	err = in.badFLBs
	switch {
	case r.full():
		err = errMore
	case err != nil:
		r.found(err)
	case !st.format.HoldsFLBs() || st.format.flbs == optionalFLBs && in.flbs == 0:
		st.noFLBs = true
	default:
		if err = phys.In("FLB page", in.flbs, r.readFLBs(in.flbs)); err != nil {
			r.found(err)
		}
	}
	st.flbsDone = err
	if !r.full() {
		r.findHidden()
	}
}

// expect says how many sessions are to come.
func (r *reader) expect(n int) { r.st.first = slices.Grow(r.st.first, n) }

// takeSessions reads the session records of s, which follow those read before, and
// the files of each. A damaged session is no error; too many of them are.
func (r *reader) takeSessions(s stretch) error {
	st := r.st
	size := st.session.size
	if odd := unused(s, size); odd != nil && len(r.hidden) < phys.MaxErrors {
		r.hidden = append(r.hidden, tail{s, odd})
	}
	if err := st.sessions.append(s.addr, len(s.recs)/size); err != nil {
		return err
	}
	for off := 0; off < len(s.recs); off += size {
		i := st.Len()
		r.rec, r.at = s.recs[off:off+size:off+size], s.addr+phys.Addr(off)
		if err := r.readSession(); err != nil {
			if err := r.damaged(i, r.of(i, err)); err != nil {
				return err
			}
		}
	}
	return nil
}

// damaged keeps what is wrong with session i, the first of it.
func (r *reader) damaged(i int, err error) error {
	if r.st.damage == nil {
		r.st.damage = make(map[int]error)
	}
	if r.st.damage[i] == nil {
		r.st.damage[i] = err
	}
	return r.found(err)
}

// of names session i, which is being read, in an error.
func (r *reader) of(i int, err error) error {
	return phys.In(r.st.sessionOf(r.rec, r.at, i).String(), r.at, err)
}

// readSession reads the files of the next session.
func (r *reader) readSession() error {
	st, i := r.st, r.st.Len()
	if r.more() {
		if odd := st.session.oddSession(r.rec); odd != nil {
			odd.Object, odd.Addr = "record", r.at
			r.odd(r.of(i, odd))
		}
	}
	r.n, r.rising = 0, true
	var err error
	head, count := phys.Addr(st.session.value(r.rec)), st.session.number(r.rec)
	if head != 0 || count == 0 {
		err = st.format.form.readFiles(r, head, count)
	} else if r.more() {
		// luo_file_deserialize warns, and takes the session for one without files.
		r.odd(r.of(i, &phys.Error{Object: "record", Addr: r.at, Found: fmt.Sprintf("%d files that are nowhere", count), Want: "none", Err: ErrCount}))
	}
	st.nfiles += r.n
	st.first = append(st.first, uint32(st.files.n))
	if err != nil || r.rising {
		return err
	}
	d, err := st.sessionOf(r.rec, r.at, i).checkTokens(&r.tokens)
	if d != nil && r.more() {
		r.odd(r.of(i, d.fault("file", func(j int) phys.Addr { return st.fileAddr(i, j) })))
	}
	return err
}

// uniqueNames proves that no two sessions have one name, when all are read.
func (r *reader) uniqueNames() {
	d, err := r.st.checkNames()
	if d != nil {
		e := d.fault("session", r.st.sessionAddr)
		e.Hint = stops
		r.damaged(d.second, e)
	} else if err != nil {
		r.found(err)
	}
}

// oddSession says what is odd in the record of a session. Kernels take of a name what
// comes before a NUL or fits. Those up to 7.1.3 could make one without a name; without
// files as well its record is that of nothing, as a count reads that is too high.
func (l *RecordLayout) oddSession(rec []byte) *phys.Error {
	name := l.nameField(rec)
	switch {
	case len(text(name)) == len(name):
		return noEnd("name", name)
	case name[0] == 0 && zeros(rec):
		return &phys.Error{Found: "neither a name nor files", Want: "a session", Err: ErrName}
	}
	return checkPadding("name", name)
}

// takeFiles reads the file records of s, which follow those read before of the
// session. Those before the first that is damaged are kept.
func (r *reader) takeFiles(s stretch) error {
	st, l := r.st, &r.st.file
	if r.more() {
		if odd := unused(s, l.size); odd != nil {
			r.odd(odd)
		}
	}
	sound, err := r.prove(s)
	r.n += sound
	if bad := st.files.append(s.addr, sound); bad != nil {
		return bad
	}
	return err
}

// prove proves file records, and returns how many are sound before the first for which
// it returns an error. A handler is proved once for all files in a row that have it.
func (r *reader) prove(s stretch) (sound int, err error) {
	st, l := r.st, &r.st.file
	for recs := s.recs; len(recs) > 0; {
		if r.proved {
			n := r.alike(recs, r.n+sound == 0)
			st.count(text(r.handler), n)
			sound += n
			if recs = recs[n*l.size:]; len(recs) == 0 {
				break
			}
		}
		name := l.nameField(recs)
		of := func(e *phys.Error) *phys.Error {
			e.Object, e.Addr = fmt.Sprintf("%v: file %d", s, r.n+sound), s.addr+phys.Addr(sound*l.size)
			return e
		}
		if e := checkText("handler", name); e != nil {
			e.Hint = stops
			return sound, of(e)
		}
		if r.more() {
			if e := checkPadding("handler", name); e != nil {
				r.odd(of(e))
			}
		}
		copy(r.handler, name)
		r.proved = true
	}
	return sound, nil
}

// alike returns how many of the records at the beginning of recs have the handler
// proved last, and finds out whether their tokens rise. first says that they begin the
// session.
func (r *reader) alike(recs []byte, first bool) (n int) {
	l, last, rising := &r.st.file, r.last, r.rising
	if *l == common.file { // the same with offsets that the compiler knows
		const size, room, second = 64, 48, 56
		handler := *(*[room]byte)(r.handler)
		for ; len(recs) >= size; recs, n, first = recs[size:], n+1, false {
			rec := (*[size]byte)(recs)
			if *(*[room]byte)(rec[:]) != handler {
				break
			}
			token := u64(rec[second:])
			rising, last = rising && (token > last || first), token
		}
	} else {
		for ; len(recs) >= l.size; recs, n, first = recs[l.size:], n+1, false {
			if string(l.nameField(recs)) != string(r.handler) {
				break
			}
			token := l.number(recs)
			rising, last = rising && (token > last || first), token
		}
	}
	r.rising, r.last = rising, last
	return n
}

// String names the block for messages about a record in it.
func (s stretch) String() string {
	if s.index == inArray {
		return s.object
	}
	return fmt.Sprintf("%s %d", s.object, s.index)
}

// readFLBs reads the FLB page. Linux 7.0 and the first 7.1 may leave records of an
// earlier attempt to reboot behind those of its count (luo_flb_serialize), others may
// not.
func (r *reader) readFLBs(a phys.Addr) error {
	proved, err := r.c.As("FLB page", a).Page("header", a)
	if err != nil {
		return err
	}
	page := proved.Bytes()
	st := r.st
	pages, count := u64(page[flbPages:]), u64(page[flbNumber:])
	if pages != 1 {
		r.odd(phys.In("FLB page", a, &phys.Error{Object: "header", Addr: a, Found: fmt.Sprintf("%d pages", pages), Want: "1", Err: ErrCount}))
	}
	if count > MaxFLBs {
		return &phys.Error{Object: "header", Addr: a, Found: fmt.Sprintf("count %d", count), Want: fmt.Sprintf("0..%d", MaxFLBs), Err: ErrCount}
	}
	end := flbRecords + int(count)*st.flb.size
	st.flbPage, st.flbs = a, page[flbRecords:end]
	sound, e := st.checkFLBs(func(odd *phys.Error) {
		odd.Addr += a + flbRecords
		r.odd(phys.In("FLB page", a, odd))
	})
	st.flbs = st.flbs[:sound*st.flb.size]
	if e != nil {
		e.Addr += a + flbRecords
		return e
	}
	odd := unused(stretch{"header", inArray, a, a + flbRecords, st.flbs, page[end:]}, st.flb.size)
	if odd == nil {
		return nil
	}
	if !st.format.stale {
		odd.Hint = "Linux would take the FLB for lost"
		return odd
	}
	st.flbStale = true
	r.odd(phys.In("FLB page", a, odd))
	return nil
}

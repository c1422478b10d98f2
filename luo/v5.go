package luo

import (
	"encoding/binary"
	"fmt"
	"slices"

	"ferry/blockset"
	"ferry/phys"
)

// The format luo-v5 of Linux 7.2 and 7.3: a root structure in a page of its own,
// sessions and the files of each session in linked blocks, FLBs in one page. It
// mirrors include/linux/kho/abi/luo.h of 7.3 (LUO_ABI_COMPATIBLE, struct luo_ser,
// luo_session_ser, luo_file_set_ser, luo_file_ser, luo_flb_header_ser and
// luo_flb_ser), as kernel/liveupdate/luo_core.c, luo_session.c, luo_file.c and
// luo_flb.c write it. All fields are u64, little endian.
const (
	v5Compatible = "luo-v5"

	v5RootSize  = 32 // struct luo_ser: the size of the sub-tree, exactly
	v5RootText  = 8  // compatible, padded with zeros
	v5Number    = 8  // liveupdate_num
	v5Sessions  = 16 // sessions_pa: first session block, 0 if there are none
	v5FLBs      = 24 // flbs_pa: FLB page, 0 if there is none
	v5Files     = 64 // in a session record: files, first file block, 0 if there are none
	v5FileCount = 72 // in a session record: count
	v5FLBPages  = 0  // pgcnt of the FLB page: always 1
	v5FLBCount  = 8  // count of the FLB page
	v5FLBData   = 16 // first FLB record
)

// restoreV5 reads the state whose root structure is size bytes at root.
func restoreV5(c *blockset.Checker, root phys.Addr, size uint64) (*State, error) {
	if size != v5RootSize {
		return nil, &phys.Error{Object: "sub-tree", Addr: root, Found: fmt.Sprintf("%d bytes", size),
			Want: fmt.Sprintf("%d, the size of a %s root", v5RootSize, v5Compatible), Err: ErrSize}
	}
	page, err := c.Page("root", root)
	if err != nil {
		return nil, err
	}
	var want [v5RootText]byte
	copy(want[:], v5Compatible)
	if string(page[:v5RootText]) != string(want[:]) {
		return nil, &phys.Error{Object: "root", Addr: root, Found: fmt.Sprintf("compatible %q", page[:v5RootText]),
			Want: fmt.Sprintf("%q", want), Hint: "written by another kernel release than this image reads", Err: ErrVersion}
	}
	st := newState(u64(page[v5Number:]), c.Memory())
	st.Source, st.root, st.sealed = v5Compatible, root, true
	r := reader{st: st, c: c}
	if err := r.sessions(phys.Addr(u64(page[v5Sessions:]))); err != nil {
		return nil, err
	}
	flbs := phys.Addr(u64(page[v5FLBs:]))
	if st.noFLBs = flbs == 0; st.noFLBs {
		return st, nil
	}
	return st, phys.In("FLB page", flbs, r.flbs(flbs))
}

// reader restores one state of luo-v5.
type reader struct {
	st     *State
	c      *blockset.Checker
	blocks []blockset.Block // of the chain being read
	tokens repeats
	rising bool   // the tokens of the session being read only rise so far
	last   uint64 // token of its last file

	// The handler field of the file read last, which is proved and counted once
	// for all files in a row that have the same.
	handler [handlerName]byte
	proved  bool
}

// sessions reads the session chain and the files of each session.
func (r *reader) sessions(head phys.Addr) error {
	chain, err := r.c.AppendChain(nil, "session block", sessionLayout, head)
	if err != nil {
		return err
	}
	sessions := 0
	for _, b := range chain {
		sessions += b.Len()
	}
	st, i := r.st, 0
	st.first = slices.Grow(st.first, sessions)
	for _, b := range chain {
		seg, err := addRun(&st.sessions, b, sessionLayout)
		if err != nil {
			return err
		}
		for off := 0; off < len(seg); off += sessionSize {
			at := b.Addr + blockset.HeaderSize + phys.Addr(off)
			s := Session{st, seg[off : off+sessionSize : off+sessionSize], i}
			if err := r.session(s, at); err != nil {
				return phys.In(fmt.Sprintf("session %d %q", i, s.Name()), at, err)
			}
			i++
		}
	}
	if d := st.checkNames(); d != nil {
		return d.fault("session", recordAddr(chain, sessionLayout, d.second))
	}
	return nil
}

// recordAddr returns where record n of the chain lies.
func recordAddr(chain []blockset.Block, l blockset.Layout, n int) phys.Addr {
	for _, b := range chain {
		if n < b.Len() {
			return b.Addr + blockset.HeaderSize + phys.Addr(n*l.Size())
		}
		n -= b.Len()
	}
	return 0
}

// addRun adds the records of a block that was proved to l and returns them.
func addRun(l *runs, b blockset.Block, layout blockset.Layout) ([]byte, error) {
	r, err := newRun(b.Addr+blockset.HeaderSize, b.Len())
	if err != nil {
		return nil, err
	}
	l.add(r)
	return b.Entries(layout), nil
}

// session reads one session, whose record lies at a.
func (r *reader) session(s Session, a phys.Addr) error {
	if e := checkText("name", s.rec[:sessionName]); e != nil {
		e.Object, e.Addr = "record", a
		return e
	}
	head, count := phys.Addr(u64(s.rec[v5Files:])), u64(s.rec[v5FileCount:])
	if (head == 0) != (count == 0) {
		return &phys.Error{Object: "record", Addr: a, Found: fmt.Sprintf("%d files in the chain at %v", count, head),
			Want: "no chain for no files, and only for none", Err: ErrCount}
	}
	var err error
	if r.blocks, err = r.c.AppendChain(r.blocks[:0], "file block", fileLayout, head); err != nil {
		return err
	}
	st, n := r.st, 0
	r.rising = true
	for i, b := range r.blocks {
		if n, err = r.files(b, i, n); err != nil {
			return err
		}
	}
	if uint64(n) != count {
		return &phys.Error{Object: "record", Addr: a, Found: fmt.Sprintf("count %d, but %d files in the chain at %v", count, n, head),
			Want: "the number of files", Err: ErrCount}
	}
	st.nfiles += n
	st.first = append(st.first, uint32(st.files.n))
	if r.rising {
		return nil
	}
	if d := s.checkTokens(&r.tokens); d != nil {
		return d.fault("file", recordAddr(r.blocks, fileLayout, d.second))
	}
	return nil
}

// files reads the records of block i of a file chain, of which n came before,
// and returns how many there were with it.
func (r *reader) files(b blockset.Block, i, n int) (int, error) {
	st := r.st
	seg, err := addRun(&st.files, b, fileLayout)
	if err != nil {
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
			if e := checkText("handler", handler[:]); e != nil {
				e.Object = fmt.Sprintf("file block %d: file %d", i, n+off/fileSize)
				e.Addr = b.Addr + blockset.HeaderSize + phys.Addr(off)
				return n, e
			}
			r.handler, r.proved = *handler, true
		}
		same++
	}
	st.count(text(r.handler[:]), same)
	r.rising, r.last = rising, last
	return n + len(seg)/fileSize, nil
}

// flbs reads the FLB page.
func (r *reader) flbs(a phys.Addr) error {
	page, err := r.c.Page("header", a)
	if err != nil {
		return err
	}
	pages, count := u64(page[v5FLBPages:]), u64(page[v5FLBCount:])
	if pages != 1 {
		return &phys.Error{Object: "header", Addr: a, Found: fmt.Sprintf("%d pages", pages), Want: "1", Err: ErrCount}
	}
	if count > MaxFLBs {
		return &phys.Error{Object: "header", Addr: a, Found: fmt.Sprintf("count %d", count), Want: fmt.Sprintf("0..%d", MaxFLBs), Err: ErrCount}
	}
	r.st.flbPage = a
	r.st.flbs = page[v5FLBData : v5FLBData+count*flbSize]
	if e := r.st.checkFLBs(); e != nil {
		e.Addr += a + v5FLBData
		return e
	}
	return nil
}

// v5Draft is what serializing needs of the outgoing handover. kho.Draft is one.
type v5Draft interface {
	blockset.Pages
	SetSubtree(name string, a phys.Addr, size uint64) error
}

// serializeV5 writes st into new pages of d and retires those it came from. The
// pages are taken in a fixed order: root, session blocks, FLB page if there is to
// be a new one, then the file blocks of each session.
func serializeV5(st *State, d v5Draft) error {
	rootAddr, root, err := d.Alloc()
	if err != nil {
		return fmt.Errorf("page for the root: %w", err)
	}
	sessions := blockset.New(sessionLayout, d)
	if err := sessions.Grow(st.Len()); err != nil {
		return fmt.Errorf("sessions: %w", err)
	}
	flbs := st.flbPage
	if flbs == 0 && !st.noFLBs {
		if flbs, err = writeFLBs(st.flbs, d); err != nil {
			return fmt.Errorf("FLB page: %w", err)
		}
	}
	files, slot := blockset.New(fileLayout, d), sessions.Iter()
	recs := st.sessionRecords()
	for i := range st.Len() {
		s := Session{st, recs.next(), i}
		if recs.err != nil {
			return fmt.Errorf("session %d: %w", i, recs.err)
		}
		files.Init()
		c := s.records()
		for seg := c.stretch(); len(seg) > 0; seg = c.stretch() {
			if err := files.Append(seg); err != nil {
				return fmt.Errorf("session %d %q: %w", i, s.Name(), err)
			}
			c.skip(len(seg))
		}
		if c.err != nil {
			return fmt.Errorf("session %d %q: %w", i, s.Name(), c.err)
		}
		rec := slot.Reserve()
		copy(rec, s.rec[:sessionName])
		binary.LittleEndian.PutUint64(rec[v5Files:], uint64(files.Head()))
		binary.LittleEndian.PutUint64(rec[v5FileCount:], uint64(s.Len()))
	}
	copy(root[:v5RootText], v5Compatible)
	binary.LittleEndian.PutUint64(root[v5Number:], st.Number)
	binary.LittleEndian.PutUint64(root[v5Sessions:], uint64(sessions.Head()))
	binary.LittleEndian.PutUint64(root[v5FLBs:], uint64(flbs))
	if err := st.retire(d); err != nil {
		return err
	}
	return d.SetSubtree(Subtree, rootAddr, v5RootSize)
}

// writeFLBs writes the records into a new page, as the kernel does even for
// none.
func writeFLBs(records []byte, d blockset.Pages) (phys.Addr, error) {
	a, page, err := d.Alloc()
	if err != nil {
		return 0, err
	}
	binary.LittleEndian.PutUint64(page[v5FLBPages:], 1)
	binary.LittleEndian.PutUint64(page[v5FLBCount:], uint64(len(records)/flbSize))
	copy(page[v5FLBData:], records)
	return a, nil
}

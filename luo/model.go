// Package luo models the state of Linux's Live Update Orchestrator: sessions,
// the files each of them preserves, and the file-lifecycle-bound objects (FLBs).
//
// Linux A wrote it into preserved pages while it rebooted (liveupdate_reboot,
// kernel/liveupdate/luo_core.c). Linux B reads it at early_initcall, when a
// version string that it does not know is a panic, and at the first open of
// /dev/liveupdate. [State] is what all kernels mean by it; where the fields of
// records are and how records are found differs. One file a generation says so:
//
//	v1.go       luo-v1, Linux 6.19: a device tree, records in arrays
//	v1flb.go    luo-v1 of Linux 7.0 and 7.1: the same with FLBs
//	v4block.go  luo-v4-kho-block-v1, never released: records in linked blocks
//	v5.go       luo-v5, Linux 7.2 and 7.3: the same under another string
//
// A generation is made of a [RecordLayout] for each kind of record (record.go)
// and a form: how records are found and placed, in arrays (tree.go) or in linked
// blocks (chain.go).
//
// # Security
//
// All of it was written by another kernel and is untrusted. [Restore] proves every
// pointer by an [own.Ledger] before it follows it, every string to end within
// its field, every count against what is there, and names and tokens to be unique.
// What it could not prove is left out of the State, which says so: see
// [Session.Err] and [State.Err]. A file's data is an opaque value of its handler
// and is not followed here: see package memfd.
//
// No memory is sized by a number before that was proved: lists grow as the blocks
// that they name are, the count of a session only has to match, and the count of
// an array has to fit the block that the preserved-memory map says it is in.
//
// What no reader minds is not an error, but odd: see [State.Odd]. An empty session
// name is neither: Linux up to 7.1.3 let users make one, and no reader rejects it.
// It is carried as it is.
//
// # Memory
//
// A State holds no object for a session or a file: records stay in the blocks that
// they were read from, and become values when somebody iterates over them. It takes
// 8 bytes a block, 8 bytes more for an array, and 4 bytes a session; proving names
// and tokens takes 8 bytes for each session and for each file of the largest
// session while it lasts.
package luo

import (
	"fmt"
	"iter"

	"ferry/phys"
)

// Subtree is the name under which the root FDT of the handover lists the state.
const Subtree = "LUO"

// State is what one handover preserves, in no kernel's format. Its records alias
// the memory that they were restored from, which must not change.
type State struct {
	// Number counts the live updates of the machine; each kernel adds one. Ferry
	// is not a kernel and hands it on unchanged.
	Number uint64

	format   *Format // that it was restored from; nil for a state built by New
	layouts          // of its records
	mem      memory  // holds the records of sessions and files
	sessions runs    // session records
	files    runs    // file records, session after session
	first    []uint32
	arrays   blocks    // that hold them, if they are not in chains
	nfiles   int       // in all sessions
	flbs     []byte    // FLB records
	flbPage  phys.Addr // where they are preserved; 0: nowhere yet
	flbStale bool      // the page holds more than the records, so that they are written anew
	noFLBs   bool      // the handover had no FLB page, not even an empty one
	handlers []Handler // in order of appearance
	root     phys.Addr // of a restored state, which serializing replaces; else 0
	absent   bool      // the handover had no state
	sealed   bool      // restored: no more may be added
	odd      []error   // what readers ignore, the first of it

	// What is wrong with a restored state; nil if it is sound.
	err      error
	damage   map[int]error // by session
	sessEnd  error         // why there may be more sessions than were read
	flbsDone error         // why there may be more FLBs than were read
}

// Session is one session of a [State]: a value, whose name is a window on the
// record.
type Session struct {
	// Name is the name without its padding, at most [MaxSessionName] bytes, which
	// is what kernels take of it.
	Name []byte

	Addr  phys.Addr // of its record
	Index int       // how many sessions come before it

	// Err says what is wrong with the session, nil if it is sound. A damaged
	// session has the files that were read before the damage was met.
	Err error

	st *State
}

// File is one preserved file: a value, whose handler is a window on the record.
type File struct {
	Handler []byte    // compatible string of the handler that preserved it, without its padding
	Data    uint64    // the handler's; for a memfd the physical address of its structure
	Token   uint64    // under which user space retrieves the file, unique in its session
	Addr    phys.Addr // of the record
}

// FLB is an object whose life is bound to that of files: a value, whose name is a
// window on the record.
type FLB struct {
	Name  []byte    // compatible string, without its padding
	Data  uint64    // its owner's
	Users uint64    // how many preserved files depend on it
	Addr  phys.Addr // of the record; of one that nobody wrote yet an offset
}

// Handler says how many files one file handler preserves.
type Handler struct {
	Name  string // its compatible string
	Files int
}

// maxHandlers bounds how many handlers are counted separately; Linux 7.3 has one.
const maxHandlers = 64

// OtherHandlers is the name under which a [Handler] counts the files of all
// handlers beyond the first 64.
const OtherHandlers = "(others)"

// Format returns the format that the state was restored from, nil for a state
// built by [New] and for a handover that has none.
func (st *State) Format() *Format { return st.format }

// Err returns what [Restore] found wrong: a [*phys.Error], or [phys.Errors] of
// several objects. It is nil if all of the state is sound.
func (st *State) Err() error { return st.err }

// Odd returns what in a restored state no kernel writes, or only one that made two
// attempts to reboot, and what readers ignore all the same: it is carried, or left
// out if nobody would read it. There are no more than a few.
func (st *State) Odd() []error { return st.odd }

// NoFLBs reports whether the handover that the state was restored from has no FLB
// page, not even an empty one. Linux 6.19 writes none, and 7.0 panics without
// one: [Serialize] gives such a state an empty page if its format needs one.
func (st *State) NoFLBs() bool { return st.noFLBs }

// Absent reports whether the handover has no LUO state at all, as opposed to one
// without sessions.
func (st *State) Absent() bool { return st.absent }

// Len returns the number of sessions that were read, the damaged ones included.
func (st *State) Len() int { return max(0, len(st.first)-1) }

// Files returns the number of files in all sessions that were read and proved.
func (st *State) Files() int { return st.nfiles }

// Blocks returns in how many stretches of memory the session records are, and the
// file records. In a restored state each is one block.
func (st *State) Blocks() (sessions, files int) {
	for i := range st.Len() {
		files += st.files.stretches(int(st.first[i]), int(st.first[i+1]))
	}
	return st.sessions.stretches(0, st.sessions.n), files
}

// Handlers returns the handlers of all files in order of appearance.
func (st *State) Handlers() []Handler { return st.handlers }

// Sessions yields each session in the order in which they were created, the damaged
// ones among them: see [Session.Err]. If there may be more than could be read, it
// ends with the error that says why, and a Session that says nothing.
func (st *State) Sessions() iter.Seq2[Session, error] {
	return st.sessionsIf(every)
}

// Holders is [State.Sessions] without the sessions that have no files and are sound: a
// handover may have half a million of them.
func (st *State) Holders() iter.Seq2[Session, error] {
	return st.sessionsIf(func(i int) bool { return st.filesOf(i) > 0 || st.damageOf(i) != nil })
}

// sessionsIf yields the sessions that which picks by their index. Those that it does
// not pick cost little.
func (st *State) sessionsIf(which func(i int) bool) iter.Seq2[Session, error] {
	return func(yield func(Session, error) bool) {
		more := true
		err := st.visit(which, func(s Session) bool {
			more = yield(s, nil)
			return more
		})
		if err == nil {
			err = st.sessEnd
		}
		if more && err != nil {
			yield(Session{}, err)
		}
	}
}

// visit calls f for each session that was read and that which picks, until f returns
// false. The error is that memory fails.
func (st *State) visit(which func(i int) bool, f func(Session) bool) error {
	c := st.sessionRecords()
	for i := range st.Len() {
		rec := c.next()
		if rec == nil {
			return phys.In(fmt.Sprintf("session %d", i), c.at, c.err)
		}
		if which(i) && !f(st.sessionOf(rec, c.at, i)) {
			break
		}
	}
	return nil
}

// every picks all sessions.
func every(int) bool { return true }

// damageOf returns what is wrong with session i.
func (st *State) damageOf(i int) error {
	if st.damage == nil {
		return nil
	}
	return st.damage[i]
}

// sessionOf returns session i, whose record rec is at a.
func (st *State) sessionOf(rec []byte, a phys.Addr, i int) Session {
	return Session{Name: st.session.nameOf(rec), Addr: a, Index: i, Err: st.damageOf(i), st: st}
}

// String names the session for messages.
func (s Session) String() string { return fmt.Sprintf("session %d %s", s.Index, phys.Quote(s.Name)) }

// Len returns the number of files that were read and proved.
func (s Session) Len() int { return s.st.filesOf(s.Index) }

// filesOf is [Session.Len] of session i.
func (st *State) filesOf(i int) (n int) {
	for run := st.first[i]; run < st.first[i+1]; run++ {
		n += st.files.at(int(run)).len()
	}
	return n
}

// Files yields each file of the session in the order in which they were preserved.
// If the session is damaged or memory fails, it ends with the error that says so,
// and a File that says nothing.
func (s Session) Files() iter.Seq2[File, error] {
	return func(yield func(File, error) bool) {
		c, l := s.records(), s.st.file
		i := 0
		for rec := c.next(); rec != nil; rec = c.next() {
			if !yield(l.file(rec, c.at), nil) {
				return
			}
			i++
		}
		if c.err != nil {
			yield(File{}, phys.In(fmt.Sprintf("%v: file %d", s, i), c.at, c.err))
		} else if s.Err != nil {
			yield(File{}, s.Err)
		}
	}
}

// FLBs yields each FLB. If there may be more than could be read, it ends with the
// error that says why, and an FLB that says nothing.
func (st *State) FLBs() iter.Seq2[FLB, error] {
	return func(yield func(FLB, error) bool) {
		for i := range st.numFLBs() {
			if !yield(st.flbAt(i), nil) {
				return
			}
		}
		if st.flbsDone != nil {
			yield(FLB{}, st.flbsDone)
		}
	}
}

// numFLBs returns how many FLBs there are, and flbAt one of them.
func (st *State) numFLBs() int { return len(st.flbs) / st.flb.size }

func (st *State) flbAt(i int) FLB {
	rec := st.flbs[i*st.flb.size : (i+1)*st.flb.size]
	a := phys.Addr(i * st.flb.size)
	if st.flbPage != 0 {
		a += st.flbPage + flbRecords
	}
	return FLB{Name: text(st.flb.nameField(rec)), Data: st.flb.value(rec), Users: st.flb.number(rec), Addr: a}
}

// sessionAddr returns where the record of session i is.
func (st *State) sessionAddr(i int) phys.Addr { return st.sessions.find(0, st.sessions.n, i) }

// fileAddr returns where the record of file j of session i is.
func (st *State) fileAddr(i, j int) phys.Addr {
	return st.files.find(int(st.first[i]), int(st.first[i+1]), j)
}

// count adds n files to the report of their handler.
func (st *State) count(handler []byte, n int) {
	if n == 0 {
		return
	}
	for i := range st.handlers {
		if h := &st.handlers[i]; h.Name == string(handler) || i == maxHandlers {
			h.Files += n
			return
		}
	}
	h := Handler{Name: string(handler), Files: n}
	if len(st.handlers) == maxHandlers {
		h = Handler{Name: OtherHandlers, Files: n}
	}
	st.handlers = append(st.handlers, h)
}

// Package luo models the state of Linux's Live Update Orchestrator: sessions,
// the files each of them preserves, and the file-lifecycle-bound objects (FLBs).
//
// Linux A wrote it into preserved pages while it rebooted (liveupdate_reboot,
// kernel/liveupdate/luo_core.c); Linux B reads it at early_initcall, where a
// string it does not know is a panic, and at the first open of
// /dev/liveupdate. The records of sessions, files and FLBs are the same bytes in
// every release; what differs is how they are found. [State] is the part that
// does not differ. One file a generation reads a State and writes it:
//
//	v1.go       luo-v1, Linux 6.19: a device tree, records in arrays
//	v1flb.go    luo-v1 of Linux 7.0 and 7.1: the same with FLBs
//	v4block.go  luo-v4-kho-block-v1, never released: records in linked blocks
//	v5.go       luo-v5, Linux 7.2 and 7.3: the same, named anew
//
// # Security
//
// All of it is an allegation of the kernel before. Restore proves every pointer
// by a [blockset.Checker] before it follows it, every string to end within its
// field, every count against what is there, and names and tokens to be unique,
// so that what it returns is consistent. A file's data is an opaque value of its
// handler and is not followed here: see package memfd.
//
// No memory is sized by a number before that was proved: lists grow as the blocks
// that they name are, the count of a session only has to match, and the count of
// an array has to fit the block that the preserved-memory map says it lies in.
//
// What no reader minds is no error, but odd: see [State.Odd]. An empty session name is
// neither: Linux up to 7.1.3 let users make one, and no reader rejects it. It is
// carried as the 64 zeros that it is.
//
// # Memory
//
// A State holds no object for a session or a file: its records stay in the blocks
// they were read from. It takes 8 bytes a block, 8 bytes more for an array, and 4
// bytes a session; proving
// names and tokens takes 8 bytes for each session and for each file of the
// largest session while it lasts.
package luo

import (
	"bytes"
	"fmt"
	"iter"

	"ferry/blockset"
	"ferry/phys"
)

// Subtree is the name under which the root FDT of the handover lists the state.
const Subtree = "LUO"

// Sizes in bytes of the records, the same in every generation, and of the fields
// at their beginning that hold a name padded with zeros.
const (
	sessionSize = 80
	fileSize    = 64
	flbSize     = 64

	sessionName = 64
	handlerName = 48
	flbName     = 48
)

// Offsets of the u64 fields behind the names. That of a session's files is the
// address of their array in some generations, of their first block in others.
const (
	sessionFiles = 64 // 0 if there are none
	sessionCount = 72 // of the files
	fileData     = 48
	fileToken    = 56
	flbData      = 48
	flbCount     = 56
)

// Offsets in the FLB page, the same in every generation that has one.
const (
	flbPages   = 0 // u64: always 1
	flbNumber  = 8 // u64: records in the page
	flbRecords = 16
)

// Longest names in bytes: each ends in a NUL.
const (
	MaxSessionName = sessionName - 1
	MaxHandlerName = handlerName - 1
	MaxFLBName     = flbName - 1
)

// The chains that hold sessions and files.
const (
	sessionLayout blockset.Layout = sessionSize
	fileLayout    blockset.Layout = fileSize
)

// MaxFLBs is how many FLBs one page holds.
const MaxFLBs = 63

// State is what one handover preserves, in no kernel's format. Its records alias
// the memory that they were restored from, which must stay as it is.
type State struct {
	// Number counts the live updates of the machine; each kernel adds one. Ferry
	// is no kernel and hands it on as it is.
	Number uint64

	format   *Format   // that it was restored from; nil for a state from nothing
	mem      memory    // holds the records of sessions and files
	sessions runs      // session records
	files    runs      // file records, session after session
	first    []uint32  // session i has the runs first[i] to first[i+1]-1 of files
	arrays   blocks    // that hold them, where they are no chains
	nfiles   int       // in all sessions
	flbs     []byte    // FLB records
	flbPage  phys.Addr // where they are preserved; 0: nowhere yet
	flbStale bool      // more than the records stands there, so that they are written anew
	noFLBs   bool      // the handover had no FLB page, not even an empty one
	handlers []Handler // in order of appearance
	root     phys.Addr // of a restored state, which serializing replaces; else 0
	absent   bool      // the handover had no state
	sealed   bool      // restored: no more may be added
	odd      []error   // what readers pass over, the first of it
}

// newState returns an empty state whose records lie in mem.
func newState(number uint64, mem memory) *State {
	return &State{Number: number, mem: mem, sessions: runs{size: sessionSize}, files: runs{size: fileSize}, first: []uint32{0}}
}

// Handler says how many files one file handler preserves.
type Handler struct {
	Name  string // its compatible string
	Files int
}

// maxHandlers bounds how many handlers are told apart; Linux 7.3 has one.
const maxHandlers = 64

// OtherHandlers is the name under which a [Handler] counts the files of all
// handlers beyond the first 64.
const OtherHandlers = "(others)"

// Format returns the format that the state was restored from, nil for a state
// built from nothing and for a handover that has none.
func (st *State) Format() *Format { return st.format }

// Odd returns what in a restored state no kernel writes, or only one that made two
// attempts to reboot, and what readers pass over all the same: it is carried, or left
// out where nobody would read it. There are no more than a few.
func (st *State) Odd() []error { return st.odd }

// NoFLBs reports whether the handover that the state was restored from has no FLB
// page, not even an empty one. Linux 6.19 writes none, and 7.0 panics without
// one: [Serialize] gives such a state an empty page where its format wants one.
func (st *State) NoFLBs() bool { return st.noFLBs }

// Absent reports whether the handover has no LUO state at all, as opposed to one
// without sessions.
func (st *State) Absent() bool { return st.absent }

// Len returns the number of sessions.
func (st *State) Len() int { return max(0, len(st.first)-1) }

// Files returns the number of files in all sessions.
func (st *State) Files() int { return st.nfiles }

// Blocks returns in how many stretches the session records lie, and the file
// records. In a restored state each is one block.
func (st *State) Blocks() (sessions, files int) {
	for i := range st.Len() {
		files += st.files.stretches(int(st.first[i]), int(st.first[i+1]))
	}
	return st.sessions.stretches(0, st.sessions.n), files
}

// Handlers returns the handlers of all files in order of appearance.
func (st *State) Handlers() []Handler { return st.handlers }

// Sessions yields each session in the order in which they were created. Where
// memory fails it yields an error in the place of those that are left.
func (st *State) Sessions() iter.Seq2[Session, error] {
	return func(yield func(Session, error) bool) {
		c := st.sessionRecords()
		for i := 0; ; i++ {
			rec := c.next()
			if c.err != nil {
				yield(Session{}, phys.In(fmt.Sprintf("session %d", i), c.at, c.err))
			}
			if rec == nil || !yield(Session{st, rec, i}, nil) {
				return
			}
		}
	}
}

// Session is one session of a [State].
type Session struct {
	st  *State
	rec []byte
	i   int
}

// Index returns how many sessions come before it in its state.
func (s Session) Index() int { return s.i }

// Name returns the name without its padding, at most [MaxSessionName] bytes, which is
// what kernels take of it: a window, not a copy.
func (s Session) Name() []byte { return text(s.rec[:MaxSessionName]) }

// String names the session for messages.
func (s Session) String() string { return fmt.Sprintf("session %d %s", s.i, phys.Quote(s.Name())) }

// Len returns the number of files.
func (s Session) Len() (n int) {
	for i := s.st.first[s.i]; i < s.st.first[s.i+1]; i++ {
		n += s.st.files.at(int(i)).len()
	}
	return n
}

// Files yields each file of the session in the order in which they were
// preserved. Where memory fails it yields an error in the place of those that are
// left.
func (s Session) Files() iter.Seq2[File, error] {
	return func(yield func(File, error) bool) {
		c := s.records()
		for i := 0; ; i++ {
			rec := c.next()
			if c.err != nil {
				yield(nil, phys.In(fmt.Sprintf("%v: file %d", s, i), c.at, c.err))
			}
			if rec == nil || !yield(rec, nil) {
				return
			}
		}
	}
}

// File is the record of one file: a window of 64 bytes.
type File []byte

// Handler returns the compatible string of the handler that preserved the file,
// as a window.
func (f File) Handler() []byte { return text(f[:handlerName]) }

// Data returns the handler's value; for a memfd the physical address of its
// structure.
func (f File) Data() uint64 { return u64(f[fileData:]) }

// Token returns the number under which user space asks for the file; it is
// unique in its session.
func (f File) Token() uint64 { return u64(f[fileToken:]) }

// FLB is the record of one object whose life is bound to that of files: a window
// of 64 bytes.
type FLB []byte

// Name returns the compatible string of the FLB, as a window.
func (f FLB) Name() []byte { return text(f[:flbName]) }

// Data returns the value of the FLB's owner.
func (f FLB) Data() uint64 { return u64(f[flbData:]) }

// Count returns how many preserved files depend on the FLB.
func (f FLB) Count() uint64 { return u64(f[flbCount:]) }

// FLBs yields each FLB and its index.
func (st *State) FLBs() iter.Seq2[int, FLB] {
	return func(yield func(int, FLB) bool) {
		for i := range len(st.flbs) / flbSize {
			if !yield(i, FLB(st.flbs[i*flbSize:(i+1)*flbSize:(i+1)*flbSize])) {
				return
			}
		}
	}
}

// text returns a field up to its NUL, all of it where there is none.
func text(field []byte) []byte {
	if i := bytes.IndexByte(field, 0); i >= 0 {
		return field[:i:i]
	}
	return field
}

package luo

import (
	"bytes"
	"errors"
	"fmt"

	"ferry/phys"
)

// ErrDiffer is what [State.Diff] reports, for [errors.Is].
var ErrDiffer = errors.New("states differ")

// Diff compares what st and want preserve: the number, the sessions by name and
// order, the records of their files and of the FLBs. How the records are spread
// over blocks or arrays, and where these lie, does not count; nor do FLBs that the
// format of st does not hold, where [Fits] lets them be left out. It returns nil
// where they are the same, and otherwise an error that names the first
// difference.
//
// same compares two files whose tokens are equal, for where one was rewritten for
// the other's kernel; nil compares the records byte for byte, which allocates
// nothing for any of them.
func (st *State) Diff(want *State, same func(got, want File) error) error {
	flbs := want.flbs
	if st.format != nil && !st.format.HoldsFLBs() {
		flbs = nil
	}
	switch {
	case st.absent != want.absent:
		return differ("luo: absent %v, want %v", st.absent, want.absent)
	case st.Number != want.Number:
		return differ("luo: number %d, want %d", st.Number, want.Number)
	case st.Len() != want.Len():
		return differ("luo: %d sessions, want %d", st.Len(), want.Len())
	case len(st.flbs) != len(flbs):
		return differ("luo: %d FLBs, want %d", len(st.flbs)/flbSize, len(flbs)/flbSize)
	}
	ours, theirs := st.sessionRecords(), want.sessionRecords()
	for i := range st.Len() {
		s, other := Session{st, ours.next(), i}, Session{want, theirs.next(), i}
		if err := errors.Join(ours.err, theirs.err); err != nil {
			return fmt.Errorf("luo: session %d: %w", i, err)
		}
		if !bytes.Equal(s.Name(), other.Name()) {
			return differ("luo: session %d: name %s, want %s", i, phys.Quote(s.Name()), phys.Quote(other.Name()))
		}
		if err := s.diff(other, same); err != nil {
			return fmt.Errorf("luo: %v: %w", s, err)
		}
	}
	if i := differsAt(st.flbs, flbs); i >= 0 {
		return differRecord("luo: FLB", i, st.flbs[i*flbSize:], flbs[i*flbSize:])
	}
	return nil
}

// diff compares the files of two sessions.
func (s Session) diff(want Session, same func(got, want File) error) error {
	n := s.Len()
	if n != want.Len() {
		return differ("%d files, want %d", n, want.Len())
	}
	ours, theirs := s.records(), want.records()
	for at := 0; at < n; {
		a, b := ours.stretch(), theirs.stretch()
		if err := errors.Join(ours.err, theirs.err); err != nil {
			return fmt.Errorf("file %d: %w", at, err)
		}
		size := min(len(a), len(b))
		if err := diffFiles(a[:size], b[:size], at, same); err != nil {
			return err
		}
		ours.skip(size)
		theirs.skip(size)
		at += size / fileSize
	}
	return nil
}

// diffFiles compares the records a of files with b, as many, the first of which
// is file number at.
func diffFiles(a, b []byte, at int, same func(got, want File) error) error {
	if same == nil {
		if i := differsAt(a, b); i >= 0 {
			return differRecord("file", at+i, a[i*fileSize:], b[i*fileSize:])
		}
		return nil
	}
	for ; len(a) > 0; a, b, at = a[fileSize:], b[fileSize:], at+1 {
		got, want := File(a[:fileSize:fileSize]), File(b[:fileSize:fileSize])
		if got.Token() != want.Token() {
			return differRecord("file", at, a, b)
		}
		if err := same(got, want); err != nil {
			return fmt.Errorf("file %d token %#x: %w", at, got.Token(), err)
		}
	}
	return nil
}

// differsAt returns which is the first record of files or of FLBs that differs in
// a and b, which are of one length, -1 where none does.
func differsAt(a, b []byte) int {
	if bytes.Equal(a, b) {
		return -1
	}
	i := 0
	for bytes.Equal(a[:fileSize], b[:fileSize]) {
		a, b, i = a[fileSize:], b[fileSize:], i+1
	}
	return i
}

// differRecord describes record i of files or of FLBs, which begins a, where b
// begins with another one.
func differRecord(what string, i int, a, b []byte) error {
	record := func(b []byte) string {
		return fmt.Sprintf("%s %#x %#x", phys.Quote(text(b[:handlerName])), u64(b[fileData:]), u64(b[fileToken:]))
	}
	return differ("%s %d: %s, want %s", what, i, record(a), record(b))
}

func differ(format string, args ...any) error {
	return fmt.Errorf(format+": %w", append(args, ErrDiffer)...)
}

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
// order, their files and the FLBs. Layout and addresses of the records
// does not count; nor do FLBs that the format of st does not hold, if [Fits] lets
// them be left out. It returns nil if they are the same, and otherwise an error that
// names the first difference. A damaged state is like no other.
//
// same compares two files whose tokens are equal, for one that was rewritten for
// another kernel; nil compares all of their fields. Neither allocates anything for a
// file.
func (st *State) Diff(want *State, same func(got, want File) error) error {
	flbs := want.numFLBs()
	if st.format != nil && !st.format.HoldsFLBs() {
		flbs = 0
	}
	if err := errors.Join(st.err, want.err); err != nil {
		return fmt.Errorf("luo: a damaged state: %w", err)
	}
	switch {
	case st.absent != want.absent:
		return differ("luo: absent %v, want %v", st.absent, want.absent)
	case st.Number != want.Number:
		return differ("luo: number %d, want %d", st.Number, want.Number)
	case st.Len() != want.Len():
		return differ("luo: %d sessions, want %d", st.Len(), want.Len())
	case st.numFLBs() != flbs:
		return differ("luo: %d FLBs, want %d", st.numFLBs(), flbs)
	}
	ours, theirs := st.sessionRecords(), want.sessionRecords()
	for i := range st.Len() {
		rec, other := ours.next(), theirs.next()
		if rec == nil || other == nil {
			return fmt.Errorf("luo: session %d: %w", i, errors.Join(ours.err, theirs.err))
		}
		// Names are looked for only in fields that differ: behind a name are zeros, as a rule.
		if !bytes.Equal(st.session.nameField(rec), want.session.nameField(other)) {
			if a, b := st.session.nameOf(rec), want.session.nameOf(other); !bytes.Equal(a, b) {
				return differ("luo: session %d: name %s, want %s", i, phys.Quote(a), phys.Quote(b))
			}
		}
		if st.filesOf(i) == 0 && want.filesOf(i) == 0 {
			continue
		}
		s := st.sessionOf(rec, ours.at, i)
		if err := s.diff(want.sessionOf(other, theirs.at, i), same); err != nil {
			return fmt.Errorf("luo: %v: %w", s, err)
		}
	}
	for i := range flbs {
		if a, b := st.flbAt(i), want.flbAt(i); !bytes.Equal(a.Name, b.Name) || a.Data != b.Data || a.Users != b.Users {
			return differ("luo: FLB %d: %s, want %s", i, record(a.Name, a.Data, a.Users), record(b.Name, b.Data, b.Users))
		}
	}
	return nil
}

// diff compares the files of two sessions, many at a time if their records have
// one layout.
func (s Session) diff(want Session, same func(got, want File) error) error {
	n := s.Len()
	if n != want.Len() {
		return differ("%d files, want %d", n, want.Len())
	}
	l, m := &s.st.file, &want.st.file
	bulk := same == nil && *l == *m
	ours, theirs := s.records(), want.records()
	for at := 0; at < n; {
		a, b := ours.stretch(), theirs.stretch()
		if err := errors.Join(ours.err, theirs.err); err != nil {
			return fmt.Errorf("file %d: %w", at, err)
		}
		records := min(len(a)/l.size, len(b)/m.size)
		if !bulk || !bytes.Equal(a[:records*l.size], b[:records*m.size]) {
			for i := range records {
				x := l.file(a[i*l.size:], ours.pos+phys.Addr(i*l.size))
				y := m.file(b[i*m.size:], theirs.pos+phys.Addr(i*m.size))
				if err := diffFile(x, y, same); err != nil {
					return fmt.Errorf("file %d%w", at+i, err)
				}
			}
		}
		ours.skip(records * l.size)
		theirs.skip(records * m.size)
		at += records
	}
	return nil
}

// diffFile compares two files. Its error begins with what follows their number.
func diffFile(got, want File, same func(got, want File) error) error {
	if got.Token != want.Token || same == nil && (got.Data != want.Data || !bytes.Equal(got.Handler, want.Handler)) {
		return differ(": %s, want %s", record(got.Handler, got.Data, got.Token), record(want.Handler, want.Data, want.Token))
	}
	if same != nil {
		if err := same(got, want); err != nil {
			return fmt.Errorf(" token %#x: %w", got.Token, err)
		}
	}
	return nil
}

// record writes a record for a message.
func record(name []byte, first, second uint64) string {
	return fmt.Sprintf("%s %#x %#x", phys.Quote(name), first, second)
}

func differ(format string, args ...any) error {
	return fmt.Errorf(format+": %w", append(args, ErrDiffer)...)
}

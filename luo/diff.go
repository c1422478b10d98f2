package luo

import (
	"bytes"
	"errors"
	"fmt"
)

// ErrDiffer is what [State.Diff] reports, for [errors.Is].
var ErrDiffer = errors.New("states differ")

// Diff compares what st and want preserve: the number, the sessions by name and
// order, the records of their files and of the FLBs byte for byte. How the
// records are spread over blocks, and where these lie, does not count. It returns
// nil where they are the same, and otherwise an error that names the first
// difference.
//
// It costs one comparison of the records and allocates nothing for any of them.
func (st *State) Diff(want *State) error {
	switch {
	case st.absent != want.absent:
		return differ("luo: absent %v, want %v", st.absent, want.absent)
	case st.Number != want.Number:
		return differ("luo: number %d, want %d", st.Number, want.Number)
	case st.Len() != want.Len():
		return differ("luo: %d sessions, want %d", st.Len(), want.Len())
	case len(st.flbs) != len(want.flbs):
		return differ("luo: %d FLBs, want %d", len(st.flbs)/flbSize, len(want.flbs)/flbSize)
	}
	others := cursor{segments: want.sessions}
	for i, s := range st.Sessions() {
		other := Session{want, others.next(sessionSize), i}
		if !bytes.Equal(s.rec[:sessionName], other.rec[:sessionName]) {
			return differ("luo: session %d: name %q, want %q", i, s.Name(), other.Name())
		}
		if err := s.diff(other); err != nil {
			return fmt.Errorf("luo: session %d %q: %w", i, s.Name(), err)
		}
	}
	return diffRecords(cursor{seg: st.flbs}, cursor{seg: want.flbs}, "luo: FLB")
}

// diff compares the files of two sessions.
func (s Session) diff(want Session) error {
	if s.Len() != want.Len() {
		return differ("%d files, want %d", s.Len(), want.Len())
	}
	return diffRecords(cursor{segments: s.segments()}, cursor{segments: want.segments()}, "file")
}

// diffRecords compares records of files or of FLBs, as many on each side, and
// calls them what.
func diffRecords(got, want cursor, what string) error {
	for i := 0; ; {
		n := min(got.room(), want.room())
		if n == 0 {
			return nil
		}
		a, b := got.next(n), want.next(n)
		if !bytes.Equal(a, b) {
			for bytes.Equal(a[:fileSize], b[:fileSize]) {
				a, b, i = a[fileSize:], b[fileSize:], i+1
			}
			return differ("%s %d: %q %#x %#x, want %q %#x %#x", what, i,
				text(a[:handlerName]), u64(a[fileData:]), u64(a[fileToken:]),
				text(b[:handlerName]), u64(b[fileData:]), u64(b[fileToken:]))
		}
		i += n / fileSize
	}
}

// cursor reads segments of records one after another.
type cursor struct {
	segments [][]byte // those to come
	seg      []byte   // what is left of this one
}

// room returns how many bytes the segment still has, 0 behind the last.
func (c *cursor) room() int {
	for len(c.seg) == 0 && len(c.segments) > 0 {
		c.seg, c.segments = c.segments[0], c.segments[1:]
	}
	return len(c.seg)
}

// next steps over n bytes, which lie in one segment, and returns them.
func (c *cursor) next(n int) (b []byte) {
	c.room()
	b, c.seg = c.seg[:n:n], c.seg[n:]
	return b
}

func differ(format string, args ...any) error {
	return fmt.Errorf(format+": %w", append(args, ErrDiffer)...)
}

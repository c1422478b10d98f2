package luo

import (
	"bytes"
	"errors"
	"fmt"
	"hash/maphash"
	"slices"

	"ferry/phys"
)

// Rules that a state may break, for [errors.Is]. Those of its pointers and
// chains are in package blockset.
var (
	ErrName      = errors.New("malformed name")
	ErrDuplicate = errors.New("duplicate")
	ErrCount     = errors.New("count does not match")
	ErrSize      = errors.New("wrong size")
	ErrVersion   = errors.New("unknown format")
)

// checkText proves a field to hold a name: not empty, ended by a NUL and padded
// with zeros to its end. what is what the error calls it.
func checkText(what string, field []byte) *phys.Error {
	name := text(field)
	switch {
	case len(name) == 0:
		return &phys.Error{Found: "empty " + what, Want: "a name", Err: ErrName}
	case len(name) == len(field):
		return &phys.Error{Found: fmt.Sprintf("%s %q does not end", what, name),
			Want: fmt.Sprintf("a NUL within %d bytes", len(field)), Err: ErrName}
	}
	for _, b := range field[len(name):] {
		if b != 0 {
			return &phys.Error{Found: fmt.Sprintf("bytes behind the end of %s %q", what, name), Want: "zeros", Err: ErrName}
		}
	}
	return nil
}

// duplicate is a record that has the name or token of an earlier one.
type duplicate struct {
	first, second int // their indexes
	found         string
}

// fault describes d, found in the record of what at address a.
func (d *duplicate) fault(what string, a phys.Addr) *phys.Error {
	return &phys.Error{Object: fmt.Sprintf("%s %d", what, d.second), Addr: a,
		Found: fmt.Sprintf("%s of %s %d", d.found, what, d.first), Want: "its own", Err: ErrDuplicate}
}

// checkNames finds two sessions of one name. It takes 8 bytes a session: it
// sorts hashes, and compares names only where two are equal.
func (st *State) checkNames() *duplicate {
	if st.Len() < 2 {
		return nil
	}
	seed := maphash.MakeSeed()
	hashes := make([]uint64, 0, st.Len())
	for _, s := range st.Sessions() {
		hashes = append(hashes, maphash.Bytes(seed, s.rec[:sessionName]))
	}
	slices.Sort(hashes)
	for i, h := range hashes[1:] {
		if h != hashes[i] || i > 0 && h == hashes[i-1] {
			continue
		}
		var same []Session
		for n, s := range st.Sessions() {
			if maphash.Bytes(seed, s.rec[:sessionName]) != h {
				continue
			}
			for _, o := range same {
				if bytes.Equal(o.Name(), s.Name()) {
					return &duplicate{o.i, n, fmt.Sprintf("name %q", s.Name())}
				}
			}
			same = append(same, s)
		}
	}
	return nil
}

// tokens finds two files of one token, in one session after another. Tokens that
// only rise, as those of most programs do, need no memory; others take 8 bytes a
// file of the largest session.
type tokens struct{ sorted []uint64 }

func (t *tokens) check(s Session) *duplicate {
	rising, last := true, uint64(0)
	for i, f := range s.Files() {
		token := f.Token()
		if i > 0 && token <= last {
			rising = false
			break
		}
		last = token
	}
	if rising {
		return nil
	}
	t.sorted = slices.Grow(t.sorted[:0], s.Len())
	for _, f := range s.Files() {
		t.sorted = append(t.sorted, f.Token())
	}
	slices.Sort(t.sorted)
	for i, token := range t.sorted[1:] {
		if token == t.sorted[i] {
			return sameToken(s, token)
		}
	}
	return nil
}

// sameToken names the first two files that share token.
func sameToken(s Session, token uint64) *duplicate {
	first := -1
	for i, f := range s.Files() {
		if f.Token() != token {
			continue
		}
		if first >= 0 {
			return &duplicate{first, i, fmt.Sprintf("token %#x", token)}
		}
		first = i
	}
	return nil
}

// checkFLBs proves the records of the FLBs. The error's address is the offset of
// the record.
func (st *State) checkFLBs() *phys.Error {
	for i, f := range st.FLBs() {
		e := checkText("name", f[:flbName])
		if e == nil && (f.Count() == 0 || f.Count() > uint64(st.nfiles)) {
			e = &phys.Error{Found: fmt.Sprintf("%q is used by %d files", f.Name(), f.Count()),
				Want: fmt.Sprintf("1 to %d, the number of files", st.nfiles), Err: ErrCount}
		}
		if e == nil {
			for j, o := range st.FLBs() {
				if j < i && bytes.Equal(o.Name(), f.Name()) {
					e = &phys.Error{Found: fmt.Sprintf("name %q of FLB %d", f.Name(), j), Want: "a name of its own", Err: ErrDuplicate}
					break
				}
			}
		}
		if e != nil {
			e.Object, e.Addr = fmt.Sprintf("FLB %d", i), phys.Addr(i*flbSize)
			return e
		}
	}
	return nil
}

// count adds n files to the report of their handler.
func (st *State) count(handler []byte, n int) {
	for i := range st.handlers {
		h := &st.handlers[i]
		if h.Name == string(handler) || i == maxHandlers {
			h.Files += n
			return
		}
	}
	name, known := string(handler), knownHandler(handler)
	if len(st.handlers) == maxHandlers {
		name, known = OtherHandlers, false
	}
	st.handlers = append(st.handlers, Handler{Name: name, Files: n, Known: known})
}

package luo

import (
	"bytes"
	"errors"
	"fmt"
	"hash/maphash"
	"iter"
	"math/bits"
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

// checkNames finds two sessions of one name: two of equal hashes, whose names it
// then compares.
func (st *State) checkNames() (d *duplicate) {
	if st.Len() < 2 {
		return nil
	}
	seed := maphash.MakeSeed()
	hash := func(s Session) uint64 { return maphash.Bytes(seed, s.rec[:sessionName]) }
	var r repeats
	r.find(st.Len(), func(yield func(uint64) bool) {
		for _, s := range st.Sessions() {
			yield(hash(s))
		}
	}, func(h uint64) bool {
		var same []Session
		for i, s := range st.Sessions() {
			if hash(s) != h {
				continue
			}
			for _, o := range same {
				if bytes.Equal(o.Name(), s.Name()) {
					d = &duplicate{o.i, i, fmt.Sprintf("name %q", s.Name())}
					return false
				}
			}
			same = append(same, s)
		}
		return true
	})
	return d
}

// checkTokens finds two files of one token.
func (s Session) checkTokens(r *repeats) (d *duplicate) {
	r.find(s.Len(), func(yield func(uint64) bool) {
		for _, f := range s.Files() {
			yield(f.Token())
		}
	}, func(token uint64) bool {
		d = sameToken(s, token)
		return false
	})
	return d
}

// repeats finds numbers that occur more than once, in time linear in how many
// there are and with 8 bytes for each: it sorts them into buckets of about 8, by
// a hash that no handover can aim at, and each bucket by itself. It may be used
// again and again; the zero value is ready.
type repeats struct {
	ends []uint32 // of each bucket
	keys []uint64
	mul  uint64
}

// maxBuckets is 256 KiB of ends.
const maxBuckets = 1 << 16

// find calls repeated for each number that keys, which yields n of them the same
// way twice, yields more than once, until it returns false.
func (r *repeats) find(n int, keys iter.Seq[uint64], repeated func(uint64) bool) {
	if r.mul == 0 {
		r.mul = maphash.Bytes(maphash.MakeSeed(), nil) | 1
	}
	width := min(bits.Len(uint(n)/8), bits.Len(maxBuckets-1)) // of a bucket's number
	shift := 64 - width
	if cap(r.ends) < 1<<width {
		r.ends = make([]uint32, 1<<width)
	}
	r.ends = r.ends[:1<<width]
	clear(r.ends)
	if cap(r.keys) < n {
		r.keys = make([]uint64, n)
	}
	r.keys = r.keys[:n]
	for k := range keys {
		r.ends[k*r.mul>>shift]++
	}
	start := uint32(0)
	for i, count := range r.ends {
		r.ends[i], start = start, start+count
	}
	for k := range keys {
		b := k * r.mul >> shift
		r.keys[r.ends[b]] = k
		r.ends[b]++
	}
	start = 0
	for _, end := range r.ends {
		bucket := r.keys[start:end]
		slices.Sort(bucket)
		for i := 1; i < len(bucket); i++ {
			if bucket[i] == bucket[i-1] && (i == 1 || bucket[i] != bucket[i-2]) && !repeated(bucket[i]) {
				return
			}
		}
		start = end
	}
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
	if n == 0 {
		return
	}
	for i := range st.handlers {
		if h := &st.handlers[i]; h.Name == string(handler) || i == maxHandlers {
			h.Files += n
			return
		}
	}
	h := Handler{Name: string(handler), Files: n, Known: knownHandler(handler)}
	if len(st.handlers) == maxHandlers {
		h = Handler{Name: OtherHandlers, Files: n}
	}
	st.handlers = append(st.handlers, h)
}

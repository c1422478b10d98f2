package luo

import (
	"bytes"
	"errors"
	"fmt"
	"hash/maphash"
	"math"
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
	ErrTree      = errors.New("bad device tree of a state")
)

// Reasons for which a format cannot hold a state, for [errors.Is].
var (
	ErrLimit = errors.New("beyond a limit of the format")
	ErrFLB   = errors.New("the format has no FLBs")
)

// What follows from damage that kernels notice themselves, and from damage that they
// do not.
const (
	stops  = "Linux would give back no session at all: its reader stops here"
	hidden = "Linux would lose the session without a word"
)

// checkText proves a field to hold a name: not empty, and ended by a NUL. what is what
// the error calls it. What is behind the NUL is nobody's to read: see checkPadding.
func checkText(what string, field []byte) *phys.Error {
	name := text(field)
	switch {
	case len(name) == 0:
		return &phys.Error{Found: "empty " + what, Want: "a name", Err: ErrName}
	case len(name) == len(field):
		return noEnd(what, field)
	}
	return nil
}

func noEnd(what string, field []byte) *phys.Error {
	return &phys.Error{Found: fmt.Sprintf("%s %s does not end", what, phys.Quote(field)), Want: fmt.Sprintf("a NUL within %d bytes", len(field)), Err: ErrName}
}

// checkPadding says what is odd behind the end of a name.
func checkPadding(what string, field []byte) *phys.Error {
	if name := text(field); !zeros(field[len(name):]) {
		return &phys.Error{Found: fmt.Sprintf("bytes behind the end of %s %s", what, phys.Quote(name)), Want: "zeros", Err: ErrName}
	}
	return nil
}

// unused describes the first record of s that is not zero behind those that count, nil
// if there is none. size is that of a record.
func unused(s stretch, size int) *phys.Error {
	for i := 0; i < len(s.rest); i += phys.PageSize {
		n := min(len(s.rest)-i, phys.PageSize)
		if bytes.Equal(s.rest[i:i+n], zeroPage[:n]) {
			continue
		}
		j := i / size * size
		for zeros(s.rest[j:min(j+size, len(s.rest))]) {
			j += size
		}
		e := &phys.Error{Object: fmt.Sprintf("%s %v: record %d", s.object, s.block, (len(s.recs)+j)/size),
			Addr:  s.addr + phys.Addr(len(s.recs)+j),
			Found: "bytes that are not zero", Want: fmt.Sprintf("zeros behind the %d records of its count", len(s.recs)/size), Err: ErrCount}
		if s.index != inArray {
			e.Object = fmt.Sprintf("block %d: %s", s.index, e.Object)
		}
		return e
	}
	return nil
}

var zeroPage [phys.PageSize]byte

// zeros reports whether b holds nothing else.
func zeros(b []byte) bool {
	for ; len(b) >= 8; b = b[8:] {
		if u64(b) != 0 {
			return false
		}
	}
	for _, c := range b {
		if c != 0 {
			return false
		}
	}
	return true
}

// duplicate is a record that has the name or token of an earlier one.
type duplicate struct {
	first, second int // their indexes
	found         string
}

// fault describes d, found among the records of what, whose addresses at returns.
func (d *duplicate) fault(what string, at func(int) phys.Addr) *phys.Error {
	return &phys.Error{Object: fmt.Sprintf("%s %d", what, d.second), Addr: at(d.second),
		Found: fmt.Sprintf("%s of %s %d at %s", d.found, what, d.first, at(d.first)), Want: "its own", Err: ErrDuplicate}
}

// checkNames finds two sessions of one name: two of equal hashes, whose names it
// then compares.
func (st *State) checkNames() (d *duplicate, err error) {
	seed := maphash.MakeSeed()
	r := repeats{keys: make([]uint64, 0, st.Len())}
	c := st.sessionRecords()
	for i := range st.Len() {
		rec := c.next()
		if rec == nil {
			return nil, phys.In(fmt.Sprintf("session %d", i), c.at, c.err)
		}
		r.keys = append(r.keys, maphash.Bytes(seed, st.session.nameOf(rec)))
	}
	r.find(func(h uint64) bool {
		d, err = st.sameName(func(s Session) bool { return maphash.Bytes(seed, s.Name) == h })
		return d == nil && err == nil
	})
	return d, err
}

// sameName names the first two sessions that share a name among those that
// candidate picks, which are few.
func (st *State) sameName(candidate func(Session) bool) (d *duplicate, err error) {
	var same []Session
	err = st.visit(every, func(s Session) bool {
		if !candidate(s) {
			return true
		}
		for _, o := range same {
			if bytes.Equal(o.Name, s.Name) {
				d = &duplicate{o.Index, s.Index, "name " + phys.Quote(s.Name)}
				return false
			}
		}
		same = append(same, s)
		return true
	})
	return d, err
}

// checkTokens finds two files of one token.
func (s Session) checkTokens(r *repeats) (d *duplicate, err error) {
	if r.keys = r.keys[:0]; cap(r.keys) < s.Len() {
		r.keys = make([]uint64, 0, max(s.Len(), 2*cap(r.keys)))
	}
	c, l := s.records(), &s.st.file
	for rec := c.next(); rec != nil; rec = c.next() {
		r.keys = append(r.keys, l.number(rec))
	}
	if c.err != nil {
		return nil, phys.In(s.String(), c.at, c.err)
	}
	r.find(func(token uint64) bool {
		d, err = sameToken(s, token)
		return false
	})
	return d, err
}

// repeats finds numbers that occur more than once among keys, in time linear in
// how many there are and in their own memory: a radix sort by a hash that no
// handover can aim at. It may be used again and again; the zero value is ready.
type repeats struct {
	keys []uint64
	mul  uint64 // times this, modulo 2^64, is the hash: different for each key
}

// find calls repeated for numbers that keys holds more than once, each of them at
// least once, until it returns false. It leaves keys in another order.
func (r *repeats) find(repeated func(uint64) bool) {
	if r.mul == 0 {
		r.mul = maphash.Bytes(maphash.MakeSeed(), nil) | 1
	}
	r.split(r.keys, 64, repeated)
}

// split does the work of find for keys that agree in all bits of their hashes but
// the last rest, and reports whether to go on. It moves them into buckets by the
// next bits and splits those, until they are small enough to compare each key
// with each.
func (r *repeats) split(keys []uint64, rest int, repeated func(uint64) bool) bool {
	const few, radix = 16, 8
	if len(keys) <= few || rest == 0 {
		for i, k := range keys {
			if slices.Contains(keys[:i], k) && !repeated(k) {
				return false
			}
		}
		return true
	}
	rest -= radix
	var next, ends [1 << radix]uint32 // of each bucket: the first place not filled yet, and the end
	for _, k := range keys {
		ends[byte(k*r.mul>>rest)]++
	}
	start := uint32(0)
	for b, n := range ends {
		next[b] = start
		start += n
		ends[b] = start
	}
	start = 0
	for b, end := range ends {
		for i := next[b]; i < end; i++ {
			// What lies here goes to its bucket, what lies there to its own, and so
			// on until something belongs here.
			k := keys[i]
			for to := byte(k * r.mul >> rest); int(to) != b; to = byte(k * r.mul >> rest) {
				k, keys[next[to]] = keys[next[to]], k
				next[to]++
			}
			keys[i] = k
		}
		if !r.split(keys[start:end], rest, repeated) {
			return false
		}
		start = end
	}
	return true
}

// sameToken names the first two files that share token.
func sameToken(s Session, token uint64) (*duplicate, error) {
	first := -1
	c, l := s.records(), &s.st.file
	for i := 0; ; i++ {
		rec := c.next()
		if rec == nil {
			return nil, phys.In(s.String(), c.at, c.err)
		}
		switch {
		case l.number(rec) != token:
		case first >= 0:
			return &duplicate{first, i, fmt.Sprintf("token %#x", token)}, nil
		default:
			first = i
		}
	}
}

// maxUsers is how often Linux counts an FLB, in a refcount_t: once for each file, and
// once for whoever holds it at the reboot (liveupdate_flb_get_outgoing).
const maxUsers = math.MaxInt32

// checkFLBs proves the records of the FLBs, and returns how many are sound: all, or
// those before the first for which it returns an error. odd is called with what no
// reader minds. The address of both is the offset of the record.
func (st *State) checkFLBs(odd func(*phys.Error)) (sound int, e *phys.Error) {
	for i := range st.numFLBs() {
		f, field := st.flbAt(i), st.flb.nameField(st.flbs[i*st.flb.size:])
		e := checkText("name", field)
		if padding := checkPadding("name", field); e == nil && padding != nil {
			padding.Object, padding.Addr = fmt.Sprintf("FLB %d", i), phys.Addr(i*st.flb.size)
			odd(padding)
		}
		if e == nil && (f.Users == 0 || f.Users > maxUsers) {
			e = &phys.Error{Found: fmt.Sprintf("%s has %d users", phys.Quote(f.Name), f.Users),
				Want: fmt.Sprintf("1 to %d", maxUsers), Err: ErrCount}
		}
		for j := range i {
			if e == nil && bytes.Equal(st.flbAt(j).Name, f.Name) {
				e = &phys.Error{Found: fmt.Sprintf("name %s of FLB %d", phys.Quote(f.Name), j), Want: "a name of its own", Err: ErrDuplicate}
			}
		}
		if e != nil {
			e.Object, e.Addr = fmt.Sprintf("FLB %d", i), phys.Addr(i*st.flb.size)
			return i, e
		}
	}
	return st.numFLBs(), nil
}

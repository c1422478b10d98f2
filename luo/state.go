package luo

import (
	"encoding/binary"
	"fmt"
	"strings"

	"ferry/phys"
)

// check proves what a state from nothing might break and a restored one kept.
func (st *State) check() error {
	if st.sealed {
		return nil
	}
	d, err := st.checkNames()
	if err != nil {
		return err
	}
	if d != nil {
		return fmt.Errorf("sessions %d and %d: %s: %w", d.first, d.second, d.found, ErrDuplicate)
	}
	if e := st.checkFLBs(func(*phys.Error) {}); e != nil {
		return fmt.Errorf("%s: %s, want %s: %w", e.Object, e.Found, e.Want, e.Err)
	}
	var r repeats
	for s, err := range st.Sessions() {
		var d *duplicate
		if err == nil {
			d, err = s.checkTokens(&r)
		}
		if err != nil {
			return err
		}
		if d != nil {
			return fmt.Errorf("%v: files %d and %d: %s: %w", s, d.first, d.second, d.found, ErrDuplicate)
		}
	}
	return nil
}

// New returns a state from nothing, without sessions, for tests and for whoever
// plays the kernel before. number counts the live updates, this one included.
func New(number uint64) *State { return newState(number, new(arena)) }

// AddSession appends a session. The name takes 1 to [MaxSessionName] bytes, none
// of them NUL, and must be unique, which [Serialize] proves.
func (st *State) AddSession(name string) error {
	if err := st.open("session", name, MaxSessionName); err != nil {
		return err
	}
	copy(st.mem.(*arena).append(&st.sessions, false), name)
	st.first = append(st.first, uint32(st.files.n))
	return nil
}

// AddFile appends a file to the session added last. The handler's name takes 1
// to [MaxHandlerName] bytes; data is the handler's; token must be unique in the
// session, which [Serialize] proves.
func (st *State) AddFile(handler string, data, token uint64) error {
	if err := st.open("handler", handler, MaxHandlerName); err != nil {
		return err
	}
	if st.Len() == 0 {
		return fmt.Errorf("luo: file %#x without a session", token)
	}
	last := st.Len() - 1
	rec := st.mem.(*arena).append(&st.files, st.files.n == int(st.first[last]))
	st.first[last+1] = uint32(st.files.n)
	copy(rec, handler)
	binary.LittleEndian.PutUint64(rec[fileData:], data)
	binary.LittleEndian.PutUint64(rec[fileToken:], token)
	st.nfiles++
	st.count(rec[:len(handler)], 1)
	return nil
}

// AddFLB appends an FLB on which count files depend. The name takes 1 to
// [MaxFLBName] bytes and must be unique, which [Serialize] proves.
func (st *State) AddFLB(name string, data, count uint64) error {
	if err := st.open("FLB", name, MaxFLBName); err != nil {
		return err
	}
	if len(st.flbs) == MaxFLBs*flbSize {
		return fmt.Errorf("luo: FLB %s: want at most %d", phys.Quote(name), MaxFLBs)
	}
	var rec [flbSize]byte
	copy(rec[:], name)
	binary.LittleEndian.PutUint64(rec[flbData:], data)
	binary.LittleEndian.PutUint64(rec[flbCount:], count)
	st.flbs = append(st.flbs, rec[:]...)
	return nil
}

// open proves that something of this name may be added.
func (st *State) open(what, name string, limit int) error {
	if st.sealed {
		return fmt.Errorf("luo: %s %s added to a restored state", what, phys.Quote(name))
	}
	if err := checkName(what, name, limit); err != nil {
		return fmt.Errorf("luo: %w", err)
	}
	return nil
}

// checkName proves that name may stand in a field of limit bytes and a NUL.
func checkName(what, name string, limit int) error {
	if len(name) < 1 || len(name) > limit {
		return fmt.Errorf("%s %s: %d bytes, want 1..%d: %w", what, phys.Quote(name), len(name), limit, ErrName)
	}
	if strings.IndexByte(name, 0) >= 0 {
		return fmt.Errorf("%s %s: NUL inside: %w", what, phys.Quote(name), ErrName)
	}
	return nil
}

// u64 returns the little-endian number at the start of b.
func u64(b []byte) uint64 { return binary.LittleEndian.Uint64(b) }

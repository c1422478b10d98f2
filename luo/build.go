package luo

import (
	"fmt"
	"strings"

	"ferry/phys"
)

// New returns an empty state, for tests and for programs that play the kernel
// before. number counts the live updates, this one included.
func New(number uint64) *State { return newState(number, common, new(arena)) }

// newState returns an empty state whose records are in mem.
func newState(number uint64, l layouts, mem memory) *State {
	return &State{Number: number, layouts: l, mem: mem, first: []uint32{0},
		sessions: runs{size: l.session.size}, files: runs{size: l.file.size}}
}

// AddSession appends a session. The name takes 1 to [MaxSessionName] bytes, none
// of them NUL, and must be unique, which [Serialize] proves.
func (st *State) AddSession(name string) error {
	if err := st.open("session", name, MaxSessionName); err != nil {
		return err
	}
	st.session.put(st.mem.(*arena).append(&st.sessions, false), []byte(name), 0, 0)
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
	st.file.put(rec, []byte(handler), data, token)
	st.nfiles++
	st.count(text(st.file.nameField(rec)), 1)
	return nil
}

// AddFLB appends an FLB on which users files depend. The name takes 1 to
// [MaxFLBName] bytes and must be unique, which [Serialize] proves.
func (st *State) AddFLB(name string, data, users uint64) error {
	if err := st.open("FLB", name, MaxFLBName); err != nil {
		return err
	}
	if st.numFLBs() == MaxFLBs {
		return fmt.Errorf("luo: FLB %s: want at most %d", phys.Quote(name), MaxFLBs)
	}
	rec := make([]byte, st.flb.size)
	st.flb.put(rec, []byte(name), data, users)
	st.flbs = append(st.flbs, rec...)
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

// checkName proves that name fits a field of limit bytes and a NUL.
func checkName(what, name string, limit int) error {
	if len(name) < 1 || len(name) > limit {
		return fmt.Errorf("%s %s: %d bytes, want 1..%d: %w", what, phys.Quote(name), len(name), limit, ErrName)
	}
	if strings.IndexByte(name, 0) >= 0 {
		return fmt.Errorf("%s %s: NUL inside: %w", what, phys.Quote(name), ErrName)
	}
	return nil
}

// check proves what building a state may break and restoring it has proved.
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
	if _, e := st.checkFLBs(func(*phys.Error) {}); e != nil {
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

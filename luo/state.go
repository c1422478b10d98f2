package luo

import (
	"encoding/binary"
	"fmt"

	"ferry/blockset"
	"ferry/kho"
	"ferry/phys"
)

// Restore reads the state that h hands over. It proves every pointer with c,
// which must have been made for h and which remembers the pages it passed, and
// writes nothing. A handover without the sub-tree gives an empty state that is
// [State.Absent].
//
// The error is a [*phys.Error] that names the session, the block and its
// address.
func Restore(h *kho.Handover, c *blockset.Checker) (*State, error) {
	t, ok := h.Subtree(Subtree)
	if !ok {
		st := newState(0, h.Memory())
		st.absent, st.sealed = true, true
		return st, nil
	}
	st, err := restoreV5(c, t.Data, t.Size)
	if err != nil {
		return nil, phys.In("luo", t.Data, err)
	}
	return st, nil
}

// Serialize writes st for Linux 7.2 and 7.3 into new pages of d, takes the pages
// that it was restored from out of d, and points the sub-tree at the new root.
// Blocks are filled to their capacity, whatever they were before. The same state
// and the same sequence of pages give the same bytes.
//
// The FLB page alone stays where it is: its format is the same in every release,
// nothing in it changes and no kernel frees it, so a copy would only be one more
// thing that can go wrong. A state built from nothing gets a new one. Records of
// unknown handlers are carried as they are; see [State.Handlers].
//
// Where it fails, d must not be committed.
func Serialize(st *State, d *kho.Draft) error {
	if st.absent {
		return nil
	}
	err := st.check()
	if err == nil {
		err = serializeV5(st, d)
	}
	if err != nil {
		return fmt.Errorf("luo: serializing: %w", err)
	}
	return nil
}

// check proves what a state from nothing might break and a restored one kept.
func (st *State) check() error {
	if st.sealed {
		return nil
	}
	if n := st.Len(); n > sessionLayout.Max() {
		return fmt.Errorf("%d sessions, want at most %d: %w", n, sessionLayout.Max(), blockset.ErrLimit)
	}
	if d := st.checkNames(); d != nil {
		return fmt.Errorf("sessions %d and %d: %s: %w", d.first, d.second, d.found, ErrDuplicate)
	}
	if e := st.checkFLBs(); e != nil {
		return fmt.Errorf("%s: %s, want %s: %w", e.Object, e.Found, e.Want, e.Err)
	}
	var r repeats
	for i, s := range st.Sessions() {
		if n := s.Len(); n > fileLayout.Max() {
			return fmt.Errorf("session %d %q: %d files, want at most %d: %w", i, s.Name(), n, fileLayout.Max(), blockset.ErrLimit)
		}
		if d := s.checkTokens(&r); d != nil {
			return fmt.Errorf("session %d %q: files %d and %d: %s: %w", i, s.Name(), d.first, d.second, d.found, ErrDuplicate)
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
		return fmt.Errorf("luo: FLB %q: want at most %d", name, MaxFLBs)
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
		return fmt.Errorf("luo: %s %q added to a restored state", what, name)
	}
	if len(name) < 1 || len(name) > limit {
		return fmt.Errorf("luo: %s %q: %d bytes, want 1..%d: %w", what, name, len(name), limit, ErrName)
	}
	for i := range len(name) {
		if name[i] == 0 {
			return fmt.Errorf("luo: %s %q: NUL inside: %w", what, name, ErrName)
		}
	}
	return nil
}

// retire takes the blocks that st was restored from out of d, but for the FLB
// page.
func (st *State) retire(d blockset.Pages) error {
	if st.root == 0 {
		return nil
	}
	if err := d.Retire(phys.Block{Addr: st.root}); err != nil {
		return fmt.Errorf("retiring the root: %w", err)
	}
	for _, l := range []*runs{&st.sessions, &st.files} {
		for i := range l.n {
			if err := d.Retire(l.block(i)); err != nil {
				return fmt.Errorf("retiring %v: %w", l.block(i), err)
			}
		}
	}
	return nil
}

// u64 returns the little-endian number at the start of b.
func u64(b []byte) uint64 { return binary.LittleEndian.Uint64(b) }

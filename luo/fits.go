package luo

import (
	"fmt"
	"strconv"

	"ferry/phys"
)

// The FLBs of Linux's own test, lib/tests/liveupdate.c, are numbered. Their data is
// a pattern plus their number and names no memory, so that they may be left out if a
// format has no FLBs.
const (
	testFLB     = "liveupdate-test-flb-v"
	testPattern = 0xfeedf00dcafebee0 // TEST_FLB_MAGIC_BASE
	testFLBs    = 16                 // more than the test has, and what the pattern has room for
)

// test reports whether f is an FLB of Linux's own test, with the data of one.
func (f FLB) test() bool {
	n := f.Data - testPattern
	return n < testFLBs && string(f.Name) == testFLB+strconv.FormatUint(n, 10)
}

// Fits reports, before anything is written, why f cannot hold st: an error that
// names the session, the file and the limit, nil if it can. It refuses a damaged state.
//
// The kernels of some formats write no more than their arrays hold, but read
// what a larger array holds. beyond allows as many as that: it is the operator's
// to say, by ferry.beyond-limits=1, because no kernel documents it.
//
// A format without FLBs holds none but those of Linux's own test, which are left
// out as long as their data is what that test gives them; see [State.LeftOut].
func Fits(st *State, f *Format, beyond bool) error {
	if st.err != nil {
		return fmt.Errorf("luo: the state is damaged: %w", st.err)
	}
	sessions, files := f.maxSessions, f.maxFiles
	if beyond {
		sessions, files = f.beyondSessions, f.beyondFiles
	}
	for s, err := range st.sessionsIf(func(i int) bool { return i >= sessions || st.filesOf(i) > files }) {
		if err != nil {
			return fmt.Errorf("luo: %w", err)
		}
		if s.Index >= sessions {
			return limit(fmt.Sprintf("luo: %v", s), st.sessionAddr(s.Index), fmt.Sprintf("1 of %d sessions", st.Len()),
				fmt.Sprintf("at most %d in %v (Linux %s)", sessions, f, f.releases), st.Len() <= f.beyondSessions)
		}
		n, j := s.Len(), 0
		for file, err := range s.Files() {
			if err != nil {
				return fmt.Errorf("luo: %w", err)
			}
			if j == files {
				return limit(fmt.Sprintf("luo: %v: file %d token %#x", s, j, file.Token), st.fileAddr(s.Index, j), fmt.Sprintf("1 of %d files", n),
					fmt.Sprintf("at most %d in a session of %v (Linux %s)", files, f, f.releases), n <= f.beyondFiles)
			}
			j++
		}
	}
	if f.HoldsFLBs() {
		return nil
	}
	for i := range st.numFLBs() {
		if flb := st.flbAt(i); !flb.test() {
			return &phys.Error{Object: fmt.Sprintf("luo: FLB %d %s", i, phys.Quote(flb.Name)), Addr: flb.Addr,
				Found: fmt.Sprintf("data %#x, used by %d files", flb.Data, flb.Users), Want: fmt.Sprintf("none in %v (Linux %s)", f, f.releases), Err: ErrFLB}
		}
	}
	return nil
}

// FitsNone is [Fits] for what has no format at all, kernels without live update:
// it refuses a state with sessions, because they would be lost. The error is a
// [*phys.Error] that names the first session, the address of its record, and what
// the state does not fit, as the caller calls it.
func FitsNone(st *State, what string) error {
	if st.err != nil {
		return fmt.Errorf("luo: the state is damaged: %w", st.err)
	}
	for s, err := range st.Sessions() {
		if err != nil {
			return fmt.Errorf("luo: %w", err)
		}
		return &phys.Error{Object: fmt.Sprintf("luo: %v", s), Addr: st.sessionAddr(s.Index),
			Found: fmt.Sprintf("1 of %d sessions, %d files", st.Len(), st.Files()), Want: "no session for " + what,
			Hint: "finish the sessions before the crossing, or take a kernel of Linux 6.19 or later", Err: ErrLimit}
	}
	return nil
}

// limit is the error of an object beyond a limit.
func limit(object string, a phys.Addr, found, want string, readable bool) error {
	e := &phys.Error{Object: object, Addr: a, Found: found, Want: want, Err: ErrLimit}
	if readable {
		e.Hint = "ferry.beyond-limits=1 writes them all the same: the readers of those kernels take them"
	}
	return e
}

// LeftOut returns how many FLBs of st f does not hold; see [Fits].
func (st *State) LeftOut(f *Format) int {
	if f.HoldsFLBs() {
		return 0
	}
	return st.numFLBs()
}

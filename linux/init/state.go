//go:build linux

package main

import (
	"bytes"
	"errors"
	"fmt"
	"hash/crc64"
	"io"
	"os"
	"strconv"
	"strings"

	"golang.org/x/sys/unix"

	"ferry/linux/liveupdate"
	"ferry/linux/workload"
)

// A state is the sessions that this kernel holds for the next one.
type state struct {
	device   *liveupdate.Device
	sessions []*liveupdate.Session
	totals
}

// totals is what one kernel reports of its state.
type totals struct {
	sessions, files, bytes int64
	digest                 uint64 // CRC-64 over all files, in order
}

var table = crc64.MakeTable(crc64.ECMA)

func (s *state) close() {
	for _, session := range s.sessions {
		session.Close()
	}
	if s.device != nil {
		s.device.Close()
	}
}

// create makes everything that the plan lists and preserves it.
func (c config) create() (*state, error) {
	device, err := liveupdate.Open()
	if err != nil {
		return nil, err
	}
	s := &state{device: device}
	made := make(map[string]*os.File) // memfds that several files of the plan are
	for _, want := range c.plan.List() {
		files := make([]*os.File, len(want.Files))
		for i, f := range want.Files {
			if files[i], err = obtain(f, made); err != nil {
				return nil, fmt.Errorf("session %q: token %#x: %w", want.Name, f.Token, err)
			}
		}
		if err := s.preserve(want, files); err != nil {
			return nil, err
		}
	}
	for _, f := range made {
		if err := f.Close(); err != nil {
			return nil, err
		}
	}
	if c.plan.Broken {
		if err := breakFiles(c.plan.List()); err != nil {
			return nil, err
		}
	}
	sessions, files, bytes := c.plan.Totals()
	huge, err := hugeFolios()
	report("made round=%d sessions=%d files=%d bytes=%d huge=%d", c.round, sessions, files, bytes, huge)
	return s, err
}

// preserve enters the files in a new session, and closes them.
func (s *state) preserve(want workload.Session, files []*os.File) error {
	session, err := s.device.Create(want.Name)
	if err != nil {
		return err
	}
	for i, f := range files {
		if err := session.Preserve(f, want.Files[i].Token); err != nil {
			return err
		}
		if err := f.Close(); err != nil {
			return err
		}
	}
	if want.GivenUp {
		return session.Close()
	}
	s.sessions = append(s.sessions, session)
	return nil
}

// obtain returns an open file of the plan: a new memfd, or one of those made already.
func obtain(want workload.File, made map[string]*os.File) (*os.File, error) {
	f := made[want.Same]
	if f == nil {
		var err error
		if f, err = newFile(want); err != nil || want.Same == "" {
			return f, err
		}
		made[want.Same] = f
	}
	if want.Reopened {
		own, err := os.OpenFile(fmt.Sprintf("/proc/self/fd/%d", f.Fd()), os.O_RDWR, 0)
		if err == nil {
			_, err = own.Seek(want.Pos, io.SeekStart)
		}
		return own, err
	}
	fd, err := unix.Dup(int(f.Fd()))
	return os.NewFile(uintptr(fd), "memfd"), err
}

// newFile makes a memfd.
func newFile(want workload.File) (*os.File, error) {
	fd, err := unix.MemfdCreate("crossing", unix.MFD_ALLOW_SEALING)
	if err != nil {
		return nil, err
	}
	f := os.NewFile(uintptr(fd), "memfd")
	if err := f.Truncate(want.Size); err != nil {
		return nil, err
	}
	var page [workload.PageSize]byte
	for n := range (want.Size + workload.PageSize - 1) / workload.PageSize {
		last := (want.Size - 1) / workload.PageSize
		if want.Sparse && n != 0 && n != last {
			continue
		}
		b := page[:min(workload.PageSize, want.Size-n*workload.PageSize)]
		want.Fill(b, n)
		if _, err := f.WriteAt(b, n*workload.PageSize); err != nil {
			return nil, err
		}
	}
	if want.Seals != 0 {
		if _, err := unix.FcntlInt(f.Fd(), unix.F_ADD_SEALS, want.Seals); err != nil {
			return nil, err
		}
	}
	_, err = f.Seek(want.Pos, io.SeekStart)
	return f, err
}

// takeOver retrieves every session and file, compares it with the plan, and unless this is the last kernel preserves the
// same files again.
func (c config) takeOver() (*state, error) {
	device, err := liveupdate.Open()
	if err != nil {
		return nil, err
	}
	s := &state{device: device}
	var taken [][]*os.File
	if _, err := device.Retrieve("no such session"); err == nil {
		return nil, fmt.Errorf("a session arrived that nobody made")
	}
	for _, want := range c.plan.List() {
		session, err := device.Retrieve(want.Name)
		if want.GivenUp {
			if err == nil {
				return nil, fmt.Errorf("session %q arrived, which was given up", want.Name)
			}
			continue
		}
		if err != nil {
			return nil, err
		}
		s.totals.sessions++
		files, err := c.retrieve(session, want)
		if err != nil {
			return nil, err
		}
		if err := session.Finish(); err != nil {
			return nil, err
		}
		session.Close()
		if err := s.check(want, files, c.route.History(c.round)); err != nil {
			return nil, err
		}
		taken = append(taken, files)
		if c.round == c.route.Rounds {
			continue // files stay open: the report counts their folios
		}
		if err := s.preserve(want, files); err != nil {
			return nil, err
		}
	}
	if c.plan.Shared {
		if err := c.again(taken); err != nil {
			return nil, err
		}
	}
	huge, err := hugeFolios()
	report("kept round=%d sessions=%d files=%d bytes=%d digest=%016x huge=%d",
		c.round, s.totals.sessions, s.files, s.bytes, s.digest, huge)
	return s, err
}

// retrieve takes the files out of the session in the order of the plan. Those that do not arrive are nil.
func (c config) retrieve(session *liveupdate.Session, want workload.Session) ([]*os.File, error) {
	files := make([]*os.File, len(want.Files))
	for i := range files {
		if want.Backwards {
			i = len(files) - 1 - i
		}
		if want.Untouched {
			continue
		}
		f, err := session.RetrieveFile(want.Files[i].Token)
		if fails := want.Files[i].Fails; fails != 0 {
			if !errors.Is(err, fails) {
				return nil, fmt.Errorf("session %q: token %#x: %v, want %w", want.Name, want.Files[i].Token, err, fails)
			}
			continue
		}
		if err != nil {
			return nil, err
		}
		files[i] = f
	}
	return files, nil
}

// again compares what arrived with the plan once more, after much of the free memory was written to: memory that was
// given to a file and freed with another one would show.
func (c config) again(taken [][]*os.File) error {
	var info unix.Sysinfo_t
	if err := unix.Sysinfo(&info); err != nil {
		return err
	}
	junk, err := newFile(workload.Junk(int64(info.Freeram) * int64(info.Unit) / 2))
	if err != nil {
		return err
	}
	defer junk.Close()
	var again state
	for _, want := range c.plan.List() {
		if want.GivenUp {
			continue
		}
		if err := again.check(want, taken[0], c.route.History(c.round)); err != nil {
			return fmt.Errorf("after more memory was used: %w", err)
		}
		taken = taken[1:]
	}
	return nil
}

// check compares the files with the plan, in its order.
func (s *state) check(want workload.Session, files []*os.File, history []string) error {
	for i, f := range want.Files {
		if files[i] == nil {
			continue
		}
		f.Seals = workload.Arrived(f.Seals, history)
		if err := s.compare(files[i], f); err != nil {
			return fmt.Errorf("session %q: token %#x: %w", want.Name, f.Token, err)
		}
	}
	return nil
}

// hugeFolios returns how many folios of 2 MiB the memfds of this kernel have.
func hugeFolios() (int, error) {
	const key = "ShmemHugePages:"
	b, err := os.ReadFile("/proc/meminfo")
	if err != nil {
		return 0, err
	}
	for line := range strings.Lines(string(b)) {
		if rest, ok := strings.CutPrefix(line, key); ok {
			kib, err := strconv.Atoi(strings.TrimSuffix(strings.TrimSpace(rest), " kB"))
			return kib << 10 / workload.HugeSize, err
		}
	}
	return 0, errors.New("/proc/meminfo does not count huge pages of shared memory")
}

// compare checks one file against what was made, and adds it to the totals.
func (s *state) compare(f *os.File, want workload.File) error {
	info, err := f.Stat()
	if err != nil {
		return err
	}
	if info.Size() != want.Size {
		return fmt.Errorf("size %d, want %d", info.Size(), want.Size)
	}
	pos, err := f.Seek(0, io.SeekCurrent)
	if err != nil {
		return err
	}
	if pos != want.Pos {
		return fmt.Errorf("position %d, want %d", pos, want.Pos)
	}
	seals, err := unix.FcntlInt(f.Fd(), unix.F_GET_SEALS, 0)
	if err != nil {
		return err
	}
	if seals != want.Seals {
		return fmt.Errorf("seals %#x, want %#x", seals, want.Seals)
	}
	var got, expect [workload.PageSize]byte
	for n := range (want.Size + workload.PageSize - 1) / workload.PageSize {
		size := min(workload.PageSize, want.Size-n*workload.PageSize)
		want.Fill(expect[:size], n)
		if _, err := f.ReadAt(got[:size], n*workload.PageSize); err != nil {
			return err
		}
		if !bytes.Equal(got[:size], expect[:size]) {
			return fmt.Errorf("page %d of %d bytes differs", n, size)
		}
		s.digest = crc64.Update(s.digest, table, got[:size])
	}
	s.files++
	s.bytes += want.Size
	return nil
}

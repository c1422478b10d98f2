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
	for _, want := range c.plan.List() {
		files := make([]*os.File, len(want.Files))
		for i, f := range want.Files {
			if files[i], err = newFile(f); err != nil {
				return nil, fmt.Errorf("session %q: token %#x: %w", want.Name, f.Token, err)
			}
		}
		if err := s.preserve(want, files); err != nil {
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
	s.sessions = append(s.sessions, session)
	for i, f := range files {
		if err := session.Preserve(f, want.Files[i].Token); err != nil {
			return err
		}
		if err := f.Close(); err != nil {
			return err
		}
	}
	return nil
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
	if _, err := device.Retrieve("no such session"); err == nil {
		return nil, fmt.Errorf("a session arrived that nobody made")
	}
	for _, want := range c.plan.List() {
		session, err := device.Retrieve(want.Name)
		if err != nil {
			return nil, err
		}
		files := make([]*os.File, len(want.Files))
		for i, f := range want.Files {
			if files[i], err = session.RetrieveFile(f.Token); err != nil {
				return nil, err
			}
			f.Seals = workload.Arrived(f.Seals, c.route.History(c.round))
			if err := s.compare(files[i], f); err != nil {
				return nil, fmt.Errorf("session %q: token %#x: %w", want.Name, f.Token, err)
			}
		}
		if err := session.Finish(); err != nil {
			return nil, err
		}
		session.Close()
		s.totals.sessions++
		if c.round == c.route.Rounds {
			continue // files stay open: the report counts their folios
		}
		if err := s.preserve(want, files); err != nil {
			return nil, err
		}
	}
	huge, err := hugeFolios()
	report("kept round=%d sessions=%d files=%d bytes=%d digest=%016x huge=%d",
		c.round, s.totals.sessions, s.files, s.bytes, s.digest, huge)
	return s, err
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

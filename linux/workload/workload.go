// Package workload says what the crossings between real kernels carry: sessions and memfds whose names, tokens, sizes,
// positions, seals and bytes all follow from a few numbers, and the content of a reserved region of memory. Every kernel
// of a chain computes the same, so that nothing has to be handed over but the live state itself, and a kernel can tell
// what arrived from what should have.
package workload

import (
	"encoding/binary"
	"fmt"
	"strings"

	"golang.org/x/sys/unix"
)

// A Plan is the size and kind of a workload.
type Plan struct {
	Sessions int  // number of sessions
	Files    int  // files in each session
	Big      int  // MiB of one more file in the first session, 0 for none
	Wide     int  // files in one more session, 0 for none
	Mixed    bool // instead of all that: one session of each kind that the formats treat differently
	Plain    bool // no seals but F_SEAL_SEAL: what every kernel's memfd handler can hold
	Shared   bool // instead of all that: memfds that are preserved more than once
	Broken   bool // or ordinary ones, two of which cannot be given back
}

// A Session is one session to preserve.
type Session struct {
	Name  string
	Files []File

	Backwards bool // the next kernel takes its files out in the opposite order
	Untouched bool // or none of them
	GivenUp   bool // it is closed before the live update
}

// A File is one memfd to preserve.
type File struct {
	Token  uint64
	Size   int64 // bytes
	Pos    int64 // file position
	Seals  int   // F_SEAL_ bits
	Sparse bool  // only the first and the last page are written
	seed   uint64

	Same     string     // files of the same name here are one memfd, each without one is its own
	Reopened bool       // preserved through a file of its own, with a position of its own
	Fails    unix.Errno // what the next kernel answers, if it does not give it back
}

// FileLimit is how many files a session of Linux 6.19, 7.0 and 7.1 holds, and SessionLimit how many sessions they hold.
// Source: ABI of luo-v1, kernel/liveupdate/luo_file.c and luo_session.c of 7.1.13.
const (
	FileLimit    = 128
	SessionLimit = 819
)

// sizes of the files, in turn: none, less than a page, around a page, around a few pages, and with holes.
var sizes = []int64{4096, 1, 0, 4095, 4097, 3 * 4096, 65537, 100_000}

// List returns the sessions of the plan. Names range from one byte to the longest, tokens over all 64 bits.
func (p Plan) List() []Session {
	sessions := make([]Session, p.Sessions)
	for i := range sessions {
		sessions[i] = session(i, p.Files)
	}
	if p.Big > 0 && p.Sessions > 0 {
		f := file(0, p.Files)
		f.Size, f.Seals, f.Sparse = int64(p.Big)<<20, 0, false
		f.Pos = f.Size / 2
		sessions[0].Files = append(sessions[0].Files, f)
	}
	if p.Wide > 0 {
		sessions = append(sessions, session(p.Sessions, p.Wide))
	}
	if p.Mixed {
		sessions = mixed()
	}
	if p.Shared {
		return shared()
	}
	if p.Broken {
		return broken()
	}
	if p.Plain {
		for _, s := range sessions {
			for i := range s.Files {
				s.Files[i].Seals = unix.F_SEAL_SEAL * (i % 2)
			}
		}
	}
	return sessions
}

// Totals returns the number of sessions, files and bytes that are handed over.
func (p Plan) Totals() (sessions, files, bytes int64) {
	for _, s := range p.List() {
		if s.GivenUp {
			continue
		}
		sessions++
		for _, f := range s.Files {
			files++
			bytes += f.Size
		}
	}
	return sessions, files, bytes
}

func session(i, files int) Session {
	s := Session{Name: fmt.Sprintf("vm-%05d", i)}
	switch i % 4 {
	case 1:
		s.Name += strings.Repeat("x", 63-len(s.Name))
	case 2:
		s.Name = fmt.Sprintf("%d", i)
	case 3:
		s.Name += " with spaces/and-a-slash é"
	}
	for j := range files {
		s.Files = append(s.Files, file(i, j))
	}
	return s
}

// mixed is a few ordinary sessions, one without files, one with a single file, one at the limit of files, and one with
// files of special sizes.
func mixed() []Session {
	sessions := []Session{session(0, 5), session(1, 9), session(2, 0), session(3, 1), session(4, FileLimit)}
	special := session(5, 0)
	for j, f := range []File{
		{Size: 0},
		{Size: 1, Pos: 1},
		{Size: 3 * PageSize, Pos: PageSize + 1},
		{Size: HugeSize, Pos: 12345, Seals: unix.F_SEAL_SHRINK},
		{Size: 2*HugeSize + 3*PageSize + 7, Pos: 2 * HugeSize},
		{Size: 3 * HugeSize, Pos: 3 * HugeSize, Sparse: true},
	} {
		like := file(5, j)
		f.Token, f.seed = like.Token, like.seed
		special.Files = append(special.Files, f)
	}
	return append(sessions, special, session(6, 2))
}

func file(session, index int) File {
	seed := mix(uint64(session)<<32 | uint64(index))
	f := File{Token: seed, Size: sizes[index%len(sizes)], seed: seed}
	if index == 0 {
		f.Token = 0
	}
	if index == 1 {
		f.Token = ^uint64(0)
	}
	f.Pos = int64(mix(seed) % uint64(f.Size+1))
	f.Sparse = f.Size > 3*4096 && index%3 == 0
	switch index % 5 {
	case 2:
		f.Seals = unix.F_SEAL_GROW | unix.F_SEAL_SHRINK
	case 4:
		f.Seals = unix.F_SEAL_WRITE | unix.F_SEAL_GROW | unix.F_SEAL_SHRINK | unix.F_SEAL_SEAL
	}
	return f
}

// Sizes of pages. Fill works in units of PageSize; a memfd takes folios of HugeSize where it is large enough.
const (
	PageSize = 4096
	HugeSize = 2 << 20
)

// Fill writes the bytes of one page of the file into page, as many as page holds.
func (f File) Fill(page []byte, number int64) {
	if f.Sparse && number != 0 && number != (f.Size-1)/PageSize {
		clear(page)
		return
	}
	fill(page, f.seed^uint64(number))
}

// FillRegion writes the bytes of one page of a reserved region of memory.
func FillRegion(page []byte, number int64) { fill(page, mix(0x5265736572766564)^uint64(number)) }

func fill(page []byte, seed uint64) {
	x := mix(seed)
	var word [8]byte
	for i := 0; i < len(page); i += 8 {
		x = mix(x)
		if len(page)-i >= 8 {
			binary.LittleEndian.PutUint64(page[i:], x)
			continue
		}
		binary.LittleEndian.PutUint64(word[:], x)
		copy(page[i:], word[:])
	}
}

// mix is the finalizer of SplitMix64: every bit of the result depends on every bit of x.
func mix(x uint64) uint64 {
	x += 0x9e3779b97f4a7c15
	x = (x ^ x>>30) * 0xbf58476d1ce4e5b9
	x = (x ^ x>>27) * 0x94d049bb133111eb
	return x ^ x>>31
}

package workload

import "golang.org/x/sys/unix"

// shared is sessions in which one memfd is preserved more than once, as Linux 6.19 and 7.0 allow: 7.1 and later say EBUSY.
// Each time makes a structure and an array of folios of its own, all of which name the same folios. The next kernel gives
// them to whoever asks first; the others get EIO. So the order in which files are retrieved is part of the plan.
func shared() []Session {
	name := func(what string) string { return "shared " + what }
	one := func(session, index int, of string, size int64) File {
		f := file(session, index)
		f.Size, f.Pos, f.Seals, f.Sparse, f.Same = size, size/2, 0, false, of
		if of != "" {
			f.seed = mix(uint64(len(of))<<32 | uint64(of[0]))
		}
		return f
	}
	lost := func(f File) File { f.Fails = unix.EIO; return f }
	own := func(f File) File { f.Reopened, f.Pos = true, f.Pos+1; return f }
	return []Session{
		{Name: name("under two tokens"), Files: []File{one(10, 0, "a", 5*PageSize), lost(one(10, 1, "a", 5*PageSize)), one(10, 2, "", 3*PageSize)}},
		{Name: name("the second first"), Backwards: true, Files: []File{lost(one(11, 0, "b", 3*PageSize+1)), one(11, 1, "b", 3*PageSize+1)}},
		{Name: name("by two sessions"), Files: []File{one(12, 0, "c", 600*PageSize), one(12, 1, "", 1)}},
		{Name: name("by two sessions too"), Files: []File{one(13, 0, "", 2*PageSize), lost(own(one(13, 1, "c", 600*PageSize)))}},
		{Name: name("in large folios"), Files: []File{one(14, 0, "d", HugeSize+3*PageSize), lost(own(one(14, 1, "d", HugeSize+3*PageSize))), lost(one(14, 2, "d", HugeSize+3*PageSize))}},
		{Name: name("and not retrieved"), Untouched: true, Files: []File{one(15, 0, "e", 4*PageSize), one(15, 1, "e", 4*PageSize)}},
		{Name: name("with one that is given up"), Files: []File{lost(one(16, 0, "f", 7*PageSize)), one(16, 1, "", 7*PageSize)}},
		{Name: name("and given up"), GivenUp: true, Files: []File{one(17, 0, "f", 7*PageSize)}},
		{Name: name("and empty"), Files: []File{one(18, 0, "g", 0), one(18, 1, "g", 0)}},
		session(19, 4),
	}
}

// broken is ordinary sessions, and among their files two whose structures say too many pages for the array of folios: no
// kernel gives back such a file, and all give back the others.
func broken() []Session {
	sessions := []Session{session(20, 6), session(21, 3), session(22, 0)}
	for i := range sessions {
		for j := range sessions[i].Files {
			sessions[i].Files[j].Seals = 0
		}
	}
	for i, j := range []int{3, 0} {
		f := &sessions[i].Files[j]
		f.Size, f.Pos, f.Sparse, f.Fails = 5*PageSize+1, brokenPos+int64(i), false, unix.EINVAL
	}
	return sessions
}

// brokenPos is a position that no other file has, and by which the structure of one is found.
const brokenPos = 0x5a17c0de1357

// Arrivals is Totals of what the next kernel gives back.
func (p Plan) Arrivals() (sessions, files, bytes int64) {
	for _, s := range p.List() {
		if s.GivenUp {
			continue
		}
		sessions++
		for _, f := range s.Files {
			if f.Fails == 0 && !s.Untouched {
				files++
				bytes += f.Size
			}
		}
	}
	return sessions, files, bytes
}

// Junk is a file of no session.
func Junk(size int64) File { return File{Size: size, seed: mix(0x6a756e6b)} }

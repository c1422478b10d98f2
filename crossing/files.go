package crossing

import (
	"errors"
	"fmt"

	"ferry/luo"
	"ferry/memfd"
	"ferry/own"
	"ferry/phys"
)

// memfds is what is known about the files whose handler is known.
type memfds struct {
	files   int
	formats []*memfd.Format // of the files, in order of appearance
	folios  uint64
	unset   int           // folios that are not recorded as written to and up to date
	kept    []*memfd.File // the proved files by number, nil for one that is no memfd or damaged

	damaged  marks // files that are written as ones that cannot be retrieved
	shared   marks // files that have memory together with others
	warnings warnings
}

func (m *memfds) add(f *memfd.Format, file *memfd.File) {
	m.files++
	m.folios += file.Folios
	m.unset += file.Unset()
	for _, known := range m.formats {
		if known == f {
			return
		}
	}
	m.formats = append(m.formats, f)
}

// keep keeps file number n, nil if it turns out to be damaged, so that it is opened once.
func (m *memfds) keep(n int, file *memfd.File) {
	for n >= len(m.kept) {
		m.kept = append(m.kept, nil)
	}
	m.kept[n] = file
}

// file returns file number n, nil if there is no such memfd or it is damaged.
func (m *memfds) file(n int) *memfd.File {
	if n >= len(m.kept) {
		return nil
	}
	return m.kept[n]
}

// marks is a set of files by number: they are counted over all sessions, whatever
// their handlers.
type marks []uint64

func (m *marks) set(n int) {
	for n/64 >= len(*m) {
		*m = append(*m, 0)
	}
	(*m)[n/64] |= 1 << (n % 64)
}

func (m marks) has(n int) bool { return n/64 < len(m) && m[n/64]>>(n%64)&1 != 0 }

// warnings say what arrives changed, or not at all, while everything else arrives
// whole.
type warnings struct {
	list []string
	more int
}

func (w *warnings) add(s string) {
	if len(w.list) == phys.MaxErrors {
		w.more++
		return
	}
	w.list = append(w.list, s)
}

// lines returns the warnings, the last of which may say how many more there are.
func (w *warnings) lines() []string {
	if w.more == 0 {
		return w.list
	}
	return append(w.list[:len(w.list):len(w.list)], fmt.Sprintf("%d warnings more", w.more))
}

// file is the record of a file with its place in the state.
type file struct {
	luo.File
	n       int // its number
	session luo.Session
}

// ref returns the memfd that the record names.
func (f file) ref(format *memfd.Format) memfd.Ref {
	return memfd.Ref{Format: format, Addr: phys.Addr(f.Data)}
}

// in puts the name of the file before that of err's object.
func (f file) in(err error) error {
	return phys.In(fmt.Sprintf("luo: %v: file token %#x", f.session, f.Token), phys.Addr(f.Data), err)
}

// eachFile calls visit for every file, with the format of its handler, nil if that
// is none of memfds. The error is that a record could not be read.
func (in *Incoming) eachFile(visit func(file, *memfd.Format)) error {
	n := 0
	for s, err := range in.state.Holders() {
		if err != nil {
			return phys.In("luo", 0, err)
		}
		for f, err := range s.Files() {
			if err != nil {
				return phys.In("luo", 0, err)
			}
			visit(file{f, n, s}, in.known.memfd.ByHandler(f.Handler))
			n++
		}
	}
	return nil
}

// filesReader reads the files of a handover.
type filesReader struct {
	*Incoming
	ledger *own.Ledger             // knows the owners of all that is no file
	from   *Incoming               // that this one was made of, nil for the incoming one
	accept func(*memfd.File) error // decides about each memfd, if it is not nil
	broken error                   // a record that could not be read
}

// read proves every file, and returns a ledger that knows the owners of their memory
// too. What it adds to bad costs the next kernel all of its sessions, or is what accept
// says.
//
// A damaged memfd does no harm to other files. No kernel reads one before somebody
// retrieves it or its session is finished, and then only that file gets an error. So
// a file that is not sound is marked as damaged: it is written as one that cannot be
// retrieved and that refers to nothing.
func (r *filesReader) read(bad *phys.Errors) *own.Ledger {
	ledger, sound := r.ledger.Beside(), true
	var refused phys.Errors
	r.broken = r.eachFile(func(f file, format *memfd.Format) {
		switch {
		case format == nil:
			bad.Add(unknownHandler(r.known.memfd, f))
		case sound:
			m, err := memfd.Open(ledger, f.ref(format))
			if err == nil {
				err = r.whole(m, ledger)
			}
			if sound = err == nil; sound {
				r.take(f, m, &refused)
			}
		}
	})
	if !sound {
		r.memfd, refused = memfds{}, phys.Errors{}
		ledger = r.sort(&refused)
	}
	bad.Add(refused.Err())
	bad.Add(r.broken)
	return ledger
}

// unknownHandler refuses a memfd of a format that nobody knows: it would cost the next
// kernel all of its sessions. The data of files of other handlers are theirs to read,
// and no addresses that could have two owners.
func unknownHandler(known memfd.Table, f file) error {
	err := known.Unknown(f.Handler)
	if err == nil {
		err = nearHandler(known, f.File)
	}
	if err != nil {
		err = f.in(err)
	}
	return err
}

// whole proves all of a file behind its structure, as the only owner of its memory.
// Folios that are not preserved may lie anywhere but in scratch: no file can have had
// memory there, and new pages are taken from it, which must not be named by mistake.
func (r *filesReader) whole(m *memfd.File, ledger *own.Ledger) error {
	err := m.Check(ledger)
	if err == nil {
		err = m.Whole()
	}
	if err == nil && r.from == nil {
		err = m.LostOutside(r.Scratch())
	}
	return err
}

// twice reports whether files of the format may have memory together.
func (r *filesReader) twice(f *memfd.Format) bool {
	return f.Twice() || r.from != nil && r.from.memfd.shared != nil
}

// take counts a file that is given back, as far as its memory goes.
func (r *filesReader) take(f file, m *memfd.File, refused *phys.Errors) {
	r.memfd.keep(f.n, m)
	if r.memfd.shared.has(f.n) {
		m.AsIs()
	}
	r.memfd.add(m.Format(), m)
	if n, err := m.Lost(); n > 0 {
		r.warn(f, err, "%d of its %d folios are not preserved: it cannot be retrieved (EIO), nor could it without Ferry", n, m.Folios)
	}
	if m.Odd() != "" {
		r.warn(f, nil, "%s", m.Odd())
	}
	if m.Unreadable() {
		r.warn(f, nil, "an earlier crossing found it damaged: it cannot be retrieved (EINVAL)")
	}
	if r.accept == nil {
		return
	}
	if err := r.accept(m); err != nil {
		refused.Add(f.in(err))
	}
}

// warn adds a warning about a file: what is wrong with it, and what follows.
func (r *filesReader) warn(f file, wrong error, format string, args ...any) {
	text := fmt.Sprintf(format, args...)
	if wrong == nil {
		wrong = &phys.Error{Object: "memfd", Addr: phys.Addr(f.Data), Found: text}
		text = ""
	}
	if wrong = f.in(wrong); text != "" {
		text = "; " + text
	}
	r.memfd.warnings.add(wrong.Error() + text)
}

// damage marks a file as damaged.
func (r *filesReader) damage(f file, err error) {
	r.memfd.damaged.set(f.n)
	r.memfd.keep(f.n, nil)
	r.warn(f, err, "it arrives as a file that cannot be retrieved (EINVAL), and its memory stays preserved")
}

// sound calls visit for the memfds that are not marked as damaged. One for which it
// returns an error is marked; sound reports whether there was none.
func (r *filesReader) sound(visit func(file, *memfd.Format) error) bool {
	all := true
	err := r.eachFile(func(f file, format *memfd.Format) {
		if format == nil || r.memfd.damaged.has(f.n) {
			return
		}
		if err := visit(f, format); err != nil {
			r.damage(f, err)
			all = false
		}
	})
	if r.broken == nil {
		r.broken = err
	}
	return all
}

// sort separates sound files from damaged ones, of which there are some. First each is
// checked by itself, so that no file is blamed for damage that points to it. Then they are
// checked against each other. What two files name belongs to neither: its owner is
// unknown. Only folios may be named by several files, if kernels write such: the
// next kernel gives them to the first file retrieved, and an error to the others.
func (r *filesReader) sort(refused *phys.Errors) *own.Ledger {
	alone := r.ledger.Beside()
	walked, most := uint64(0), r.Map().Count()*maxNamed+minNamed
	r.sound(func(f file, format *memfd.Format) error {
		alone.Forget()
		m, err := memfd.Open(alone, f.ref(format))
		if err != nil {
			return err
		}
		if walked += m.Folios; walked > most {
			return errTooMany
		}
		r.memfd.keep(f.n, m)
		return r.whole(m, alone)
	})
	var disputed own.Disputed
	var together own.Blocks
	for {
		structures := r.ledger.Beside()
		structures.Dispute(&disputed)
		folios := structures.Beside()
		folios.Dispute(&disputed)
		together.Clear()
		undisputed := r.sound(func(f file, _ *memfd.Format) error { return r.memfd.file(f.n).Claim(structures) })
		undisputed = r.sound(func(f file, format *memfd.Format) error {
			m := r.memfd.file(f.n)
			if r.twice(format) {
				return m.Share(folios, func(b phys.Block) { together.Add(b) })
			}
			return m.Check(folios)
		}) && undisputed
		if undisputed {
			r.share(&together)
			r.sound(func(f file, _ *memfd.Format) error {
				r.take(f, r.memfd.file(f.n), refused)
				return nil
			})
			return folios
		}
	}
}

// Each folio has an entry in one array, or in few if files have memory together:
// there are no more entries than this many times the preserved blocks, and some. It
// keeps the work of checking each file by itself in proportion.
const (
	maxNamed = 16
	minNamed = 1 << 16
)

var errTooMany = errors.New("more folios in all files than there is preserved memory for")

// share marks the files that name a block of together, and warns of all but the first
// of those that name the same.
func (r *filesReader) share(together *own.Blocks) {
	var named own.Blocks
	r.sound(func(f file, _ *memfd.Format) error {
		second := false
		return r.memfd.file(f.n).Walk(func(folio memfd.Folio) error {
			if folio.Hole() || folio.Lost || !together.Has(folio.Block) {
				return nil
			}
			r.memfd.shared.set(f.n)
			if first := named.Add(folio.Block); !first && !second {
				second = true
				r.warn(f, nil, "its memory, from %v on, is that of a file before it too: whichever is retrieved first gets it, and the answer for the other is EIO, as without Ferry", folio.Block.Addr)
			}
			return nil
		})
	})
}

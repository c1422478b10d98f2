package luo

import (
	"bytes"
	"fmt"
	"slices"
	"strings"

	"ferry/fdt"
	"ferry/kho"
	"ferry/phys"
)

// Format is how one family of kernel releases arranges a state. There is one
// value for each, in a file of its own with all of its constants.
type Format struct {
	name       string    // distinguishes formats of one version string
	compatible string    // version string; empty if it has none
	releases   string    // that write it
	reads      []*Format // others that the kernels of this format read as well

	// What the kernels of the format write at most, and what their readers take
	// beyond that. They are equal if readers enforce them.
	maxSessions, maxFiles       int
	beyondSessions, beyondFiles int // files in one session

	flbs  flbRule
	stale bool // the kernels may leave FLBs of an earlier attempt to reboot behind those that count

	layouts
	form form
}

// flbRule says whether a format has a page of FLBs.
type flbRule int

const (
	noFLBs       flbRule = iota
	optionalFLBs         // its address may be 0
	alwaysFLBs           // its readers panic without one
)

// form is how the formats of one kind find the records of a state, and place them.
type form interface {
	// match reports whether s is the root of a state in f.
	match(f *Format, s *source) bool
	// open reads the root s, which matches.
	open(f *Format, s *source) (contents, error)
	// readSessions proves the list of session records at head and calls
	// r.takeSessions for each stretch of it that it reaches, until that fails.
	readSessions(r *reader, head phys.Addr) error
	// readFiles proves the list of the count files of the session being read at head and calls
	// r.takeFiles in the same way.
	readFiles(r *reader, head phys.Addr, count uint64) error
	// firstFile returns the offset of the first file record in the first block of a
	// list of files.
	firstFile() int
	// owned calls visit for the blocks that hold the records of st, which was
	// restored from this form.
	owned(st *State, visit func(what string, b phys.Block) error) error
	// blocks returns in how many blocks n records are written.
	blocks(l *RecordLayout, n int) int
	// create takes pages of d for the root and for so many session records.
	create(d outgoing, f *Format, sessions int) (places, error)
}

// source is the root of a state as it was found.
type source struct {
	addr phys.Addr
	page []byte
	size uint64    // of the sub-tree
	tree *fdt.Tree // nil if it is not a device tree
}

// contents is what a root says.
type contents struct {
	number         uint64
	sessions, flbs phys.Addr
	badSessions    error // why sessions is unknown
	badFLBs        error // why flbs is unknown
	odd            error // what readers ignore
}

// stretch is records that follow each other in memory, as a form found them.
type stretch struct {
	object string    // what errors call the block
	index  int       // of the block in its chain; inArray for an array
	block  phys.Addr // that holds them
	addr   phys.Addr // of the first
	recs   []byte    // those that count
	rest   []byte    // what is behind them, to the end of the block
}

// inArray is the index of a block if records are in an array.
const inArray = -1

// table is what [Restore] reads and [Serialize] writes, the oldest first.
// Removing a format is deleting its file and its row.
var table = [...]*Format{V1, V1FLB, V4Block, V5}

// Formats returns every format that released kernels or their patches write, the
// oldest first.
func Formats() []*Format { return slices.Clone(table[:]) }

// String names the format: its version string, and what distinguishes it from
// another format of the same string.
func (f *Format) String() string { return f.name }

// Compatible returns the version string of the format, empty if it has none.
func (f *Format) Compatible() string { return f.compatible }

// Releases says which kernel releases write the format.
func (f *Format) Releases() string { return f.releases }

// MaxSessions returns how many sessions the kernels of the format write at most.
func (f *Format) MaxSessions() int { return f.maxSessions }

// MaxFiles returns how many files of one session the kernels of the format write
// at most.
func (f *Format) MaxFiles() int { return f.maxFiles }

// Reads reports whether the kernels of f read what was written as g.
func (f *Format) Reads(g *Format) bool { return f == g || slices.Contains(f.reads, g) }

// Blocks returns in how many blocks the records of the sessions of st are, and those
// of their files, if they are written in f: blocks of chains, all but the last of
// each full, or arrays that hold any.
func (f *Format) Blocks(st *State) (sessions, files int) {
	for i := range st.Len() {
		files += f.form.blocks(&f.file, Session{st: st, Index: i}.Len())
	}
	return f.form.blocks(&f.session, st.Len()), files
}

// HoldsFLBs reports whether the format has room for FLBs.
func (f *Format) HoldsFLBs() bool { return f.flbs != noFLBs }

// magic begins every device tree.
var magic = []byte{0xd0, 0x0d, 0xfe, 0xed}

// recognise returns which of the formats the root in page has, of which size bytes
// count. The error says what was found and what is known of it.
func recognise(formats []*Format, root phys.Addr, page []byte, size uint64) (*Format, *source, error) {
	s := &source{addr: root, page: page, size: size}
	if bytes.HasPrefix(page, magic) {
		t, err := fdt.Parse(root, page)
		if err != nil {
			return nil, nil, err
		}
		// The tree says itself where it ends: the sub-tree may be larger.
		if uint64(t.Size()) > size {
			return nil, nil, &phys.Error{Object: "sub-tree", Addr: root, Found: fmt.Sprintf("%d bytes", size),
				Want: fmt.Sprintf("%d at least, the size of the device tree", t.Size()), Err: ErrSize}
		}
		if _, err := t.Root().Strings(compatibleProperty); err != nil {
			return nil, nil, err
		}
		s.tree = t
	}
	for _, f := range formats {
		if f.form.match(f, s) {
			return f, s, nil
		}
	}
	return nil, nil, s.unknown(formats)
}

// unknown refuses a root that none of the formats matches, with what is known of it.
func (s *source) unknown(formats []*Format) error {
	var found, known string
	if s.tree != nil {
		list, _ := s.tree.Root().Strings(compatibleProperty)
		found = fmt.Sprintf("compatible %s in a device tree", phys.QuoteList(list))
		for c := range list {
			if known = variant(c); known != "" {
				break
			}
		}
	} else if c := s.text(); s.size == featureRoot || len(c) == 0 || !printable(c[0]) {
		found, known = fmt.Sprintf("%d bytes that begin with % x, no version string", s.size, s.page[:8]), noString
	} else {
		found, known = fmt.Sprintf("compatible %s in a structure of %d bytes", phys.Quote(c), s.size), variant(c)
	}
	if known != "" {
		found += ": " + known
	}
	var names []string
	for _, f := range formats {
		names = append(names, f.name)
	}
	return &phys.Error{Object: "root", Addr: s.addr, Found: found, Want: strings.Join(names, ", "),
		Hint: "the kernel that wrote it is of another release than this image reads", Err: ErrVersion}
}

// text returns the version string with which a structure begins.
func (s *source) text() []byte { return text(s.page[:min(s.size, maxText)]) }

// Bounds of what unreleased roots look like.
const (
	maxText     = 64  // bytes of a version string that are looked at
	featureRoot = 152 // struct luo_ser behind a feature header
)

// noString is what is known of a root that begins with no version string.
const noString = "linux-next of 2026 puts a header of feature bits, 128 bytes, in place of the string"

// unreleased says of version strings what is known of them. None was ever in a
// release, and luo-v3 named more than one layout, so none is read.
var unreleased = map[string]string{
	"luo-v2":              "a step of the series that became Linux 7.2: a device tree that names a structure of 24 bytes",
	"luo-v3":              "a step of the series that became Linux 7.2, and stood for two layouts",
	"luo-v3-kho-block-v1": "a step of the series that became Linux 7.2: sessions in blocks, files in arrays",
	"luo-v4":              "a step of the series that became Linux 7.2: sessions in blocks, files in arrays",
	"luo-v5;block-v1":     "the layout of luo-v5 with its component named, in a root of 40 bytes, proposed in June 2026",
}

// variant says what is known of a version string that no format has.
func variant(s []byte) string {
	if len(s) > maxText {
		return ""
	}
	if what := unreleased[string(s)]; what != "" {
		return string(s) + " is " + what
	}
	base, components := kho.ParseCompatible(string(s))
	if len(components) > 0 {
		return string(s) + " is " + base + " made of " + strings.Join(components, " and ") + ", which no release wrote"
	}
	return ""
}

// printable reports whether a version string may begin with c.
func printable(c byte) bool { return c > 0x20 && c < 0x7f }

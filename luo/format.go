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
	name       string // tells formats of one version string apart
	compatible string // version string
	releases   string // that write it

	// What the kernels of the format write at most, and what their readers take
	// beyond that. The limits of one are equal where readers enforce them.
	maxSessions, maxFiles       int
	beyondSessions, beyondFiles int // files in one session

	tree *treeForm // the root is a device tree, records lie in arrays
	ser  *serForm  // the root is a structure, records lie in linked blocks
}

// form is how formats of one kind are read and written.
type form interface {
	// restore reads the state whose root is in page.
	restore(r *reader, page []byte) error
	// files proves and reads the files that the session record at address a says
	// lie at head, and returns how many there are.
	files(r *reader, a, head phys.Addr, count uint64) (int, error)
	// serialize writes the state and returns its root and the size of that.
	serialize(w *writer) (root phys.Addr, size uint64, err error)
}

func (f *Format) form() form {
	if f.tree != nil {
		return f.tree
	}
	return f.ser
}

// table is what [Restore] reads and [Serialize] writes, the oldest first.
// Removing a format is deleting its file and its row.
var table = [...]*Format{V1, V1FLB, V4Block, V5}

// Formats returns every format that can be read and written, the oldest first.
func Formats() []*Format { return slices.Clone(table[:]) }

// String names the format: its version string, and what tells it from another
// format of the same string.
func (f *Format) String() string { return f.name }

// Compatible returns the version string of the format.
func (f *Format) Compatible() string { return f.compatible }

// Releases says which kernel releases write the format.
func (f *Format) Releases() string { return f.releases }

// MaxSessions returns how many sessions the kernels of the format write at most.
func (f *Format) MaxSessions() int { return f.maxSessions }

// MaxFiles returns how many files of one session the kernels of the format write
// at most.
func (f *Format) MaxFiles() int { return f.maxFiles }

// Reads reports whether the kernels of f read what was written as g: f itself, and
// a device tree of the same version with a node for FLBs, which readers without
// FLBs pass over.
func (f *Format) Reads(g *Format) bool {
	return f == g || f.tree != nil && g.tree != nil && !f.tree.flbs && f.compatible == g.compatible
}

// Blocks returns in how many blocks the records of the sessions of st lie, and those
// of their files, where they are written in f: blocks of chains, all but the last of
// each full, or arrays that hold any.
func (f *Format) Blocks(st *State) (sessions, files int) {
	for i := range st.Len() {
		n := Session{st: st, i: i}.Len()
		if f.tree == nil {
			files += fileLayout.Blocks(n)
		} else {
			files += min(1, n)
		}
	}
	if f.tree == nil {
		return sessionLayout.Blocks(st.Len()), files
	}
	return min(1, st.Len()), files
}

// HoldsFLBs reports whether the format has room for FLBs.
func (f *Format) HoldsFLBs() bool { return f.tree == nil || f.tree.flbs }

// magic begins every device tree.
var magic = []byte{0xd0, 0x0d, 0xfe, 0xed}

// recognise tells which format the root in page has, of which size bytes count.
// The error names what was found and what is known of it.
func recognise(root phys.Addr, page []byte, size uint64) (*Format, error) {
	if bytes.HasPrefix(page, magic) {
		return recogniseTree(root, page, size)
	}
	s := text(page[:min(size, maxText)])
	for _, f := range table {
		if f.ser == nil || f.compatible != string(s) {
			continue
		}
		if size != f.ser.size {
			return nil, &phys.Error{Object: "sub-tree", Addr: root, Found: fmt.Sprintf("%d bytes", size),
				Want: fmt.Sprintf("%d, the size of a %s root", f.ser.size, f), Err: ErrSize}
		}
		return f, nil
	}
	if size == featureRoot || len(s) == 0 || !printable(s[0]) {
		return nil, unknown(root, fmt.Sprintf("%d bytes that begin with % x, no version string", size, page[:8]), noString)
	}
	return nil, unknown(root, fmt.Sprintf("compatible %s in a structure of %d bytes", phys.Quote(s), size), variant(s))
}

// oddRoot says what is odd in the root in page: bytes behind a version string that ends
// before its field does. Linux compares up to the end of the string.
func (f *Format) oddRoot(root phys.Addr, page []byte) error {
	if f.ser == nil || zeros(page[len(f.compatible):f.ser.text]) {
		return nil
	}
	return &phys.Error{Object: "root", Addr: root, Found: "bytes behind the version string " + phys.Quote(page[:f.ser.text]), Want: "zeros", Err: ErrName}
}

// recogniseTree is recognise for a device tree, which says itself where it ends: the
// sub-tree may be larger.
func recogniseTree(root phys.Addr, page []byte, size uint64) (*Format, error) {
	t, err := fdt.Parse(root, page)
	if err != nil {
		return nil, err
	}
	if uint64(t.Size()) > size {
		return nil, &phys.Error{Object: "sub-tree", Addr: root, Found: fmt.Sprintf("%d bytes", size),
			Want: fmt.Sprintf("%d at least, the size of the device tree", t.Size()), Err: ErrSize}
	}
	list, err := t.Root().Strings(compatibleProperty)
	if err != nil {
		return nil, err
	}
	_, flbs := t.Root().Child(flbNode)
	for _, f := range table {
		if f.tree == nil || f.tree.flbs != flbs {
			continue
		}
		if ok, _ := t.Root().HasString(compatibleProperty, f.compatible); ok {
			return f, nil
		}
	}
	known := ""
	for s := range list {
		if known = variant(s); known != "" {
			break
		}
	}
	return nil, unknown(root, fmt.Sprintf("compatible %s in a device tree", phys.QuoteList(list)), known)
}

// unknown refuses a root of which no format is known. what is known of it.
func unknown(root phys.Addr, found, what string) error {
	var names []string
	for _, f := range table {
		names = append(names, f.name)
	}
	if what != "" {
		found += ": " + what
	}
	return &phys.Error{Object: "root", Addr: root, Found: found, Want: strings.Join(names, ", "),
		Hint: "the kernel that wrote it is of another release than this image reads", Err: ErrVersion}
}

// Bounds of what unreleased roots look like.
const (
	maxText     = 64  // bytes of a version string that are looked at
	featureRoot = 152 // struct luo_ser behind a feature header
)

// noString is what is known of a root that begins with no version string.
const noString = "linux-next of 2026 puts a header of feature bits, 128 bytes, in place of the string"

// unreleased says of version strings what is known of them. None was ever in a
// release, and luo-v3 stood for more than one layout, so none is read.
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

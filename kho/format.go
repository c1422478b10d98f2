package kho

import (
	"bytes"
	"slices"
	"strings"

	"ferry/fdt"
	"ferry/phys"
)

// Format is how one family of kernel releases writes a handover. There is one
// value for each, in a file of its own with all of its constants.
type Format struct {
	name string         // distinguishes formats of one version string
	root []rootProperty // by which the root node says that it is in this format

	mapProperty     string // of the root node: address of the preserved-memory map
	pointerProperty string // of a sub-tree's node: address of its data
	sizeProperty    string // of a sub-tree's node: size of its data; empty if only a device tree can say

	maxBlock   phys.Order // largest order that readers of the map size right
	maxRestore phys.Order // largest order that the next kernel takes back as one unit
	liveUpdate bool       // there are kernels of this format that know the sub-tree of live update
	index      index      // how the bitmaps of the map are found
	inline     bool       // the kernel's own test lists its folios in its tree
}

// rootProperty is a property of the root node whose value is the same in every handover
// of a format.
type rootProperty struct {
	name  string
	value []byte // that is written
	// accept reports whether readers of the format take the property p, which n has,
	// for theirs.
	accept func(n fdt.Node, p fdt.Property) bool
}

// version is the property that holds a version string. Readers look for it in a list.
func version(compatible string) []rootProperty {
	return []rootProperty{{compatibleProperty, append([]byte(compatible), 0), func(n fdt.Node, _ fdt.Property) bool {
		ok, _ := n.HasString(compatibleProperty, compatible)
		return ok
	}}}
}

// match reports whether the root node has all properties by which the format is known.
func (f *Format) match(root fdt.Node) bool {
	for _, want := range f.root {
		if p, ok := root.Property(want.name); !ok || !want.accept(root, p) {
			return false
		}
	}
	return true
}

// own returns the property of this name by which the format is known, nil if there is
// none.
func (f *Format) own(name string) *rootProperty {
	for i := range f.root {
		if f.root[i].name == name {
			return &f.root[i]
		}
	}
	return nil
}

// index is the part of a preserved-memory map above its bitmaps.
type index interface {
	// read fills m from the structure at m.root. Afterwards every page of the
	// structure is proved to be a place for one and referenced once, and leaves
	// exist only for blocks that can be RAM. Blocks are not proved.
	read(m *Map) error
	// write makes the structure above the leaves of d.now and sets its root,
	// taking pages for whatever d.old does not have.
	write(d *Draft) error
}

// formats is the table of what [Open] reads and a [Draft] writes, the newest
// first. Removing a format is deleting its file and its row.
var formats = [...]*Format{V4, V3, V1, V1Small}

// Formats returns every format that can be read and written, the newest first.
func Formats() []*Format { return slices.Clone(formats[:]) }

// formatsAnd returns [Formats] and f, which may be one of them or nil.
func formatsAnd(f *Format) []*Format {
	all := Formats()
	if f != nil && !slices.Contains(all, f) {
		all = append(all, f)
	}
	return all
}

// String names the format: its version string, and what distinguishes it from
// another format of the same string.
func (f *Format) String() string { return f.name }

// Compatible returns the version string of the format's root device tree, empty if it
// has none.
func (f *Format) Compatible() string {
	if p := f.own(compatibleProperty); p != nil {
		return string(bytes.TrimSuffix(p.value, []byte{0}))
	}
	return ""
}

// MaxRestore returns the largest order of a block that the kernels of this
// format give back to an owner as one unit. Larger ones stay reserved permanently.
func (f *Format) MaxRestore() phys.Order { return f.maxRestore }

// ReadsTests reports whether the kernel's own test of handovers, in kernels of f,
// finds the folios that the one of g listed.
func (f *Format) ReadsTests(g *Format) bool { return f.inline == g.inline }

const compatibleProperty = "compatible"

// recognise returns which of all formats, the newest first, the root may be in. They
// agree on the names of properties.
func recognise(root fdt.Node, all []*Format) ([]*Format, error) {
	var found []*Format
	for _, f := range all {
		if f.match(root) {
			found = append(found, f)
		}
	}
	list, err := root.Strings(compatibleProperty)
	if err != nil && len(found) == 0 {
		return nil, err
	}
	bad := func(rest, want, hint string) error {
		return &phys.Error{Object: "root node", Addr: root.Addr(), Found: "compatible " + phys.QuoteList(list) + rest,
			Want: want, Hint: hint, Err: ErrVersion}
	}
	if len(found) == 0 {
		rest := ""
		for s := range list {
			if rest = variant(s); rest != "" {
				break
			}
		}
		return nil, bad(rest, versions(all), "the kernel that wrote it is of another release than this image reads")
	}
	for _, f := range found {
		if f.pointerProperty != found[0].pointerProperty || f.mapProperty != found[0].mapProperty {
			return nil, bad("", "versions of one layout", "nothing says which of them the rest follows")
		}
	}
	return found, nil
}

// versions lists the version strings of the formats, and the names of those that have
// none.
func versions(formats []*Format) string {
	var all []string
	for _, f := range formats {
		s := f.Compatible()
		if s == "" {
			s = f.name
		}
		if !slices.Contains(all, s) {
			all = append(all, s)
		}
	}
	return strings.Join(all, " or ")
}

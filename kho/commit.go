package kho

import (
	"bytes"

	"ferry/fdt"
	"ferry/phys"
)

// Commit writes what the draft still lacks - copies of the nodes on the way to
// every changed leaf, the root device tree, and the table of the scratch areas that
// are left - into new pages, and returns the
// payload by which the next kernel finds the new handover. The old payload still
// names the old handover: whoever hands over chooses by choosing the payload.
//
// The old device tree's page leaves the map. After Commit the draft takes no
// more changes.
func (d *Draft) Commit() (Data, error) {
	defer func() { d.done = true }()
	if tree := (phys.Block{Addr: d.data.FDT}); d.now.Preserved(tree) {
		if err := d.Retire(tree); err != nil {
			return Data{}, phys.In("kho: root device tree", d.data.FDT, err)
		}
	}
	tree, page, err := d.Alloc()
	if err == nil {
		err = d.format.index.write(d)
	}
	if err == nil {
		err = d.checkSubtrees()
	}
	if err == nil {
		err = d.writeTree(page)
	}
	if err == nil && d.pool != nil {
		err = d.writeTable()
	}
	if err != nil {
		return Data{}, phys.In("kho", tree, err)
	}
	d.data.FDT, d.data.FDTSize = tree, phys.PageSize
	return d.data, nil
}

// writeTree writes the root device tree. What is in the incoming tree is repeated byte for byte
// except for the address of the map and what the draft set; if it is to be in another
// format, the properties by which that one is known and finds the map and sub-trees
// replace those of the old one.
func (d *Draft) writeTree(page []byte) error {
	f := d.format
	names := []string{f.mapProperty}
	for _, p := range f.root {
		names = append(names, p.name)
	}
	names = append(names, f.pointerProperty)
	if f.sizeProperty != "" {
		names = append(names, f.sizeProperty)
	}
	w := fdt.NewWriter(page, names...)
	w.Begin("")
	d.writeRoot(w)
	for _, s := range d.subtrees {
		w.Begin(s.Name)
		if s.node == (fdt.Node{}) {
			f.place(w, s)
		} else {
			d.repeat(w, s)
		}
		w.End()
	}
	w.End()
	var err error
	d.stats.TreeBytes, err = w.Finish()
	return err
}

// writeRoot writes the properties of the root node.
func (d *Draft) writeRoot(w *fdt.Writer) {
	f, from := d.format, d.from
	if from == nil {
		from = f
	}
	written := make(map[string]bool)
	for _, p := range d.root {
		theirs, ours := from.own(p.name), f.own(p.name)
		switch {
		case p.name == from.mapProperty:
			w.Address(f.mapProperty, d.now.root)
		case theirs != nil && ours != nil && bytes.Equal(theirs.value, ours.value):
			w.Property(p.name, p.value) // unchanged: it may say more than that
		case ours != nil:
			w.Property(p.name, ours.value)
		case theirs != nil || p.name == f.mapProperty:
			continue // the next kernel must not take it for something
		default:
			w.Property(p.name, p.value)
		}
		written[p.name] = true
	}
	for _, p := range f.root {
		if !written[p.name] {
			w.Property(p.name, p.value)
		}
	}
}

// place writes the properties by which the format finds a sub-tree.
func (f *Format) place(w *fdt.Writer, s Subtree) {
	w.Address(f.pointerProperty, s.Data)
	if f.sizeProperty != "" {
		w.Uint64(f.sizeProperty, s.Size)
	}
}

// repeat writes the properties of an incoming sub-tree.
func (d *Draft) repeat(w *fdt.Writer, s Subtree) {
	f, from := d.format, d.from
	if from != nil && (from.pointerProperty != f.pointerProperty || from.sizeProperty != f.sizeProperty) {
		// Nothing may get a meaning that it did not have in its old format.
		f.place(w, s)
		for p := range s.node.Properties() {
			if !from.places(p.Name) && !f.places(p.Name) {
				w.Property(string(p.Name), p.Value)
			}
		}
		return
	}
	for p := range s.node.Properties() {
		switch {
		case string(p.Name) == f.pointerProperty:
			w.Address(f.pointerProperty, s.Data)
		case f.places(p.Name):
			w.Uint64(f.sizeProperty, s.Size)
		default:
			w.Property(string(p.Name), p.Value)
		}
	}
}

// places reports whether the format finds sub-trees by this property.
func (f *Format) places(name []byte) bool {
	return len(name) > 0 && (string(name) == f.pointerProperty || string(name) == f.sizeProperty)
}

package kho

import (
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

// writeTree writes the root device tree. What came in is repeated byte for byte
// but for the address of the map and what the draft set; towards another format
// the version string and the properties of sub-trees are that format's.
func (d *Draft) writeTree(page []byte) error {
	f := d.format
	names := []string{f.mapProperty, compatibleProperty, f.pointerProperty}
	if f.sizeProperty != "" {
		names = append(names, f.sizeProperty)
	}
	w := fdt.NewWriter(page, names...)
	w.Begin("")
	for _, p := range d.root {
		switch {
		case p.name == f.mapProperty:
			w.Address(p.name, d.now.root)
		case p.name == compatibleProperty && d.from != nil && d.from.compatible != f.compatible:
			w.String(p.name, f.compatible)
		default:
			w.Property(p.name, p.value)
		}
	}
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

// place writes the properties by which the format finds a sub-tree.
func (f *Format) place(w *fdt.Writer, s Subtree) {
	w.Address(f.pointerProperty, s.Data)
	if f.sizeProperty != "" {
		w.Uint64(f.sizeProperty, s.Size)
	}
}

// repeat writes the properties of a sub-tree that came in.
func (d *Draft) repeat(w *fdt.Writer, s Subtree) {
	f, from := d.format, d.from
	if from != nil && (from.pointerProperty != f.pointerProperty || from.sizeProperty != f.sizeProperty) {
		// Nothing may come to mean what it did not mean where it came from.
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

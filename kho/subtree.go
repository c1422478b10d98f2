package kho

import (
	"fmt"
	"strings"

	"ferry/fdt"
	"ferry/own"
	"ferry/phys"
)

// Subtree is one object that a user of the handover left: Size bytes at Data,
// preserved memory all of them. In formats that write no sizes only that of
// a device tree is known.
type Subtree struct {
	Name string
	Data phys.Addr
	Size uint64 // in bytes; 0 if nothing says it
	FDT  bool   // the data is a sound device tree

	node fdt.Node // in the incoming tree, zero in a draft's own
}

// String names the sub-tree for messages.
func (s Subtree) String() string { return "sub-tree " + phys.Quote(s.Name) }

// Largest sizes of what a sub-tree names, in bytes. Those that Linux reads are a
// page; for others the bound is a block of the largest order that Linux
// allocates, so that none costs more to prove than it can hold.
const (
	luoName         = "LUO" // of the sub-tree that package luo reads
	maxKnownSize    = phys.PageSize
	maxUnknownSize  = phys.PageSize << maxAlloc
	forbiddenInName = "/@\x00"

	treeSize = 4 // offset in a device tree of its size, u32
)

// checkName proves that every reader takes the name for nothing but itself: libfdt
// finds "name@unit" if it looks for "name". a is the address for the error.
func checkName(name string, a phys.Addr) error {
	if name == "" || strings.ContainsAny(name, forbiddenInName) {
		return &phys.Error{Object: Subtree{Name: name}.String(), Addr: a, Found: "a name that readers take for another",
			Want: "one without / and @", Err: ErrTree}
	}
	return nil
}

// checkSize proves that the sub-tree is no larger than one of its name may be. at
// is the address for the error: the word that says the size.
func (s Subtree) checkSize(at phys.Addr) error {
	limit := uint64(maxUnknownSize)
	if s.Name == luoName || s.Name == ReservedName || s.Name == MetadataName {
		limit = maxKnownSize
	}
	if s.Size == 0 || s.Size > limit {
		return &phys.Error{Object: s.String(), Addr: at,
			Found: fmt.Sprintf("%d bytes", s.Size), Want: fmt.Sprintf("1 to %d", limit), Err: ErrTree}
	}
	return nil
}

// checkPreserved proves that m preserves every byte of the sub-tree. at is the
// address for the error: the word that says where that is.
func (s Subtree) checkPreserved(m *Map, at phys.Addr) error {
	if r, ok := phys.Span(s.Data, s.Size); !ok || !m.Covers(r) {
		return &phys.Error{Object: s.String(), Addr: at,
			Found: fmt.Sprintf("%d bytes at %v, not all preserved", s.Size, s.Data), Want: "preserved memory", Err: own.ErrPreserved}
	}
	return nil
}

// subtree reads the node of one sub-tree.
func (h *Handover) subtree(n fdt.Node) (Subtree, error) {
	s := Subtree{Name: string(n.Name()), node: n}
	if err := checkName(s.Name, n.Addr()); err != nil {
		return s, err
	}
	if err := n.Unique(); err != nil {
		return s, err
	}
	for c := range n.Children() {
		return s, &phys.Error{Object: n.String(), Addr: c.Addr(),
			Found: c.String() + " below it", Want: "only properties", Err: ErrTree}
	}
	a, err := n.Uint64(h.format.pointerProperty)
	if err != nil {
		return s, err
	}
	pointer, _ := n.Property(h.format.pointerProperty)
	if s.Data = phys.Addr(a); h.format.sizeProperty == "" {
		return s, s.measure(h.mem, h.preserved, pointer.Addr)
	}
	if s.Size, err = n.Uint64(h.format.sizeProperty); err != nil {
		return s, err
	}
	size, _ := n.Property(h.format.sizeProperty)
	if err := s.checkSize(size.Addr); err != nil {
		return s, err
	}
	if err := s.checkPreserved(h.preserved, pointer.Addr); err != nil {
		return s, err
	}
	_, err = s.tree(h.mem)
	if s.FDT = err == nil; s.FDT {
		return s, nil
	}
	b, err := h.mem.View(s.Data, s.Size)
	if err != nil {
		return s, phys.In(s.String(), s.Data, err)
	}
	if n, ok := fdt.TotalSize(b); ok && uint64(n) > s.Size {
		return s, &phys.Error{Object: s.String(), Addr: s.Data + treeSize, Found: fmt.Sprintf("a device tree of %d bytes", n),
			Want: fmt.Sprintf("at most %d, as large as the sub-tree", s.Size), Err: ErrTree}
	}
	return s, nil
}

// measure finds out how large a sub-tree is whose node does not say it. A device
// tree says it itself, and metadata is known; of anything else one page is all
// that is proved to be there. at is the address for the error.
func (s *Subtree) measure(mem phys.Memory, m *Map, at phys.Addr) error {
	s.Size = phys.PageSize - uint64(s.Data)%phys.PageSize
	if err := s.checkPreserved(m, at); err != nil {
		return err
	}
	if s.Name == MetadataName && s.Size >= MetadataSize {
		s.Size = MetadataSize
		return nil
	}
	head, err := mem.View(s.Data, s.Size)
	if err != nil {
		return phys.In(s.String(), s.Data, err)
	}
	size, ok := fdt.TotalSize(head)
	if !ok {
		s.Size = 0
		return nil
	}
	// Readers trust this size, whatever else they make of the tree.
	s.Size, at = uint64(size), s.Data+treeSize
	if err := s.checkSize(at); err != nil {
		return err
	}
	if err := s.checkPreserved(m, at); err != nil {
		return err
	}
	if _, err = s.tree(mem); err == nil {
		s.FDT = true
		return nil
	}
	s.Size = 0
	return nil
}

// tree reads the sub-tree as a device tree.
func (s *Subtree) tree(mem phys.Memory) (*fdt.Tree, error) {
	b, err := mem.View(s.Data, s.Size)
	if err != nil {
		return nil, err
	}
	return fdt.Parse(s.Data, b)
}

// Subtree returns the sub-tree of this name.
func (h *Handover) Subtree(name string) (Subtree, bool) {
	for _, s := range h.subtrees {
		if s.Name == name {
			return s, true
		}
	}
	return Subtree{}, false
}

// SetSubtree names size bytes at a, all of them preserved by the time of the
// commit, as the sub-tree name, replacing what had that name.
func (d *Draft) SetSubtree(name string, a phys.Addr, size uint64) error {
	s := Subtree{Name: name, Data: a, Size: size}
	if err := checkName(name, a); err != nil {
		return err
	}
	if err := s.checkSize(a); err != nil {
		return err
	}
	for i := range d.subtrees {
		if d.subtrees[i].Name == name {
			d.subtrees[i].Data, d.subtrees[i].Size = a, size
			return nil
		}
	}
	d.subtrees = append(d.subtrees, s)
	return nil
}

// DropSubtree leaves the sub-tree name out of the handover, and reports whether
// there was one. Its memory stays preserved until it is retired.
func (d *Draft) DropSubtree(name string) bool {
	for i := range d.subtrees {
		if d.subtrees[i].Name == name {
			d.subtrees = append(d.subtrees[:i], d.subtrees[i+1:]...)
			return true
		}
	}
	return false
}

// checkSubtrees proves that everything the tree will name is preserved, and that
// the format can name it: with a size that is known, or as a device tree, which
// has its own.
func (d *Draft) checkSubtrees() error {
	for _, s := range d.subtrees {
		bad := func(found, want, hint string) error {
			return &phys.Error{Object: s.String(), Addr: s.Data, Found: found, Want: want, Hint: hint, Err: ErrTree}
		}
		if s.Name == luoName && !d.format.liveUpdate {
			return bad("state of live update", fmt.Sprintf("none: no kernel of %s knows it", d.format), "finish the sessions before the kexec, or hand over to a newer kernel")
		}
		if s.Size == 0 {
			// The incoming tree has no size for it, so its kernel's readers know what it is.
			if d.format.sizeProperty != "" {
				return bad("data of unknown size", fmt.Sprintf("a device tree, or a known kind, for %s", d.format), "leave it out, or hand over to a kernel of the same format")
			}
			continue
		}
		if err := s.checkPreserved(d.now, s.Data); err != nil {
			return err
		}
		if d.format.sizeProperty != "" {
			continue
		}
		if _, err := s.tree(d.mem); err != nil {
			return bad(fmt.Sprintf("%d bytes that are no device tree", s.Size), fmt.Sprintf("a device tree, the only kind of %s", d.format), "leave it out")
		}
	}
	return nil
}

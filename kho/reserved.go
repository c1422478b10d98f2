package kho

import (
	"fmt"

	"ferry/fdt"
	"ferry/own"
	"ferry/phys"
)

// The sub-tree of memory reserved by name on the command line (reserve_mem=),
// the same in every release: a device tree in a page of its own with one node a
// region. Source: include/linux/kho/abi/memblock.h of Linux 7.3.
const (
	ReservedName = "memblock"

	memblockCompatible = "memblock-v1"
	reserveCompatible  = "reserve-mem-v1"
	startProperty      = "start"
	regionSizeProperty = "size"
	maxRegions         = 8
	maxRegionName      = 15
)

// Region is memory that the command line reserved by name. The next kernel
// takes it over if its own command line has the same name and size.
type Region struct {
	Name  string
	Range phys.Range
}

// String names the region and says where it is.
func (r Region) String() string { return fmt.Sprintf("%s %v", phys.Quote(r.Name), r.Range) }

// ParseReserved reads the device tree b at address a. Whether the regions are
// preserved is for the caller to check.
func ParseReserved(a phys.Addr, b []byte) ([]Region, error) {
	t, err := fdt.Parse(a, b)
	if err != nil {
		return nil, err
	}
	root := t.Root()
	if err := root.Unique(); err != nil {
		return nil, err
	}
	if err := compatible(root, memblockCompatible); err != nil {
		return nil, err
	}
	var regions []Region
	for n := range root.Children() {
		r, err := region(n)
		if err != nil {
			return nil, err
		}
		if regions = append(regions, r); len(regions) > maxRegions {
			return nil, &phys.Error{Object: "reserved memory", Addr: n.Addr(), Found: fmt.Sprintf("more than %d regions", maxRegions),
				Want: fmt.Sprintf("at most %d", maxRegions), Err: ErrReserved}
		}
	}
	return regions, nil
}

// compatible proves that n's compatible property has the element want.
func compatible(n fdt.Node, want string) error {
	if ok, err := n.HasString(compatibleProperty, want); ok || err != nil {
		return err
	}
	list, err := n.Strings(compatibleProperty)
	if err != nil {
		return err
	}
	return &phys.Error{Object: n.String(), Addr: n.Addr(), Found: "compatible " + phys.QuoteList(list), Want: want, Err: ErrReserved}
}

// region reads the node of one region.
func region(n fdt.Node) (Region, error) {
	var r Region
	if err := compatible(n, reserveCompatible); err != nil {
		return r, err
	}
	if err := n.Unique(); err != nil {
		return r, err
	}
	start, err := n.Uint64(startProperty)
	if err != nil {
		return r, err
	}
	size, err := n.Uint64(regionSizeProperty)
	if err != nil {
		return r, err
	}
	var ok bool
	r.Range, ok = phys.Span(phys.Addr(start), size)
	if !ok || len(n.Name()) > maxRegionName {
		return r, &phys.Error{Object: "reserved memory", Addr: n.Addr(), Found: fmt.Sprintf("region %s, %#x bytes at %#x", phys.Quote(n.Name()), size, start),
			Want: fmt.Sprintf("an end inside the address space, a name of at most %d bytes", maxRegionName), Err: ErrReserved}
	}
	r.Name = string(n.Name())
	return r, nil
}

// Kept returns the memory that Linux preserves of the region: as many whole pages as
// its size has, from the page on that it begins in. Nothing rounds what reserve_mem=
// says: the end of a region may be missing, and all of one that is smaller than a
// page or was given up.
func (r Region) Kept() phys.Range {
	start := r.Range.Start.Page()
	return phys.Range{Start: start, End: start + phys.Addr(r.Range.Size()).Page()}
}

// PutReserved writes the device tree of the regions into page and returns its
// size.
func PutReserved(page []byte, regions []Region) (int, error) {
	w := fdt.NewWriter(page)
	w.Begin("")
	w.String(compatibleProperty, memblockCompatible)
	for _, r := range regions {
		w.Begin(r.Name)
		w.String(compatibleProperty, reserveCompatible)
		w.Address(startProperty, r.Range.Start)
		w.Uint64(regionSizeProperty, r.Range.Size())
		w.End()
	}
	w.End()
	return w.Finish()
}

// Reserved returns the memory that is reserved by name, preserved as far as Linux does
// it: see [Region.Kept].
func (h *Handover) Reserved() ([]Region, error) {
	s, ok := h.Subtree(ReservedName)
	if !ok {
		return nil, nil
	}
	b, err := h.mem.View(s.Data, s.Size)
	if err != nil {
		return nil, phys.In("kho: reserved memory", s.Data, err)
	}
	regions, err := ParseReserved(s.Data, b)
	if err != nil {
		return nil, phys.In("kho: reserved memory", s.Data, err)
	}
	for _, r := range regions {
		if kept := r.Kept(); !kept.Empty() && !h.preserved.Covers(kept) {
			return nil, &phys.Error{Object: "kho: reserved memory " + phys.Quote(r.Name), Addr: r.Range.Start,
				Found: fmt.Sprintf("%#x bytes, not all preserved", r.Range.Size()), Want: "preserved memory", Err: own.ErrPreserved}
		}
	}
	return regions, nil
}

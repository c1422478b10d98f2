package kho

import (
	"fmt"
	"slices"

	"ferry/fdt"
	"ferry/phys"
)

// choose returns which of the formats that the version string may stand for the
// handover is written in, whose map is at the given address. Memory decides as
// far as it can, and only then the hint.
func (h *Handover) choose(fit []*Format, root fdt.Node, at phys.Addr, hint *Format) (*Format, error) {
	if l, ok := fit[0].index.(list); ok && len(fit) > 1 {
		f, open, err := h.chooseList(fit, root, at, hint)
		if f != nil || err != nil {
			return f, err
		}
		if open && !slices.Contains(fit, hint) {
			return nil, &phys.Error{Object: "root device tree: root node", Addr: root.Addr(),
				Found: fmt.Sprintf("%s, and bitmaps of %d or of %d bytes", phys.Quote(fit[0].compatible), l.bitmap, fit[len(fit)-1].index.(list).bitmap),
				Want:  "to know which", Hint: "say which release of the kernel wrote the handover: ferry pack --from", Err: ErrAmbiguous}
		}
	}
	if slices.Contains(fit, hint) {
		return hint, nil
	}
	return fit[0], nil
}

// chooseList looks for what tells lists apart that have bitmaps of different
// sizes, the larger ones being of newer kernels: live update is newer than the
// smaller ones; bitmaps and what they speak of are multiples of their own sizes.
// Without a format it returns whether that leaves anything open: no list at all is
// the same in all. What says one format where the hint says another is damaged, or
// the hint is wrong: nothing tells which, and neither is taken.
func (h *Handover) chooseList(fit []*Format, root fdt.Node, at phys.Addr, hint *Format) (f *Format, open bool, err error) {
	newest, oldest := fit[0], fit[len(fit)-1]
	against := func(f *Format, object string, a phys.Addr, found, want string) (*Format, bool, error) {
		if hint == f || !slices.Contains(fit, hint) {
			return f, false, nil
		}
		return nil, false, &phys.Error{Object: object, Addr: a, Found: fmt.Sprintf("%s: %v", found, f),
			Want: fmt.Sprintf("%v, as the payload says: %s", hint, want),
			Hint: "memory is damaged, or another release of the kernel wrote it than ferry pack --from says", Err: ErrAmbiguous}
	}
	if n, ok := root.Child(luoName); ok {
		return against(newest, fmt.Sprintf("root device tree: %v", n), n.Addr(), "live update", "none")
	}
	if at == 0 {
		return nil, false, nil
	}
	_, all, err := oldest.index.(list).scan(h.mem, at, h.Scratch)
	if err != nil {
		return nil, false, phys.In("preserved-memory map", at, err)
	}
	large := newest.index.(list)
	for _, e := range all {
		if !e.bitmap.Aligned(large.bitmap) || !e.start.Aligned(large.reach(e.order)) {
			i := (e.at - e.at.Page() - listHeader) / listElement
			return against(oldest, fmt.Sprintf("preserved-memory map: chunk %s element %d", e.at.Page(), i), e.at,
				fmt.Sprintf("bitmap %s of order %d from %s on", e.bitmap, e.order, e.start),
				fmt.Sprintf("multiples of %d and of %#x", large.bitmap, large.reach(e.order)))
		}
	}
	return nil, true, nil
}

package blocktest

import "ferry/phys"

// heap is physical memory on the Go heap.
type heap struct {
	r phys.Range
	b []byte
}

// Heap returns zeroed RAM at r, for examples; tests have package phystest.
func Heap(r phys.Range) phys.Memory { return &heap{r, make([]byte, r.Size())} }

func (h *heap) View(a phys.Addr, n uint64) ([]byte, error) {
	if err := phys.Check(h.RAM(), a, n); err != nil {
		return nil, err
	}
	off := uint64(a - h.r.Start)
	return h.b[off : off+n : off+n], nil
}

func (h *heap) Edit(a phys.Addr, n uint64) ([]byte, error) { return h.View(a, n) }

func (h *heap) RAM() phys.Ranges { return phys.Ranges{h.r} }

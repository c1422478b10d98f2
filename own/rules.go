package own

import (
	"fmt"
	"strconv"

	"ferry/phys"
)

// Rules say where the memory of a handover may lie: in RAM, naturally aligned, at or
// above [phys.LowMemory], and outside scratch, which the next kernel overwrites.
type Rules struct {
	ram, scratch, places phys.Ranges
}

// NewRules returns the rules for a machine with this RAM and a handover with these
// scratch areas. Without areas, of a handover whose table was not read, any RAM
// above the first MiB is a place.
func NewRules(ram, scratch phys.Ranges) *Rules {
	return &Rules{ram, scratch, ram.Sub(scratch...).Sub(phys.Range{End: phys.LowMemory})}
}

// Places returns all memory that the rules allow, for comparing many blocks at once.
func (r *Rules) Places() phys.Ranges { return r.places }

// Allow reports whether every byte of m is a place for memory of a handover.
func (r *Rules) Allow(m phys.Range) bool { return r.places.Contains(m) }

// Check proves that b lies where the memory of a handover may lie. object is what
// the error calls it, which is a [*phys.Error].
func (r *Rules) Check(object string, b phys.Block) error {
	if e := r.check(b); e != nil {
		e.Object = object
		return e
	}
	return nil
}

// View is [Rules.Check] for a page of order 0, and returns a window on it in mem,
// for reading. It is for pages that describe the handover and are not preserved
// themselves, such as the nodes of its map.
func (r *Rules) View(mem phys.Memory, object string, a phys.Addr) ([]byte, error) {
	if err := r.Check(object, phys.Block{Addr: a}); err != nil {
		return nil, err
	}
	return mem.View(a, phys.PageSize)
}

// check is Check with an error that has no object yet.
func (r *Rules) check(b phys.Block) *phys.Error {
	if b.Order > phys.MaxOrder {
		return fault(b.Addr, "order "+order(b.Order), "an order that fits memory", ErrPlace)
	}
	size := b.Order.Bytes()
	if !b.Addr.Aligned(size) {
		return fault(b.Addr, fmt.Sprintf("not a multiple of %d", size), "a naturally aligned block", ErrPlace)
	}
	if b.Addr < phys.LowMemory {
		return fault(b.Addr, "below 1 MiB", "memory that firmware leaves alone", ErrPlace)
	}
	m, ok := phys.Span(b.Addr, size)
	if ok && r.places.Contains(m) {
		return nil
	}
	if area, hit := r.scratch.Overlaps(m); hit && ok && r.ram.Contains(m) {
		return fault(b.Addr, fmt.Sprintf("inside scratch area %v", area), "memory outside scratch", ErrPlace)
	}
	return fault(b.Addr, fmt.Sprintf("%d bytes not in RAM", size), "an address inside one RAM range of the e820 map", phys.ErrNotRAM)
}

func order(o phys.Order) string { return strconv.Itoa(int(o)) }

package amd64

import (
	"ferry/board/amd64/internal/kernel"
	"ferry/phys"
)

// Physical is the machine's RAM, [phys.Memory] on metal. All of it is mapped
// read-only, except for the pages that Edit opened: a store anywhere else
// faults.
type Physical struct {
	direct *phys.Direct
	ram    phys.Ranges
	stage  phys.Range

	confined bool
	writable phys.Ranges // if confined: all that may be edited
}

// Memory returns all of [RAM].
func Memory() *Physical {
	ram := RAM()
	return &Physical{direct: phys.NewDirect(kernel.DirectMap, ram), ram: ram, stage: Boot().Stage}
}

// Confine lets Edit serve only memory inside areas from now on, and of those of an
// earlier call what is in both. All other pages stay read-only to this code, and
// there is no way back.
func (p *Physical) Confine(areas phys.Ranges) {
	if areas = areas.Add(); p.confined {
		areas = p.writable.Sub(p.writable.Sub(areas...)...)
	}
	p.confined, p.writable = true, areas
}

// View implements [phys.Memory].
func (p *Physical) View(a phys.Addr, n uint64) ([]byte, error) { return p.direct.View(a, n) }

// Edit implements [phys.Memory]. The pages stay writable from then on. The stage's
// own memory is refused with [phys.ErrReadOnly].
func (p *Physical) Edit(a phys.Addr, n uint64) ([]byte, error) {
	b, err := p.direct.View(a, n)
	if err != nil || n == 0 {
		return b, err
	}
	r := phys.Range{Start: a, End: a + phys.Addr(n)}
	if p.confined {
		if err := phys.CheckWritable(p.writable, a, n); err != nil {
			return nil, err
		}
	}
	if r.Overlaps(p.stage) {
		return nil, &phys.Error{Object: "memory", Addr: a, Found: "the stage's own memory " + p.stage.String(),
			Want: "an address outside", Err: phys.ErrReadOnly}
	}
	start, end := uint64(a.Page()), (uint64(r.End)+PageSize-1)&^(PageSize-1)
	if !kernel.Unlock(start, end) {
		return nil, &phys.Error{Object: "memory", Addr: a, Found: "no page left of the stage's memory to make it writable",
			Hint: "link the image with a larger init_size", Err: phys.ErrReadOnly}
	}
	return b, nil
}

// RAM implements [phys.Memory].
func (p *Physical) RAM() phys.Ranges { return p.ram }

package crossing

import (
	"errors"

	"ferry/boot"
	"ferry/kho"
)

// piecesKept is how many pieces of scratch a kernel leaves for new pages, which are
// cut off after it was placed: more than all but the largest handovers take.
const piecesKept = 8

// place decides where a kernel and all that it is handed go. It leaves the pieces from
// which new pages would come first, as many as it can: one that is opened goes by chance
// to anywhere in scratch.
func (p *passage) place(next boot.Next) (*boot.Plan, error) {
	next.Occupied = next.Occupied.Add(p.m.Stage)
	if next.KHO != nil {
		for n := piecesKept; n > 0; n /= 2 {
			beside := next
			beside.Occupied = next.Occupied.Add(kho.FirstPieces(next.Scratch, next.Occupied.Add(p.held()...), n)...)
			if plan, err := p.params.Place(beside); !errors.Is(err, boot.ErrNoRoom) {
				return plan, err
			}
		}
	}
	return p.params.Place(next)
}

// form notes in which form a kernel that was opened is started.
func (r *Report) form(plan *boot.Plan) {
	if plan.Form != "" {
		r.note("next kernel: " + plan.Form)
	}
}

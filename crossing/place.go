package crossing

import (
	"errors"
	"fmt"

	"ferry/boot"
	"ferry/boot/cmdline"
	"ferry/kho"
	"ferry/phys"
)

// room is the memory that a crossing writes.
type room struct {
	memory   phys.Memory  // the machine's; once scratch is known, only scratch can be written
	scratch  []phys.Range // empty: unknown
	table    phys.Ranges  // the scratch table
	written  []phys.Range // for any kernel so far
	newPages phys.Ranges  // of the new handover; nobody needs them before it is handed over
}

// nextPlan is the next kernel with the new handover. It is placed before the old one
// is read, so that a lack of room is found first.
type nextPlan struct {
	*boot.Plan      // nil: it has no place, or does not get the new handover
	instead    bool // it overlaps the fallback: there is no room for both
}

// findScratch finds memory for the next kernel: what the handover's table calls
// scratch and is RAM, except for what its map preserves. Nothing of the handover is
// proved at this point; but only of this memory its producer said that nothing
// preserved lies there. From here on no other memory can be written.
func (w *WayOut) findScratch() {
	data, ok := w.data()
	if !ok {
		return // nothing is known to be preserved
	}
	memory := w.start.m.Memory
	areas, table := kho.ScratchHint(memory, data)
	w.room.scratch, w.room.table = areas, w.room.table.Add(table)
	w.report.fail(guarded(func() error {
		w.room.scratch = kho.Spared(memory, data, w.start.from.format(), areas)
		return nil
	}))
	if len(w.room.scratch) > 0 {
		w.room.memory = phys.Confine(memory, phys.NewRanges(w.room.scratch...))
	}
}

// data returns what the setup_data list says of the handover, false if there is none.
func (w *WayOut) data() (kho.Data, bool) {
	if w.raw == nil {
		return kho.Data{}, false
	}
	d, err := kho.ParseData(w.start.params.ZeroPage, w.raw[:])
	return d, err == nil
}

// prepareFallback places and writes the kernel of a policy and arms the machine with it.
func (w *WayOut) prepareFallback(o Outcome) {
	w.policy = o
	next, ok := w.fallbackNext()
	if !ok {
		return
	}
	plan, err := w.place(next)
	if err == nil {
		err = w.write(plan)
	}
	if err != nil && o == OnErrorRollback {
		err = fmt.Errorf("the rollback kernel: %w", err)
	}
	if w.unplaced = err; err == nil {
		w.fallback = plan
		w.arm(plan)
	}
}

// fallbackNext returns the kernel of the policy, or false and sets why there is none
// to be placed now.
func (w *WayOut) fallbackNext() (next boot.Next, ok bool) {
	s := w.start
	next, w.unplaced = w.fill(s.next.Next), s.next.bad
	switch w.policy {
	case OnErrorHalt:
		w.unplaced = ErrHalt
	case OnErrorCold:
		// Without scratch it is unknown yet what memory is free: see rollBack.
		return w.cold(), w.unplaced == nil && len(w.room.scratch) > 0
	case OnErrorRollback:
		if s.rollback == nil {
			w.unplaced = errors.New("the payload has no rollback kernel")
			break
		}
		next, w.unplaced = w.fill(s.rollback.Next), s.rollback.bad
		next.Occupied = next.Occupied.Add(s.params.Initrd) // the next kernel is in there
	}
	if next.KHO = w.raw; w.raw == nil && w.unplaced == nil {
		w.unplaced = errors.New("the handover cannot be handed on untouched")
	}
	return next, w.unplaced == nil
}

// fill adds to a kernel the memory that it may be placed in.
func (w *WayOut) fill(next boot.Next) boot.Next {
	next.Scratch, next.Occupied = w.room.scratch, next.Occupied.Add(w.room.table...)
	return next
}

// cold returns the next kernel as it boots without its state. Nothing is lost then if
// the command line is too long for it: the kernel gets what fits.
func (w *WayOut) cold() boot.Next {
	next := w.fill(w.start.next.Next)
	k, err := next.Chosen()
	if err != nil || uint64(len(next.Cmdline)) <= k.CmdlineMax {
		return next // an error is found when the kernel is placed
	}
	line, rest := cmdline.Cut(next.Cmdline, int(k.CmdlineMax))
	w.report.note("the command line has %d bytes, the next kernel takes %d: it boots without %s",
		len(next.Cmdline), k.CmdlineMax, phys.Quote(rest))
	next.Cmdline = line
	return next
}

// placeNext places the next kernel, which is to get a handover as long as the incoming
// one, and writes nothing. If the fallback is the same kernel, it is placed already.
// There may be no room because the scratch table is damaged: then that is the error.
func (w *WayOut) placeNext() (err error) {
	if w.fallback != nil && w.policy == OnErrorPass {
		w.next.Plan = w.fallback
	} else {
		next := w.fill(w.start.next.Next)
		next.KHO = w.raw
		beside := next
		if w.fallback != nil {
			beside.Occupied = next.Occupied.Add(w.fallback.Ranges()...)
		}
		if w.next.Plan, err = w.place(beside); err != nil && w.fallback != nil {
			w.next.instead = true
			w.next.Plan, err = w.place(next)
		}
	}
	if err == nil {
		if form := w.next.Form; form != "" { // of a kernel that was opened
			w.report.note("next kernel: %s", form)
		}
		return nil
	}
	if d, ok := w.data(); ok {
		e := guarded(func() error { _, e := kho.Open(w.room.memory, d, w.start.from.format()); return e })
		if e != nil {
			return e
		}
	}
	return err
}

// sparePieces is how many pieces of scratch a kernel leaves for new pages, which are
// cut off after it was placed: more than all but the largest handovers take.
const sparePieces = 8

// place places a kernel and all that it is handed. It leaves free the pieces that new
// pages are taken from first, as many as it can: an opened kernel goes to a random
// place in scratch.
func (w *WayOut) place(next boot.Next) (*boot.Plan, error) {
	params := w.start.params
	next.Occupied = next.Occupied.Add(w.start.m.Stage)
	if next.KHO != nil {
		for n := sparePieces; n > 0; n /= 2 {
			beside := next
			beside.Occupied = next.Occupied.Add(kho.FirstPieces(next.Scratch, next.Occupied.Add(w.start.held()...), n)...)
			if plan, err := params.Place(beside); !errors.Is(err, boot.ErrNoRoom) {
				return plan, err
			}
		}
	}
	return params.Place(next)
}

// write writes what a plan has placed, and records the memory.
func (w *WayOut) write(plan *boot.Plan) error {
	w.room.written = append(w.room.written, plan.Written()...)
	return plan.Write(w.room.memory)
}

// occupied returns the memory of scratch in which no new page may lie: what is held,
// and the kernels that are placed.
func (w *WayOut) occupied() phys.Ranges {
	occupied := w.start.held()
	for _, plan := range []*boot.Plan{w.fallback, w.next.Plan} {
		if plan != nil {
			occupied = occupied.Add(plan.Ranges()...)
		}
	}
	return occupied
}

// wipe returns the memory that may hold secrets and that nobody needs any more
// once the kernel of a plan runs: command line, entropy, the payload except for an
// initrd that is used in place and an opened kernel, which is no secret before it is
// relocated, and what was written for another kernel. It is nothing as long as a
// handover that stays was not proved to lie apart from all that: what the zero page
// and its list say of it may be wrong.
func (w *WayOut) wipe(plan *boot.Plan) phys.Ranges {
	if w.raw != nil && w.in == nil && w.policy != OnErrorCold {
		return nil
	}
	in := w.start.params
	wipe := phys.NewRanges(in.Initrd).Sub(w.start.next.Opened.Range()).Add(in.CmdlineAt).Add(w.room.written...)
	if !w.committed {
		wipe = wipe.Add(w.room.newPages...)
	}
	for _, n := range in.SetupData {
		if n.Type == boot.SetupRNGSeed {
			wipe = wipe.Add(n.Range())
		}
	}
	if w.raw != nil && len(w.room.scratch) > 0 {
		wipe = wipe.Sub(wipe.Sub(w.room.scratch...)...) // what lies in scratch
	}
	return wipe.Sub(plan.Ranges()...).Sub(w.room.table...).Sub(w.start.m.Stage)
}

package crossing

import (
	"errors"
	"fmt"

	"ferry/boot"
	"ferry/kho"
	"ferry/phys"
)

// ErrHalt is wrapped by the errors of Run that the policy asked to halt for.
var ErrHalt = errors.New("halting as ferry.on-error=halt says")

// wayOut is what follows a failure, laid before the first thing that can fail:
// from then on the machine needs nothing of this code to go on, which may end
// without another word.
type wayOut struct {
	outcome Outcome
	plan    *boot.Plan // a kernel that is placed and written; nil: there is none
	err     error      // why there is none
}

// coldNote says what ferry.on-error=cold does.
const coldNote = "the next kernel boots without the handover, as ferry.on-error=cold says: its state is lost"

// prepare lays the way out that the policy names for the handover that came in,
// or that ferry.mode=pass asks for.
func (p *passage) prepare(raw *[kho.DataSize]byte) {
	p.way.outcome = p.options.outcome(p.payload.Manifest, p.signed)
	if p.options.Mode == Pass && p.report.failed() == nil {
		p.way.outcome = OnErrorPass
	}
	p.scratch(raw)
	p.step("scratch", "fallback")
	if next, ok := p.wayNext(raw); ok {
		plan, err := p.place(next)
		if err == nil {
			err = plan.Write(p.m.Memory)
		}
		if p.way.err = err; err == nil {
			p.way.plan = plan
		}
	}
	if err := p.arm(p.way.plan); err != nil {
		p.report.note(fmt.Sprintf("nothing follows a failure of the stage itself: %v", err))
	}
	p.step("fallback", "kho")
}

// wayNext returns the kernel of the way out, or false and sets why there is none
// to be placed now.
func (p *passage) wayNext(raw *[kho.DataSize]byte) (next boot.Next, ok bool) {
	next, p.way.err = p.next, p.badNext
	switch p.way.outcome {
	case OnErrorHalt:
		p.way.err = ErrHalt
	case OnErrorCold:
		// Without scratch nobody knows yet what memory is free: see fallBack.
		return next, p.way.err == nil && len(next.Scratch) > 0
	case OnErrorRollback:
		m := p.payload.Manifest
		if p.way.err = p.badRollback; m.Rollback == nil {
			p.way.err = errors.New("the payload has no rollback kernel")
			break
		}
		next = p.kernel(p.payload.RollbackKernel, p.payload.RollbackInitrd, m.Rollback.Cmdline)
		next.Scratch = p.next.Scratch
		next.Occupied = p.next.Occupied.Add(p.params.Initrd) // the next kernel is in there
	}
	if next.KHO = raw; p.way.err == nil {
		switch {
		case raw == nil:
			p.way.err = errors.New("the handover cannot be handed on untouched")
		case len(next.Scratch) == 0:
			p.way.err = errors.New("the scratch table names no RAM, so no place is safe from preserved memory")
		}
	}
	return next, p.way.err == nil
}

// arm tells the machine where to go on; nil is nowhere.
func (p *passage) arm(plan *boot.Plan) error {
	switch {
	case p.m.Watch == nil:
		return nil
	case plan == nil:
		return p.m.Watch.Fallback(nil)
	}
	jump := p.to(plan)
	return p.m.Watch.Fallback(&jump)
}

// to returns the jump to a kernel that was written. What the stage was started
// with and nobody needs after it is cleared: command line, entropy, and the
// payload but for an initrd that is used in place.
func (p *passage) to(plan *boot.Plan) Jump {
	in := p.params
	spent := phys.NewRanges(in.Initrd, in.CmdlineAt)
	for _, n := range in.SetupData {
		if n.Type == boot.SetupRNGSeed {
			spent = spent.Add(n.Range())
		}
	}
	return Jump{plan.Entry, plan.ZeroPage, spent.Sub(plan.Ranges()...).Sub(p.next.Occupied...).Sub(p.m.Stage)}
}

// fallBack takes the way out.
func (p *passage) fallBack() (Jump, error) {
	switch {
	case p.way.outcome == OnErrorCold && p.badNext == nil:
		p.report.note(coldNote)
		if p.way.plan == nil {
			// Without a handover there is nothing that scratch keeps apart.
			next := p.next
			next.Scratch = nil
			return p.start(next)
		}
	case p.way.err != nil:
		return Jump{}, errors.Join(p.way.err, p.report.failed())
	case p.way.outcome == OnErrorRollback:
		p.report.note("back to the kernel before: the rollback kernel boots with the untouched handover")
	default:
		p.report.note("the handover is handed on untouched")
		p.report.unread(p.came, p.payload.Manifest.Kernel.Generation)
	}
	return p.jump(p.way.plan), nil
}

// handOver gives the next kernel the new handover that data names. Where the way
// out starts the same kernel, only the address of the handover changes; else the
// kernel is placed now, and the way out is given up with the first byte written.
func (p *passage) handOver(data kho.Data) (Jump, error) {
	payload := (*[kho.DataSize]byte)(data.Append(nil))
	if p.way.plan != nil && p.way.outcome == OnErrorPass {
		if err := p.way.plan.Hand(p.m.Memory, payload); err != nil {
			return Jump{}, err
		}
		return p.jump(p.way.plan), nil
	}
	next := p.next
	next.KHO = payload
	return p.start(next)
}

// start places and writes the next kernel, unless it is not what was signed.
func (p *passage) start(next boot.Next) (Jump, error) {
	if p.badNext != nil {
		return Jump{}, p.badNext
	}
	plan, err := p.place(next)
	if err != nil {
		return Jump{}, err
	}
	if err := p.arm(nil); err != nil {
		return Jump{}, err
	}
	if err := plan.Write(p.m.Memory); err != nil {
		return Jump{}, err
	}
	return p.jump(plan), nil
}

// jump reports the kernel of a plan that was written.
func (p *passage) jump(plan *boot.Plan) Jump {
	p.report.Next = plan.Release
	p.report.step("place")
	return p.to(plan)
}

// place decides where a kernel and all that it is handed go.
func (p *passage) place(next boot.Next) (*boot.Plan, error) {
	next.Occupied = next.Occupied.Add(p.m.Stage)
	return p.params.Place(next)
}

// scratch finds memory for the next kernel: what the handover's table calls
// scratch and is RAM, but for what its map preserves. Nothing of the handover is
// proved at this point; but its producer said of no other memory that nothing
// preserved lies there.
func (p *passage) scratch(raw *[kho.DataSize]byte) {
	if raw == nil {
		return // nothing is known to be preserved
	}
	data, err := kho.ParseData(p.params.ZeroPage, raw[:])
	if err != nil {
		return
	}
	areas, table := kho.ScratchHint(p.m.Memory, data)
	p.next.Scratch, p.next.Occupied = areas, p.next.Occupied.Add(table)
	p.report.fail(guarded(func() error {
		p.next.Scratch = kho.Spared(p.m.Memory, data, p.target.hint, areas)
		return nil
	}))
}

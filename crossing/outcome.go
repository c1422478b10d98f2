package crossing

import (
	"cmp"
	"errors"
	"fmt"
	"slices"

	"ferry/boot"
	"ferry/kho"
	"ferry/luo"
	"ferry/phys"
)

// ErrHalt is wrapped by the errors of Run that the policy asked to halt for.
var ErrHalt = errors.New("halting, as on-error=halt says")

// wayOut is what follows a failure, laid before the first thing that can fail:
// from then on the machine needs nothing of this code to go on, which may end
// without another word.
type wayOut struct {
	outcome Outcome
	raw     *[kho.DataSize]byte // the handover that came in, nil if none can be handed on
	plan    *boot.Plan          // a kernel that is placed and written; nil: there is none
	err     error               // why there is none

	unread string // formats of the handover that came in, where the next kernel reads others
	back   string // the same of the rollback kernel
}

// placed is the next kernel, placed before the handover is read: too little room for
// it is known first.
type placed struct {
	plan    *boot.Plan // nil: it has no place, or is not to get the new handover
	instead bool       // in the place of the way out, where there is no room for both
}

// coldNote says what on-error=cold does.
const coldNote = "the next kernel boots without the handover, as on-error=cold says: its state is lost"

// prepare lays the way out for the handover that came in: the one that
// ferry.mode=pass asks for, or else the one that the policy names.
func (p *passage) prepare(raw *[kho.DataSize]byte) {
	p.way.raw = raw
	p.scratch(raw)
	p.step("scratch", "fallback")
	policy := p.options.Outcome(p.payload.Manifest, p.signed)
	guarded(func() error { p.unreadRaw(raw); return nil }) // a fault there is found again
	if p.options.Mode == Pass && p.report.failed() == nil && policy != OnErrorPass {
		p.lay(OnErrorPass)
		p.report.fail(p.way.err)
	}
	if p.way.plan == nil {
		p.lay(policy)
	}
	if p.way.plan == nil {
		p.arm(nil)
	}
	if p.options.Mode == Cross && p.report.failed() == nil && len(p.next.Scratch) > 0 {
		p.report.fail(p.placeAhead(raw))
	}
	p.step("fallback", "kho")
}

// placeAhead places the next kernel, which is to get a handover as long as raw, and
// writes nothing. If the way out starts the same kernel, it is placed already. There
// may be no room because the scratch table is damaged: then that is the error.
func (p *passage) placeAhead(raw *[kho.DataSize]byte) (err error) {
	if p.way.plan != nil && p.way.outcome == OnErrorPass {
		p.ahead.plan = p.way.plan
		p.report.form(p.ahead.plan)
		return nil
	}
	next := p.next
	next.KHO = raw
	beside := next
	if p.way.plan != nil {
		beside.Occupied = next.Occupied.Add(p.way.plan.Ranges()...)
	}
	if p.ahead.plan, err = p.place(beside); err != nil && p.way.plan != nil {
		p.ahead.instead = true
		p.ahead.plan, err = p.place(next)
	}
	if err == nil {
		p.report.form(p.ahead.plan)
	}
	if err != nil {
		if d, e := kho.ParseData(p.params.ZeroPage, raw[:]); e == nil {
			e = guarded(func() error { _, e := kho.Open(p.memory, d, p.target.from.format()); return e })
			if e != nil {
				return e
			}
		}
	}
	return err
}

// lay places and writes the kernel of an outcome and tells the machine of it.
func (p *passage) lay(o Outcome) {
	p.way.outcome = o
	next, ok := p.wayNext(p.way.raw)
	if !ok {
		return
	}
	plan, err := p.place(next)
	if err == nil {
		err = p.write(plan)
	}
	if err != nil && o == OnErrorRollback {
		err = fmt.Errorf("the rollback kernel: %w", err)
	}
	if p.way.err = err; err == nil {
		p.way.plan = plan
		p.arm(plan)
	}
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
		return p.cold(), p.way.err == nil && len(next.Scratch) > 0
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
	if next.KHO = raw; raw == nil && p.way.err == nil {
		p.way.err = errors.New("the handover cannot be handed on untouched")
	}
	return next, p.way.err == nil
}

// arm tells the machine where to go on; nil, and a way out that is useless, are
// nowhere.
func (p *passage) arm(plan *boot.Plan) {
	if p.m.Watch == nil {
		return
	}
	var jump *Jump
	if plan != nil && !(plan == p.way.plan && p.useless()) {
		to := p.to(plan)
		jump = &to
	}
	if err := p.m.Watch.Fallback(jump); err != nil {
		p.report.note(fmt.Sprintf("nothing follows a failure of the stage itself: %v", err))
	}
}

// to returns the jump to a kernel that was written.
func (p *passage) to(plan *boot.Plan) Jump {
	return Jump{Name: p.name(plan), Entry: plan.Entry, ZeroPage: plan.ZeroPage, Wipe: p.spent(plan)}
}

// name says which kernel a plan starts, and with what.
func (p *passage) name(plan *boot.Plan) string {
	switch {
	case p.way.raw == nil:
		return "a kernel without a handover"
	case p.handed:
		return "the next kernel with the new handover"
	case p.way.outcome == OnErrorRollback:
		return "the rollback kernel with the untouched handover"
	case p.way.outcome == OnErrorCold:
		return "the next kernel without the handover"
	}
	return "the next kernel with the untouched handover"
}

// spent returns the memory that may hold secrets and that nobody needs any more
// once the kernel of a plan runs: command line, entropy, the payload but for an
// initrd that is used in place and an opened kernel, which is no secret before it is
// relocated, and what was written for another kernel. It is
// nothing as long as a handover that stays was not proved to lie apart from all
// that: what the zero page and its list say of it may be wrong.
func (p *passage) spent(plan *boot.Plan) phys.Ranges {
	if p.way.raw != nil && p.came == nil && p.way.outcome != OnErrorCold {
		return nil
	}
	in := p.params
	spent := phys.NewRanges(in.Initrd).Sub(p.next.Opened.Range()).Add(in.CmdlineAt).Add(p.written...)
	if !p.handed {
		spent = spent.Add(p.pool...)
	}
	for _, n := range in.SetupData {
		if n.Type == boot.SetupRNGSeed {
			spent = spent.Add(n.Range())
		}
	}
	if p.way.raw != nil && len(p.next.Scratch) > 0 {
		spent = within(spent, p.next.Scratch)
	}
	return spent.Sub(plan.Ranges()...).Sub(p.next.Occupied...).Sub(p.m.Stage)
}

// within returns the bytes of s that lie in one of areas.
func within(s phys.Ranges, areas []phys.Range) phys.Ranges { return s.Sub(s.Sub(areas...)...) }

// fallBack takes the way out.
func (p *passage) fallBack() (Jump, error) {
	if p.came == nil && p.way.unread == "" {
		guarded(p.look)
	}
	switch {
	case p.way.outcome == OnErrorCold && p.badNext == nil && (p.way.plan != nil || len(p.next.Scratch) == 0):
		p.report.note(coldNote)
		if p.way.plan == nil {
			// Nobody knows where scratch is, and nothing is preserved for anybody.
			return p.start(p.cold())
		}
	case p.way.err != nil:
		return Jump{}, p.way.err
	case p.way.outcome == OnErrorRollback && p.useless():
		return Jump{}, fmt.Errorf("the rollback kernel is of generation %s, which does not read %s: halting",
			p.payload.Manifest.Rollback.Kernel.Generation, p.way.back)
	case p.way.outcome == OnErrorRollback:
		p.report.note("back to the kernel before: the rollback kernel boots with the untouched handover")
	case p.useless():
		return Jump{}, fmt.Errorf("generation %s does not read %s, and nobody said that it is to start all the same (on-error=pass): halting",
			p.target.gen.Name, p.way.unread)
	default:
		p.report.note("the handover is handed on untouched")
		if p.way.unread != "" {
			p.report.note(fmt.Sprintf("generation %s does not read %s: the next kernel boots without the state, or panics over it", p.target.gen.Name, p.way.unread))
		}
	}
	return p.jump(p.way.plan), nil
}

// useless reports whether the way out is to hand on what the next kernel is known
// not to read, and nobody chose that, or to go back to a kernel that does not: it
// would lose the state, or take it for something else.
func (p *passage) useless() bool {
	if p.way.outcome == OnErrorRollback {
		return p.way.back != ""
	}
	chosen := p.payload.Manifest.OnError != "" || !p.signed && (p.options.Mode == Pass || p.options.OnError != "")
	return p.way.outcome == OnErrorPass && !chosen && p.way.unread != ""
}

// kernels returns the generations of the next kernel and of the rollback kernel, nil
// where they are not known.
func (p *passage) kernels() (next, back *Generation) {
	if m := p.payload.Manifest; m.Rollback != nil {
		back = ByName(m.Rollback.Kernel.Generation)
	}
	return p.target.gen, back
}

// unread finds out which kernels are known not to read a handover, as far as it was
// read.
func (p *passage) unread(in *kho.Handover) {
	state := luo.Recognise(in)
	by := func(g *Generation) string {
		switch {
		case g == nil || slices.ContainsFunc(in.Formats(), func(f *kho.Format) bool { return g.reads(f, state) }):
			return ""
		case state == nil:
			return in.Format().String()
		}
		return in.Format().String() + ", " + state.String()
	}
	next, back := p.kernels()
	p.way.unread, p.way.back = by(next), by(back)
}

// look finds out whether the next kernel reads a handover that nobody has looked at
// because something else was wrong.
func (p *passage) look() error {
	if p.way.raw == nil {
		return nil
	}
	d, err := kho.ParseData(p.params.ZeroPage, p.way.raw[:])
	if err != nil {
		return err
	}
	h, err := kho.Open(p.memory, d, p.target.from.format())
	if err == nil {
		p.unread(h)
	}
	return err
}

// unreadRaw is unread of a handover that was not read yet, by what its root and its
// map show, and by what is said of its kernel if they do not contradict that.
func (p *passage) unreadRaw(raw *[kho.DataSize]byte) {
	if raw == nil {
		return
	}
	d, err := kho.ParseData(p.params.ZeroPage, raw[:])
	if err != nil {
		return
	}
	fit, from := kho.Recognise(p.memory, d), p.target.from.gen
	by := func(g *Generation) string {
		switch {
		case g == nil:
			return ""
		case len(fit) > 0 && !slices.Contains(fit, g.KHO):
			return fit[0].String()
		case from != nil && (len(fit) == 0 || slices.Contains(fit, from.KHO)) && !g.reads(from.KHO, from.LUO):
			return "what generation " + from.Name + " writes"
		}
		return ""
	}
	next, back := p.kernels()
	p.way.unread, p.way.back = by(next), by(back)
}

// handOver writes the next kernel and gives it the new handover that data names, by
// the last store. If the way out starts the same kernel, it is written already. Else
// the way out stays open until the next kernel is whole, if there is room for both;
// if not it is given up with the first byte written, and from then on no deadline
// ends what can only be finished.
func (p *passage) handOver(data kho.Data) (Jump, error) {
	plan := p.ahead.plan
	if plan != p.way.plan {
		if p.ahead.instead {
			if p.m.Watch != nil {
				p.m.Watch.Deadline(0)
			}
			p.arm(nil)
		}
		if err := p.write(plan); err != nil {
			p.arm(p.way.plan) // nothing was written
			return Jump{}, err
		}
	}
	if err := plan.Hand(p.memory, (*[kho.DataSize]byte)(data.Append(nil))); err != nil {
		return Jump{}, err
	}
	p.way.unread, p.handed = "", true // it has the new one
	p.arm(plan)
	return p.jump(plan), nil
}

// start places and writes a kernel that gets no handover.
func (p *passage) start(next boot.Next) (Jump, error) {
	plan, err := p.place(next)
	if err == nil {
		err = p.write(plan)
	}
	if err != nil {
		return Jump{}, err
	}
	p.arm(plan)
	return p.jump(plan), nil
}

// write writes what a plan has placed, and remembers where.
func (p *passage) write(plan *boot.Plan) error {
	p.written = append(p.written, plan.Written()...)
	return plan.Write(p.memory)
}

// bare starts a kernel where no handover came in, and so nothing can be lost but
// one that should have: see announced. If the payload says from whom one comes, or how
// many sessions have to come in, on-error=halt halts.
func (p *passage) bare() (Jump, error) {
	m := p.payload.Manifest
	p.way.outcome = p.options.Outcome(m, p.signed)
	if err := p.announced(); err != nil {
		return p.noneCame(err)
	}
	missed := p.expect(0)
	p.report.fail(missed)
	if p.way.outcome == OnErrorHalt && missed != nil {
		return Jump{}, fmt.Errorf("no handover came in: %w: %w", missed, ErrHalt)
	}
	if from := cmp.Or(p.options.From, m.From); p.way.outcome == OnErrorHalt && from != "" {
		return Jump{}, fmt.Errorf("no handover came in, and the load expects that of %s: %w", phys.Quote(from), ErrHalt)
	}
	back := p.way.outcome == OnErrorRollback && m.Rollback != nil && p.badRollback == nil
	jump, err := Jump{}, p.badNext
	if back && err == nil {
		err = missed
	}
	if err == nil {
		p.report.note("no handover came in: the next kernel boots cold")
		next := p.next
		if p.way.outcome == OnErrorCold {
			next = p.cold()
		}
		jump, err = p.start(next)
	}
	if err == nil || !back {
		return jump, err
	}
	if p.badNext == nil && missed == nil {
		p.report.fail(err)
	}
	p.report.note("no handover came in, back to the kernel before: the rollback kernel boots cold")
	return p.start(p.kernel(p.payload.RollbackKernel, p.payload.RollbackInitrd, m.Rollback.Cmdline))
}

// jump reports the kernel of a plan that was written.
func (p *passage) jump(plan *boot.Plan) Jump {
	p.report.Next = plan.Release
	p.report.step("place")
	return p.to(plan)
}

// scratch finds memory for the next kernel: what the handover's table calls
// scratch and is RAM, but for what its map preserves. Nothing of the handover is
// proved at this point; but its producer said of no other memory that nothing
// preserved lies there. From here on no other memory can be written.
func (p *passage) scratch(raw *[kho.DataSize]byte) {
	if raw == nil {
		return // nothing is known to be preserved
	}
	data, err := kho.ParseData(p.params.ZeroPage, raw[:])
	if err != nil {
		return
	}
	areas, table := kho.ScratchHint(p.memory, data)
	p.next.Scratch, p.next.Occupied = areas, p.next.Occupied.Add(table)
	p.report.fail(guarded(func() error {
		p.next.Scratch = kho.Spared(p.memory, data, p.target.from.format(), areas)
		return nil
	}))
	if len(p.next.Scratch) > 0 {
		p.memory = phys.Confine(p.memory, phys.NewRanges(p.next.Scratch...))
	}
}

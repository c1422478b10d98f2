package crossing

import (
	"cmp"
	"errors"
	"fmt"
	"slices"

	"ferry/boot"
	"ferry/boot/cmdline"
	"ferry/kho"
	"ferry/luo"
	"ferry/phys"
)

// ErrHalt is wrapped by the errors of Run if the policy is to halt.
var ErrHalt = errors.New("on-error=halt")

// WayOut decides which kernel runs next. It is prepared before the first step that
// can fail: from then on the machine can start a kernel even if this code never
// returns. It places kernels, arms the machine with one, commits to
// the new handover, rolls back to the old one, or halts.
type WayOut struct {
	start  *Started
	report *Report
	room   room
	raw    *[kho.DataSize]byte // the incoming handover; nil: none that can be handed on
	in     *Incoming           // the same, once it is proved

	policy    Outcome    // what follows a failure
	fallback  *boot.Plan // the kernel of policy, placed and written; nil: there is none
	unplaced  error      // why there is none
	next      nextPlan
	unread    readers
	committed bool // to the new handover
}

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

// readers names the formats of the incoming handover if a kernel is known not to
// read them; empty: it reads them, or that is unknown.
type readers struct{ next, rollback string }

func newWayOut(s *Started, r *Report, raw *[kho.DataSize]byte) *WayOut {
	return &WayOut{start: s, report: r, raw: raw, policy: s.policy, room: room{memory: s.m.Memory}}
}

// situation is the state of a crossing that fails: its policy, and how far the kernel
// of that is.
type situation struct {
	policy Outcome
	kernel readiness
}

// readiness is how far the kernel of a policy is.
type readiness int

const (
	unplaced    readiness = iota // it cannot be started
	unnecessary                  // it is placed when it is started: there is no memory that must be kept
	ready                        // it is placed and written
	unreading                    // it is ready, and would lose the state: it is known not to read it
)

// ending is how a crossing ends.
type ending int

const (
	halted ending = iota
	crossed
	rolledBack
	passedOn
	bootedCold
)

// transitions is how a crossing that failed ends. It halts in every other situation.
var transitions = map[situation]ending{
	{OnErrorRollback, ready}:   rolledBack,
	{OnErrorPass, ready}:       passedOn,
	{OnErrorCold, ready}:       bootedCold,
	{OnErrorCold, unnecessary}: bootedCold,
}

// endings has, for each ending, what runs next, as the console names it, and the
// beginning of the verdict.
var endings = [...]struct{ kernel, verdict string }{
	halted:     {"", "HALTED"},
	crossed:    {"the next kernel with the new handover", "CROSSED"},
	rolledBack: {"the rollback kernel with the untouched handover", "ROLLED BACK to %s"},
	passedOn:   {"the next kernel with the untouched handover", "PASSED ON to %s"},
	bootedCold: {"the next kernel without the handover", "BOOTED %s COLD"},
}

// prepare places and writes the fallback: the kernel of ferry.mode=pass, or
// else the one that the policy names. Then it places the next kernel.
func (w *WayOut) prepare() {
	w.findScratch()
	w.report.begin(stepFallback)
	guarded(func() error { w.recognise(); return nil }) // a fault there is found again
	pass := w.start.options.Mode == Pass
	if pass && !w.report.failed() && w.policy != OnErrorPass {
		w.prepareFallback(OnErrorPass)
		w.report.fail(w.unplaced)
	}
	if w.fallback == nil {
		w.prepareFallback(w.start.policy)
	}
	if w.fallback == nil {
		w.arm(nil)
	}
	if !pass && !w.report.failed() && len(w.room.scratch) > 0 {
		w.report.fail(w.placeNext())
	}
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

// setDeadline sets the deadline, once there is a fallback to start when it passes. A
// deadline that has passed by now is a failure like any other.
func (w *WayOut) setDeadline() {
	watch := w.start.m.Watch
	if watch == nil {
		return
	}
	left := w.start.options.Deadline
	if left != 0 {
		if left -= w.report.elapsed(); left <= 0 {
			w.report.fail(fmt.Errorf("the time is up: ferry.deadline=%v was over before the handover was read", w.start.options.Deadline))
			return // the fallback is started at once
		}
	}
	watch.Deadline(left)
}

// arm sets the kernel that the machine starts if the stage fails. nil is none, and so
// is a kernel that would lose the state.
func (w *WayOut) arm(plan *boot.Plan) {
	if w.start.m.Watch == nil {
		return
	}
	var jump *Jump
	if plan != nil && (plan != w.fallback || w.readiness() != unreading) {
		to := w.jump(plan)
		jump = &to
	}
	if err := w.start.m.Watch.Fallback(jump); err != nil {
		w.report.note("nothing follows a failure of the stage itself: %v", err)
	}
}

// jump returns the jump to a kernel that was written.
func (w *WayOut) jump(plan *boot.Plan) Jump {
	name := "a kernel without a handover"
	switch {
	case w.raw == nil:
	case w.committed:
		name = endings[crossed].kernel
	default:
		name = endings[cmp.Or(transitions[situation{w.policy, ready}], passedOn)].kernel
	}
	return Jump{Name: name, Entry: plan.Entry, ZeroPage: plan.ZeroPage, Wipe: w.wipe(plan)}
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

// receive reads and proves the incoming handover. As soon as it is known which
// kernels read it, the machine is armed anew.
func (w *WayOut) receive() (*Incoming, error) {
	w.report.begin(stepKHO)
	s := w.start
	data, err := kho.ParseData(s.params.ZeroPage, w.raw[:])
	if err != nil {
		return nil, err
	}
	r := reader{memory: w.room.memory, known: readableFormats(s.options.Experimental), held: s.held(), accept: s.next.gen.accepts, step: w.report.begin}
	in, err := r.read(kho.Open, data, s.from.format())
	if in != nil {
		w.compare(in.Handover)
		w.arm(w.fallback)
	}
	if err != nil {
		return nil, err
	}
	w.in = in
	w.report.arrived(in)
	return in, s.checkSessions(in.state.Len())
}

// commit writes the next kernel and gives it the new handover, by the last store. If
// the fallback is the same kernel, it is written already. Else the fallback stays armed
// until the next kernel is whole, if there is room for both; if not it is given up with
// the first byte written, and from then on no deadline ends what can only be finished.
func (w *WayOut) commit(out Outgoing) (Jump, error) {
	plan := w.next.Plan
	if plan != w.fallback {
		if w.next.instead {
			if w.start.m.Watch != nil {
				w.start.m.Watch.Deadline(0)
			}
			w.arm(nil)
		}
		if err := w.write(plan); err != nil {
			w.arm(w.fallback) // nothing was written
			return Jump{}, err
		}
	}
	if err := plan.Hand(w.room.memory, (*[kho.DataSize]byte)(out.Data.Append(nil))); err != nil {
		return Jump{}, err
	}
	w.unread.next, w.committed = "", true
	w.arm(plan)
	if w.in.state.Len() == 0 {
		w.report.because(w.withoutSessions())
	}
	return w.leave(crossed, w.start.next.release, plan), nil
}

// rollBack ends a crossing that failed, or that ferry.mode=pass excludes, as
// [transitions] says.
func (w *WayOut) rollBack() (Jump, error) {
	w.report.begin(stepPlace)
	if w.in == nil && w.unread.next == "" {
		guarded(w.open)
	}
	kernel := w.readiness()
	how := transitions[situation{w.policy, kernel}]
	switch {
	case kernel == unreading && how == halted:
		return Jump{}, w.losesState()
	case how == halted:
		return Jump{}, w.unplaced
	case how == passedOn && !w.report.failed():
		w.report.because("unread, as ferry.mode=pass says")
	case how == bootedCold:
		w.report.because("its state is lost, as on-error=cold says")
	}
	if how == passedOn && w.unread.next != "" {
		w.report.warn(fmt.Sprintf("generation %s does not read %s: the next kernel boots without the state, or panics over it", w.start.next.gen.Name, w.unread.next))
	}
	if kernel == unnecessary {
		return w.startNow(how, w.start.next.release, w.cold())
	}
	release := w.start.next.release
	if how == rolledBack {
		release = w.start.rollback.release
	}
	return w.leave(how, release, w.fallback), nil
}

// readiness returns how far the kernel of the policy is.
func (w *WayOut) readiness() readiness {
	cold := w.policy == OnErrorCold && w.start.next.bad == nil
	switch {
	case w.fallback == nil && cold && len(w.room.scratch) == 0:
		return unnecessary
	case w.fallback == nil:
		return unplaced
	case w.policy == OnErrorRollback && w.unread.rollback != "", w.policy == OnErrorPass && w.unread.next != "" && !w.chosen():
		return unreading
	}
	return ready
}

// chosen reports whether the operator chose to hand on the handover even to a kernel
// that does not read it.
func (w *WayOut) chosen() bool {
	s := w.start
	return s.payload.Manifest.OnError != "" || !s.signed && (s.options.Mode == Pass || s.options.OnError != "")
}

// losesState is why the kernel of the policy does not get the handover.
func (w *WayOut) losesState() error {
	if w.policy == OnErrorRollback {
		return fmt.Errorf("the rollback kernel is of generation %s, which does not read %s", w.start.rollback.gen.Name, w.unread.rollback)
	}
	return fmt.Errorf("generation %s does not read %s, and nobody said that it is to start all the same (on-error=pass)",
		w.start.next.gen.Name, w.unread.next)
}

// startNow places and writes a kernel that gets no handover, and starts it.
func (w *WayOut) startNow(how ending, release string, next boot.Next) (Jump, error) {
	plan, err := w.place(next)
	if err == nil {
		err = w.write(plan)
	}
	if err != nil {
		return Jump{}, err
	}
	w.arm(plan)
	return w.leave(how, release, plan), nil
}

// leave reports the kernel that starts, release as the manifest names it.
func (w *WayOut) leave(how ending, release string, plan *boot.Plan) Jump {
	w.report.end(how, cmp.Or(release, plan.Release))
	return w.jump(plan)
}

// withoutSessions is what the verdict must say though it is no error: that there was
// nothing to carry. It is empty if one of the kernels has no sessions.
func (w *WayOut) withoutSessions() string {
	next, from := w.start.next.gen, w.start.from.gen
	switch {
	case next != nil && next.LUO == nil, from != nil && from.LUO == nil:
		return ""
	case w.in.state.Absent():
		return "NO SESSION CAME IN: the kernel before handed over no live update state at all (liveupdate=on?)"
	}
	return "NO SESSION CAME IN: " + closedSession
}

// unreadBy applies formats, which returns in what the handover is if a generation does not
// read it, to the next and to the rollback kernel, as far as their generations are known.
func (w *WayOut) unreadBy(formats func(*Generation) string) {
	w.unread = readers{}
	if g := w.start.next.gen; g != nil {
		w.unread.next = formats(g)
	}
	if b := w.start.rollback; b != nil && b.gen != nil {
		w.unread.rollback = formats(b.gen)
	}
}

// compare finds out which kernels are known not to read a handover, as far as it was
// read.
func (w *WayOut) compare(in *kho.Handover) {
	state := luo.Recognise(in, readableFormats(w.start.options.Experimental).luo...)
	w.unreadBy(func(g *Generation) string {
		switch {
		case slices.ContainsFunc(in.Formats(), func(f *kho.Format) bool { return g.reads(f, state) }):
			return ""
		case state == nil:
			return in.Format().String()
		}
		return in.Format().String() + ", " + state.String()
	})
}

// open compares a handover that was not read because something else was wrong.
func (w *WayOut) open() error {
	d, ok := w.data()
	if !ok {
		return nil
	}
	h, err := kho.Open(w.room.memory, d, w.start.from.format())
	if err == nil {
		w.compare(h)
	}
	return err
}

// recognise is compare for a handover that was not read yet. It uses what its root and
// its map show, and what is said of its kernel if they do not contradict that.
func (w *WayOut) recognise() {
	d, ok := w.data()
	if !ok {
		return
	}
	fit, from := kho.Recognise(w.room.memory, d), w.start.from.gen
	w.unreadBy(func(g *Generation) string {
		switch {
		case len(fit) > 0 && !slices.Contains(fit, g.KHO):
			return fit[0].String()
		case from != nil && (len(fit) == 0 || slices.Contains(fit, from.KHO)) && !g.reads(from.KHO, from.LUO):
			return "what generation " + from.Name + " writes"
		}
		return ""
	})
}

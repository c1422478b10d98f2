package crossing

import (
	"cmp"
	"errors"
	"fmt"

	"ferry/boot"
	"ferry/kho"
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

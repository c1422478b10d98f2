package crossing

import (
	"cmp"
	"errors"
	"fmt"
	"slices"
	"strings"

	"ferry/boot"
	"ferry/phys"
)

// ErrNone is wrapped by the error of a run to which no handover came, though a
// command line announces one.
var ErrNone = errors.New("no handover came in")

// withoutHandover starts a kernel if no handover came in, and so nothing can be lost but
// one that should have come: see announced. If the payload names the kernel that one
// comes from, or how many sessions have to come in, on-error=halt halts.
func (w *WayOut) withoutHandover() (jump Jump, err error) {
	s := w.start
	w.report.begin(stepPlace)
	if err := s.announced(); err != nil {
		return w.missing(err)
	}
	defer func() {
		if err == nil && len(w.report.verdict) == 0 {
			w.report.last("NO HANDOVER CAME IN: what starts now boots cold, without any state of the kernel before")
		}
	}()
	missed := s.checkSessions(0)
	w.report.fail(missed)
	if w.policy == OnErrorHalt && missed != nil {
		return Jump{}, fmt.Errorf("no handover came in: %w: %w", missed, ErrHalt)
	}
	if from := cmp.Or(s.options.From, s.payload.Manifest.From); w.policy == OnErrorHalt && from != "" {
		return Jump{}, fmt.Errorf("no handover came in, and the load expects that of %s: %w", phys.Quote(from), ErrHalt)
	}
	back := w.policy == OnErrorRollback && s.rollback != nil && s.rollback.bad == nil
	err = s.next.bad
	if back && err == nil {
		err = missed
	}
	if err == nil {
		w.report.note("no handover came in: the next kernel boots cold")
		next := s.next.Next
		if w.policy == OnErrorCold {
			next = w.cold()
		}
		jump, err = w.startNow(bootedCold, next)
	}
	if err == nil || !back {
		return jump, err
	}
	if s.next.bad == nil && missed == nil {
		w.report.fail(err)
	}
	w.report.note("no handover came in, back to the kernel before: the rollback kernel boots cold")
	return w.startNow(bootedCold, s.rollback.Next)
}

// missing ends a run to which no handover came, though one was announced. Only
// on-error=cold boots a kernel: the kernel before would boot as cold as the next one,
// and what was in its memory, which somebody may want to look at, would be gone.
func (w *WayOut) missing(none error) (Jump, error) {
	if w.policy != OnErrorCold {
		w.report.last("error: "+none.Error(),
			fmt.Sprintf("no kernel to start: on-error=%s starts none without its state, on-error=cold would; memory stays as it is", w.policy))
		return Jump{}, none
	}
	jump, err := Jump{}, w.start.next.bad
	if err == nil {
		jump, err = w.startNow(bootedCold, w.cold())
	}
	if err != nil {
		w.report.fail(none)
		return Jump{}, err
	}
	w.report.last("error: "+none.Error(), coldNote)
	return jump, nil
}

// announced returns the error of a run without a handover, nil if nobody announced one.
func (s *Started) announced() error {
	word := turnedOn(s.params.Cmdline)
	if word == "" {
		word = turnedOn(s.next.Cmdline)
	}
	if word == "" {
		return nil
	}
	return &phys.Error{Object: "boot: setup_data", Addr: s.params.ZeroPage, Found: ErrNone.Error(), Want: "one, as the command line says " + phys.Quote(word),
		Hint: "load with `ferry load` or `kexec -s`; `kexec -c` hands nothing over, nor does Linux 6.17 or 6.18 unless 1 was written " +
			"to kho/out/finalize in debugfs before the load", Err: ErrNone}
}

// turnedOn returns the word by which a command line turns live update or KHO on, ""
// if it does not. The last word of a name counts.
func turnedOn(line string) (word string) {
	for _, name := range []string{"liveupdate", "kho"} {
		on := ""
		for o := range boot.Options(line) {
			if o.Name != name {
				continue
			}
			if on = ""; isTrue(o.Value) {
				on = o.Name + "=" + o.Value
			}
		}
		if on != "" {
			return on
		}
	}
	return ""
}

// isTrue reports whether Linux takes a value for true: kstrtobool, which looks at
// the first letter, or the first two.
func isTrue(value string) bool {
	v := strings.ToLower(value)
	return slices.ContainsFunc([]string{"y", "t", "1", "on", "e"}, func(s string) bool { return strings.HasPrefix(v, s) })
}

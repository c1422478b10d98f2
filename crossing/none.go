package crossing

import (
	"cmp"
	"errors"
	"fmt"
	"slices"
	"strings"

	"ferry/boot/cmdline"
	"ferry/phys"
)

// ErrNone is wrapped by the error of a run that got no handover, though a
// command line announces one.
var ErrNone = errors.New("no handover came in")

// withoutHandover starts a kernel if no handover came in. Nothing can be lost then,
// except one that was announced: see announced. If the payload names the kernel that one
// comes from, or how many sessions have to come in, on-error=halt halts.
func (w *WayOut) withoutHandover() (Jump, error) {
	s := w.start
	w.report.begin(stepPlace)
	if err := s.announced(); err != nil {
		return w.missing(err)
	}
	if from := cmp.Or(s.options.From, s.payload.Manifest.From); w.policy == OnErrorHalt && from != "" {
		return Jump{}, fmt.Errorf("no handover came in, and the load expects that of %s: %w", phys.Quote(from), ErrHalt)
	}
	w.report.because("no handover came in")
	missed := s.checkSessions(0)
	w.report.fail(missed)
	if w.policy == OnErrorHalt && missed != nil {
		return Jump{}, ErrHalt
	}
	back := w.policy == OnErrorRollback && s.rollback != nil && s.rollback.bad == nil
	err := s.next.bad
	if back && err == nil {
		err = missed
	}
	if err == nil {
		next := s.next.Next
		if w.policy == OnErrorCold {
			next = w.cold()
		}
		var jump Jump
		if jump, err = w.startNow(bootedCold, s.next.release, next); err == nil {
			return jump, nil
		}
	}
	if !back {
		return Jump{}, err
	}
	w.report.fail(err)
	w.report.because("the rollback kernel boots instead")
	return w.startNow(bootedCold, s.rollback.release, s.rollback.Next)
}

// missing ends a run that got no handover, though one was announced. Only
// on-error=cold boots a kernel: the kernel before would boot as cold as the next one,
// and the contents of its memory, which may be wanted, would be gone.
func (w *WayOut) missing(none error) (Jump, error) {
	w.report.fail(none)
	if w.policy != OnErrorCold {
		return Jump{}, fmt.Errorf("on-error=%s starts no kernel without its state, on-error=cold would", w.policy)
	}
	if err := w.start.next.bad; err != nil {
		return Jump{}, err
	}
	w.report.because("its state is lost, as on-error=cold says")
	return w.startNow(bootedCold, w.start.next.release, w.cold())
}

// announced returns the error of a run without a handover, nil if none was announced.
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
		for o := range cmdline.Options(line) {
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

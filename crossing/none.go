package crossing

import (
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

// announced returns the error of a run without a handover, nil if nobody announced one.
func (p *passage) announced() error {
	word := turnedOn(p.params.Cmdline)
	if word == "" {
		word = turnedOn(p.next.Cmdline)
	}
	if word == "" {
		return nil
	}
	return &phys.Error{Object: "boot: setup_data", Addr: p.params.ZeroPage, Found: ErrNone.Error(), Want: "one, as the command line says " + phys.Quote(word),
		Hint: "load with `ferry load` or `kexec -s`; `kexec -c` hands nothing over, nor does Linux 6.17 or 6.18 unless 1 was written " +
			"to kho/out/finalize in debugfs before the load", Err: ErrNone}
}

// noneCame ends a run to which no handover came, though one was announced. Only
// on-error=cold boots a kernel: the kernel before would boot as cold as the next one,
// and what was in its memory, which somebody may want to look at, would be gone.
func (p *passage) noneCame(none error) (Jump, error) {
	if p.way.outcome != OnErrorCold {
		p.report.last("error: "+none.Error(),
			fmt.Sprintf("no kernel to start: on-error=%s starts none without its state, on-error=cold would; memory stays as it is", p.way.outcome))
		return Jump{}, none
	}
	jump, err := Jump{}, p.badNext
	if err == nil {
		jump, err = p.start(p.cold())
	}
	if err != nil {
		p.report.fail(none)
		return Jump{}, err
	}
	p.report.last("error: "+none.Error(), coldNote)
	return jump, nil
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

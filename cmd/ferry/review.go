package main

import (
	"errors"
	"fmt"
)

// A review collects objections to a crossing that the operator may overrule, and warnings.
type review struct {
	forced   bool // the operator overrules every doubt
	doubts   []error
	warnings []string
}

// A doubt is a reason to stop that the operator may overrule.
type doubt struct {
	what string // what is wrong
	lost string // what it costs
	do   string // what to do instead
}

func (d *doubt) Error() string {
	return fmt.Sprintf("%s; that way %s (%s; --force overrules it)", d.what, d.lost, d.do)
}

// doubt adds a reason to stop.
func (r *review) doubt(what, lost, do string) {
	r.doubts = append(r.doubts, &doubt{what, lost, do})
}

// warn adds what the operator should know.
func (r *review) warn(format string, args ...any) {
	r.warnings = append(r.warnings, fmt.Sprintf(format, args...))
}

// err returns the doubts that nobody overruled as one error, nil if there is none.
func (r *review) err() error {
	if r.forced {
		return nil
	}
	return errors.Join(r.doubts...)
}

// print says what was overruled, and the warnings.
func (r *review) print(say func(name, text string)) {
	for _, err := range r.doubts {
		if d, ok := err.(*doubt); ok {
			say("FORCED", d.what+"; that way "+d.lost)
		}
	}
	for _, w := range r.warnings {
		say("warning", w)
	}
}

package crossing

import (
	"fmt"
	"slices"
	"strings"
)

// Mode says what happens to the handover on its way.
type Mode string

// Modes, as `ferry.mode=` names them.
const (
	Cross Mode = "cross" // restore and write again: the default
	Pass  Mode = "pass"  // hand on as it came, unread
)

// Outcome says what follows a failure before the jump.
type Outcome string

// Outcomes, as `ferry.on-error=` names them. None of them has changed a byte of
// the incoming handover.
const (
	OnErrorPass Outcome = "pass" // B boots with the untouched handover: the default
	OnErrorCold Outcome = "cold" // B boots without a handover: its state is lost
	OnErrorHalt Outcome = "halt" // the machine stands still, memory intact
)

// Options are Ferry's own words of the command line.
type Options struct {
	Mode    Mode
	OnError Outcome
}

// prefix marks the words of the command line that are Ferry's and do not reach
// the next kernel.
const prefix = "ferry."

// ParseOptions reads Ferry's words out of a kernel command line; the last one
// of a name wins. An unknown name or value is an error: a misspelled policy
// must not silently become another one. The options returned with an error hold
// what was understood.
func ParseOptions(cmdline string) (Options, error) {
	o := Options{Mode: Cross, OnError: OnErrorPass}
	var bad error
	for _, word := range strings.Fields(cmdline) {
		if word == "--" {
			break // the rest is for init
		}
		rest, ok := strings.CutPrefix(word, prefix)
		if !ok {
			continue
		}
		name, value, _ := strings.Cut(rest, "=")
		var known []string
		switch name {
		case "mode":
			if known = []string{string(Cross), string(Pass)}; slices.Contains(known, value) {
				o.Mode = Mode(value)
				continue
			}
		case "on-error":
			if known = []string{string(OnErrorPass), string(OnErrorCold), string(OnErrorHalt)}; slices.Contains(known, value) {
				o.OnError = Outcome(value)
				continue
			}
		default:
			bad = fmt.Errorf("command line: unknown word %q, want ferry.mode= or ferry.on-error=", word)
			continue
		}
		bad = fmt.Errorf("command line: %q, want ferry.%s=%s", word, name, strings.Join(known, "|"))
	}
	return o, bad
}

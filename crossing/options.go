package crossing

import (
	"fmt"
	"slices"
	"strings"
	"time"

	"ferry/boot"
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

	// BeyondLimits lets a state that is larger than the kernels of B's generation
	// write be written for them as far as they read it.
	BeyondLimits bool

	// Deadline is how long the crossing may take before it counts as failed; 0
	// is any time.
	Deadline time.Duration
}

// defaultDeadline is far beyond what a crossing takes, even of half a million
// sessions on an emulated processor.
const defaultDeadline = 5 * time.Minute

// prefix marks the words of the command line that are Ferry's and do not reach
// the next kernel.
const prefix = "ferry."

// words says what of Ferry's may stand on a command line.
const words = "ferry.mode=cross|pass, ferry.on-error=pass|cold|halt, ferry.beyond-limits=0|1 or ferry.deadline=10s (0: none)"

// ParseOptions reads Ferry's words out of a kernel command line; the last one
// of a name wins. An unknown name or value is an error: a misspelled policy
// must not silently become another one. The options returned with an error hold
// what was understood.
func ParseOptions(cmdline string) (o Options, bad error) {
	o = Options{Mode: Cross, OnError: OnErrorPass, Deadline: defaultDeadline}
	for _, word := range boot.Options(cmdline) {
		name, ours := strings.CutPrefix(word.Name, prefix)
		if !ours {
			continue
		}
		deadline, err := time.ParseDuration(word.Value)
		switch mode, outcome := Mode(word.Value), Outcome(word.Value); {
		case name == "mode" && slices.Contains([]Mode{Cross, Pass}, mode):
			o.Mode = mode
		case name == "on-error" && slices.Contains([]Outcome{OnErrorPass, OnErrorCold, OnErrorHalt}, outcome):
			o.OnError = outcome
		case name == "beyond-limits" && (word.Value == "0" || word.Value == "1"):
			o.BeyondLimits = word.Value == "1"
		case name == "deadline" && err == nil && deadline >= 0:
			o.Deadline = deadline
		default:
			bad = fmt.Errorf("command line: %s=%s: want %s", word.Name, word.Value, words)
		}
	}
	return o, bad
}

package crossing

import (
	"fmt"
	"slices"
	"strconv"
	"strings"
	"time"

	"ferry/boot/cmdline"
	"ferry/boot/payload"
	"ferry/phys"
)

// Mode says what happens to the handover on its way.
type Mode string

// Modes, as `ferry.mode=` names them.
const (
	Cross Mode = "cross" // restore and write again: the default
	Pass  Mode = "pass"  // hand on as it is, unread
)

// Outcome says what follows a failure before the jump.
type Outcome string

// Outcomes, as `ferry.on-error=` names them. None of them has changed a byte of
// the incoming handover.
const (
	OnErrorRollback Outcome = payload.OnErrorRollback // the payload's second kernel boots with the untouched handover
	OnErrorPass     Outcome = payload.OnErrorPass     // B boots with the untouched handover
	OnErrorCold     Outcome = payload.OnErrorCold     // B boots without a handover: its state is lost
	OnErrorHalt     Outcome = payload.OnErrorHalt     // the machine halts, memory intact
)

// Options are Ferry's own words of the command line.
type Options struct {
	Mode    Mode
	OnError Outcome // empty: the payload says, see [Options.Outcome]

	// From names the kernel that runs, its release or its generation, as ferry load
	// knows it; empty if something else loaded the stage.
	From string

	// BeyondLimits lets a state that is larger than the kernels of B's generation
	// write be written for them as far as they read it.
	BeyondLimits bool

	// Experimental lets generations be read and written that no kernel is known to use.
	Experimental bool

	// ExpectSessions is how many sessions have to come in at least; 0: the
	// payload says.
	ExpectSessions uint64

	// Deadline is how long the crossing may take, from its first step on, before it
	// counts as failed; 0 is any time.
	Deadline time.Duration
}

// prefix marks the words of the command line that are Ferry's and do not reach
// the next kernel.
const prefix = "ferry."

// words lists Ferry's words of a command line.
const words = "ferry.mode=cross|pass, ferry.on-error=rollback|pass|cold|halt, ferry.beyond-limits=0|1, ferry.experimental=0|1, ferry.expect-sessions=10, " +
	"ferry.deadline=10s (1s to 24h; 0: none), ferry.from=6.18 (a release or a generation) or ferry.ram=size@start,..."

// ParseOptions reads Ferry's words out of a kernel command line; the last one
// of a name wins. An unknown name or value is an error: a misspelled policy
// must not silently become another one. The options returned with an error hold
// what was understood.
func ParseOptions(line string) (o Options, bad error) {
	o = Options{Mode: Cross, Deadline: defaultDeadline}
	for word := range cmdline.Options(line) {
		name, ours := strings.CutPrefix(word.Name, prefix)
		if !ours {
			continue
		}
		switch mode := Mode(word.Value); {
		case name == "mode" && slices.Contains([]Mode{Cross, Pass}, mode):
			o.Mode = mode
		case name == "on-error" && slices.Contains(payload.Outcomes(), word.Value):
			o.OnError = Outcome(word.Value)
		case name == "from" && (ByName(word.Value) != nil || ByRelease(word.Value) != nil):
			o.From = word.Value
		case name == "beyond-limits" && (word.Value == "0" || word.Value == "1"):
			o.BeyondLimits = word.Value == "1"
		case name == "experimental" && (word.Value == "0" || word.Value == "1"):
			o.Experimental = word.Value == "1"
		case name == "expect-sessions" && isCount(word.Value):
			o.ExpectSessions, _ = strconv.ParseUint(word.Value, 10, 32)
		case name == "deadline" && isDeadline(word.Value):
			o.Deadline, _ = time.ParseDuration(word.Value)
		case name == "ram" && cmdline.OnlyRAM(word.Value): // for the board and package boot
		case bad == nil:
			bad = fmt.Errorf("command line: %s: want %s", phys.Quote(word.Word), words)
		}
	}
	return o, bad
}

// isDeadline reports whether s says how long a crossing may take. The length is bounded
// because package time quotes all of the text in its error.
func isDeadline(s string) bool {
	if len(s) > 64 {
		return false
	}
	d, err := time.ParseDuration(s)
	return err == nil && (d == 0 || d >= MinDeadline && d <= maxDeadline)
}

// isCount reports whether s is a number of sessions.
func isCount(s string) bool {
	_, err := strconv.ParseUint(s, 10, 32)
	return len(s) <= 10 && err == nil
}

// Outcome returns what follows a failure. The command line, which is not signed, cannot
// change what a signed manifest says or leaves open; else the command line has the last
// word. If neither says, the rollback kernel gets the handover if there is one, and the
// next kernel if not.
func (o Options) Outcome(m payload.Manifest, signed bool) Outcome {
	switch {
	case o.OnError != "" && !signed:
		return o.OnError
	case m.OnError != "":
		return Outcome(m.OnError)
	case m.Rollback != nil:
		return OnErrorRollback
	}
	return OnErrorPass
}

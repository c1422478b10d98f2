package main

import (
	"fmt"
	"io"

	"ferry/boot/payload"
	"ferry/crossing"
)

// A briefing is what an operator reads before there is anything to lose: a few plain lines.
type briefing struct {
	m               payload.Manifest
	from            string               // who hands over
	gen             *crossing.Generation // that writes it, nil if that is unknown
	next, back      string               // what the kernels are, in words
	nextLine        string               // what command line the next kernel gets, and where that comes from
	backLine        string               // as well for the rollback kernel
	outcome, reason string               // what follows a failure, and why if that is not plain
	unread          bool                 // the next kernel gets the handover as it came
	signer          string
}

// linePrinter prints lines of a name and a text.
func linePrinter(out io.Writer) func(name, text string) {
	return func(name, text string) { fmt.Fprintf(out, "%-32s %s\n", name, text) }
}

func (b *briefing) print(say func(name, text string)) {
	say("from", b.from)
	say("to", b.next)
	say("with the command line", b.nextLine)
	if b.m.Rollback != nil {
		say("back to", b.back)
		say("with the command line", b.backLine)
	}
	success := "the next kernel boots with everything that was preserved" + b.unless()
	if b.unread {
		success = "the next kernel boots with the handover as it came, unread"
	}
	say("on success", success)
	say("after a failure", b.failure())
	if n := b.m.ExpectSessions; n > 0 {
		say("expected sessions", fmt.Sprintf("at least %d, fewer are a failure", n))
	}
	say("serial", fmt.Sprint(b.m.Serial))
	say("signer", b.signer)
}

// failure says what follows a failure.
func (b *briefing) failure() string {
	failure := map[string]string{
		payload.OnErrorRollback: "the rollback kernel boots with the untouched handover",
		payload.OnErrorPass:     "the next kernel boots with the untouched handover",
		payload.OnErrorCold:     "the next kernel boots without the handover, its state is lost",
		payload.OnErrorHalt:     "the machine halts, memory intact",
	}[b.outcome]
	if b.reason != "" {
		failure += "; " + b.reason
	}
	return b.outcome + ": " + failure
}

// unless says what is too much for the next kernel, if anything may be.
func (b *briefing) unless() string {
	from, to := b.gen, crossing.ByName(b.m.Kernel.Generation)
	if from == nil || to == nil {
		return ""
	}
	switch crosses(from, to) {
	case withinLimits:
		return "; more than its limits (see ferry abi) is a failure"
	case noSessions:
		return "; any session is a failure, it has none"
	}
	return ""
}

// linuxOf names a kernel by its release.
func linuxOf(release string) string {
	if release == "" {
		return "a kernel that does not name its release"
	}
	return "Linux " + release
}

// handsOver names the kernel that hands over, by what a manifest says of it.
func handsOver(from string) string {
	g := generationOf(from)
	switch {
	case g == nil:
		return "the kernel that runs then, which ferry load names to the stage"
	case g.Name == from:
		return "a kernel of generation " + g.String()
	}
	return fmt.Sprintf("Linux %s, generation %v", from, g)
}

// described names a kernel of a payload and what it reads.
func described(info payload.KernelInfo) string {
	reads := "the formats that it reads are unknown"
	if g := crossing.ByName(info.Generation); g != nil {
		reads = "generation " + g.String()
	}
	return linuxOf(info.Release) + ", " + reads
}

package crossing

import (
	"cmp"
	"fmt"
	"io"
	"slices"
	"strings"
	"time"

	"ferry/kho"
	"ferry/phys"
)

// Census counts what one handover holds.
type Census struct {
	Formats       string // its version strings, and the generation if they are of one
	Sessions      int
	Files         int
	SessionBlocks int // stretches of session records: blocks of a chain, or an array
	FileBlocks    int // stretches of file records
	Subtrees      int
	Preserved     uint64 // entries of the preserved-memory map
	Nodes         int    // pages of the map itself
}

// census counts what is in a handover that was proved.
func (in *Incoming) census() Census {
	c := Census{Formats: in.contents().formats(), Sessions: in.state.Len(), Files: in.state.Files(), Subtrees: len(in.Subtrees()),
		Preserved: in.Map().Count(), Nodes: len(in.Map().Nodes())}
	c.SessionBlocks, c.FileBlocks = in.state.Blocks()
	return c
}

// step is one part of a crossing.
type step int

// The parts of a crossing, in order. After a failure the last one follows.
const (
	stepBoot step = iota
	stepPayload
	stepDigests
	stepScratch
	stepFallback
	stepKHO
	stepLUO
	stepFiles
	stepSerialize
	stepCommit
	stepVerify
	stepPlace
)

var stepNames = [...]string{"boot", "payload", "digests", "scratch", "fallback", "kho", "luo", "files", "serialize", "commit", "verify", "place"}

func (s step) String() string { return stepNames[s] }

// Step is one part of a crossing and how long it took.
type Step struct {
	Name        string
	Nanoseconds int64
}

// Report says what happened on one crossing.
type Report struct {
	From, Next string // releases of the kernels before and after; From may be empty
	In, Out    Census
	Changed    kho.Stats
	Steps      []Step     // that are over
	Warnings   []string   // what does not arrive whole, beside all else that does
	Notes      []string   // what else is worth knowing
	Failures   []*Failure // why the handover does not cross

	Reasons []string // what else the verdict says

	ending ending
	loaded string // release of the kernel before, as somebody says

	m            *Machine
	now          step  // the current one
	began, ended int64 // ended: the last step did
}

func newReport(m *Machine) *Report {
	t := m.Nanotime()
	return &Report{m: m, began: t, ended: t}
}

// elapsed returns how long the crossing has taken.
func (r *Report) elapsed() time.Duration { return time.Duration(r.m.Nanotime() - r.began) }

// begin ends the current step and begins another.
func (r *Report) begin(next step) {
	if r.now == next {
		return
	}
	r.endStep()
	r.now = next
	if r.m.Watch != nil {
		r.m.Watch.Step(next.String())
	}
}

func (r *Report) endStep() {
	t := r.m.Nanotime()
	r.Steps = append(r.Steps, Step{r.now.String(), t - r.ended})
	r.ended = t
}

// arrived notes what is worth saying about the incoming handover.
func (r *Report) arrived(in *Incoming) {
	r.In = in.census()
	m, _, _ := in.Metadata() // what is wrong with it is a warning
	r.From = m.Release
	r.warn(in.warnings.lines()...)
	for _, odd := range in.state.Odd() {
		r.warn(phys.In("luo", 0, odd).Error() + "; Linux passes over it")
	}
	r.warn(in.memfd.warnings.lines()...)
	r.noteLeaks(in.leaks)
	for _, h := range in.state.Handlers() {
		if in.known.memfd.ByHandler([]byte(h.Name)) == nil {
			r.note("%d files of handler %s are carried as they are", h.Files, phys.Quote(h.Name))
		}
	}
}

// noteLeaks notes what is preserved for an unknown owner.
func (r *Report) noteLeaks(l leaks) {
	if l.blocks > 0 {
		r.note("%d preserved blocks, %d pages, belong to nothing that is known; they stay preserved. The first is %v of order %d",
			l.blocks, l.pages, l.first.Addr, l.first.Order)
	}
}

// notePool notes where new pages lie, and what becomes of those of earlier crossings.
func (r *Report) notePool(in *Incoming, d *kho.Draft) {
	mib := func(s phys.Ranges) uint64 { return s.Size() >> 20 }
	next := in.Scratch().Add(d.GivenBack()...).Sub(d.Pool()...)
	r.note("new pages: %d MiB cut off scratch at %v; %d MiB of earlier crossings go back; the next kernel has %d MiB of scratch, and %d MiB that may go back later",
		mib(d.Pool()), d.Pool()[0].Start, mib(d.GivenBack()), mib(next), mib(d.Pool())+mib(d.Remembered()))
	if in.Forgotten() != nil {
		r.note("what earlier crossings cut off scratch does not go back before the machine boots cold: %v", in.Forgotten())
	}
}

// warn notes what the operator should not miss.
func (r *Report) warn(warnings ...string) { r.Warnings = append(r.Warnings, warnings...) }

// note notes something, once.
func (r *Report) note(format string, args ...any) {
	if s := fmt.Sprintf(format, args...); !slices.Contains(r.Notes, s) {
		r.Notes = append(r.Notes, s)
	}
}

// fail notes a failure, or several, each once; nil is none.
func (r *Report) fail(err error) {
	for _, f := range failures(err) {
		if r.has(f) {
			continue
		}
		f.Step = r.now.String()
		r.Failures = append(r.Failures, f)
		if r.m.Watch != nil && len(r.Failures) == 1 {
			r.m.Watch.Failed(f)
		}
	}
}

// has reports whether a failure is noted already.
func (r *Report) has(f *Failure) bool {
	return slices.ContainsFunc(r.Failures, func(g *Failure) bool { return g.String() == f.String() })
}

// failed reports whether anything failed.
func (r *Report) failed() bool { return len(r.Failures) > 0 }

// because adds to the verdict what is no failure; "" is nothing.
func (r *Report) because(reason string) {
	if reason != "" {
		r.Reasons = append(r.Reasons, reason)
	}
}

// end ends the report of a crossing that starts a kernel of this release.
func (r *Report) end(how ending, release string) {
	r.ending, r.Next = how, release
	r.endStep()
}

// halt notes why there is no kernel to start, and returns that together with all
// failures.
func (r *Report) halt(err error) error {
	if !r.failed() {
		r.fail(err)
	}
	r.end(halted, "")
	var all phys.Errors
	for _, f := range failures(err) {
		if !r.has(f) {
			all.Add(f.Err) // first: why the machine halts is kept, however much failed
			r.because(f.String())
		}
	}
	r.Warnings = slices.DeleteFunc(r.Warnings, func(w string) bool { // what the verdict says too
		return slices.ContainsFunc(r.Reasons, func(reason string) bool { return strings.HasSuffix(w, reason) })
	})
	for _, f := range r.Failures {
		all.Add(f.Err)
	}
	return all.Err()
}

// print writes the report as lines that start with "ferry:", the machine's figures
// among them. What is wrong comes last, and each of it once: the first failure is in
// the verdict, which is the last line.
func (r *Report) print(w io.Writer) {
	for _, n := range r.Notes {
		say(w, "%s", n)
	}
	if r.ending == crossed {
		r.printCensus(w)
	}
	for _, s := range r.Steps {
		say(w, "%-10s %9.3f ms", s.Name, float64(s.Nanoseconds)/1e6)
	}
	say(w, "%-10s %9.3f ms", "total", float64(r.total())/1e6)
	if r.m.Figures != nil {
		for _, line := range r.m.Figures() {
			say(w, "%s", line)
		}
	}
	for _, line := range r.Warnings {
		say(w, "warning: %s", line)
	}
	for i, f := range r.Failures {
		for line := range strings.Lines(f.Trace) {
			say(w, "trace: %s", strings.TrimSuffix(line, "\n"))
		}
		if i > 0 {
			say(w, "error: %v", f)
		}
	}
	say(w, "%s", r.verdict())
}

// say writes one line of the report.
func say(w io.Writer, format string, args ...any) { fmt.Fprintf(w, "ferry: "+format+"\n", args...) }

// total returns what all steps took, in nanoseconds.
func (r *Report) total() int64 { return r.ended - r.began }

// verdict says in one line how the crossing ends and why, and what to do if it halts.
func (r *Report) verdict() string {
	if r.ending == crossed {
		line := fmt.Sprintf("CROSSED %s -> %s: %d sessions, %d files, %d ms", r.source(), shortRelease(r.Next), r.Out.Sessions, r.Out.Files, r.total()/1e6)
		return strings.Join(append([]string{line}, r.Reasons...), "; ")
	}
	line := endings[r.ending].verdict
	if r.ending != halted {
		line = fmt.Sprintf(line, shortRelease(r.Next))
	}
	var why []string
	if r.failed() {
		why = append(why, r.Failures[0].String())
		if n := len(r.Failures) - 1; n > 0 {
			why = append(why, fmt.Sprintf("and %d more, see above", n))
		}
	}
	why = append(why, r.Reasons...)
	if r.ending == halted {
		why = append(why, "memory intact", "do: dump the memory for `ferry inspect`, then restart the machine")
	}
	return line + ": " + strings.Join(why, "; ")
}

// source names the kernel before in a verdict: by its release, or else by what it writes.
func (r *Report) source() string {
	if from := cmp.Or(r.From, r.loaded); from != "" {
		return shortRelease(from)
	}
	if _, generation, ok := strings.Cut(r.In.Formats, ": "); ok {
		return generation
	}
	return r.In.Formats
}

// shortRelease returns a release without what the kernel's builder added to it, in
// characters that a console shows as they are.
func shortRelease(s string) string {
	s, _, _ = strings.Cut(strings.ReplaceAll(s, "\n", " "), " ")
	if s == "" {
		return "an unnamed kernel"
	}
	return cut(strings.Map(func(r rune) rune {
		if r <= ' ' || r > '~' {
			return '?'
		}
		return r
	}, s), 64)
}

// release quotes a release; older kernels do not name themselves.
func release(s string) string {
	if s == "" {
		return "a kernel that does not name itself"
	}
	return phys.Quote(s)
}

func (r *Report) printCensus(w io.Writer) {
	say(w, "from %s (%s) to %s (%s)", release(r.From), r.In.Formats, release(r.Next), r.Out.Formats)
	say(w, "%-20s %10s %10s", "", "in", "out")
	for _, l := range []struct {
		name    string
		in, out uint64
	}{
		{"sessions", uint64(r.In.Sessions), uint64(r.Out.Sessions)},
		{"files", uint64(r.In.Files), uint64(r.Out.Files)},
		{"session blocks", uint64(r.In.SessionBlocks), uint64(r.Out.SessionBlocks)},
		{"file blocks", uint64(r.In.FileBlocks), uint64(r.Out.FileBlocks)},
		{"preserved blocks", r.In.Preserved, r.Out.Preserved},
		{"map nodes", uint64(r.In.Nodes), uint64(r.Out.Nodes)},
	} {
		say(w, "%-20s %10d %10d", l.name, l.in, l.out)
	}
	say(w, "%d blocks added, %d retired, %d pages taken", r.Changed.Preserved, r.Changed.Retired, r.Changed.Pages)
}

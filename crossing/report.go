package crossing

import (
	"errors"
	"fmt"
	"io"
	"slices"
	"strings"
	"time"

	"ferry/kho"
	"ferry/memfd"
	"ferry/phys"
)

// Census counts what one handover holds.
type Census struct {
	Formats       string // its version strings, and the generation where they tell it
	Sessions      int
	Files         int
	SessionBlocks int // stretches of session records: blocks of a chain, or an array
	FileBlocks    int // stretches of file records
	Subtrees      int
	Preserved     uint64 // entries of the preserved-memory map
	Nodes         int    // pages of the map itself
}

// census counts what is in a handover that was proved.
func (in *handover) census() Census {
	c := Census{Formats: in.formats(), Sessions: in.state.Len(), Files: in.state.Files(), Subtrees: len(in.Subtrees),
		Preserved: in.Map.Count(), Nodes: len(in.Map.Nodes())}
	c.SessionBlocks, c.FileBlocks = in.state.Blocks()
	return c
}

// formats names what the handover is written in.
func (in *handover) formats() string {
	text := in.Format().String()
	if f := in.state.Format(); f != nil {
		text += ", " + f.String()
	}
	for _, f := range in.memfd.formats {
		text += ", " + f.Handler()
	}
	if gs := written(in.Format(), in.state.Format()); len(gs) == 1 {
		text += ": generation " + gs[0].Name
	}
	return text
}

// Step is one part of a crossing and how long it took.
type Step struct {
	Name        string
	Nanoseconds int64
}

// Report says what happened on one crossing.
type Report struct {
	From, Next string // releases of the kernels before and after, where they say
	In, Out    Census
	Changed    kho.Stats
	Steps      []Step
	Warnings   []string // what does not arrive whole, beside all else that does
	Notes      []string
	Failures   []error

	verdict []string // what is said last

	now          func() int64
	began, ended int64 // ended: the last step did
}

func (r *Report) start(now func() int64) {
	r.now, r.began = now, now()
	r.ended = r.began
}

// elapsed returns how long the crossing has taken.
func (r *Report) elapsed() time.Duration { return time.Duration(r.now() - r.began) }

// arrived notes what is worth saying about the handover that came in.
func (r *Report) arrived(in *handover) {
	if m, ok, _ := in.Metadata(); ok { // what is wrong with it is a warning
		r.From = m.Release
	}
	r.Warnings = append(r.Warnings, in.odd.lines()...)
	for _, odd := range in.state.Odd() {
		r.Warnings = append(r.Warnings, phys.In("luo", 0, odd).Error()+"; Linux passes over it")
	}
	r.Warnings = append(r.Warnings, in.memfd.warnings.lines()...)
	r.kept(in.leaks)
	for _, h := range in.state.Handlers() {
		if memfd.ByHandler([]byte(h.Name)) == nil {
			r.note(fmt.Sprintf("%d files of handler %s are carried as they are", h.Files, phys.Quote(h.Name)))
		}
	}
}

// kept notes what is preserved for somebody unknown.
func (r *Report) kept(l leaks) {
	if l.blocks > 0 {
		r.note(fmt.Sprintf("%d preserved blocks, %d pages, belong to nothing that is known; they stay preserved. The first is %v of order %d",
			l.blocks, l.pages, l.first.Addr, l.first.Order))
	}
}

// pool notes where new pages lie, and what becomes of those of earlier crossings.
func (r *Report) pool(in *handover, d *kho.Draft) {
	mib := func(s phys.Ranges) uint64 { return s.Size() >> 20 }
	next := in.Scratch.Add(d.GivenBack()...).Sub(d.Pool()...)
	r.note(fmt.Sprintf("new pages: %d MiB cut off scratch at %v; %d MiB of earlier crossings go back; the next kernel has %d MiB of scratch, and %d MiB that may go back later",
		mib(d.Pool()), d.Pool()[0].Start, mib(d.GivenBack()), mib(next), mib(d.Pool())+mib(d.Remembered())))
	if in.Forgotten != nil {
		r.note(fmt.Sprintf("what earlier crossings cut off scratch does not go back before the machine boots cold: %v", in.Forgotten))
	}
}

// leaving notes what does not stay as it is.
func (r *Report) leaving(in *handover, t *target) {
	if s, ok := in.Subtree(kho.TestName); ok && !t.kho.ReadsTests(in.Format()) {
		r.note(fmt.Sprintf("%v is carried as it is: the test of the next kernel does not read such a list of folios", s))
	}
	if n := in.memfd.unset; n > 0 {
		r.note(fmt.Sprintf("repaired: %d folios were not recorded as up to date and written to; those never written to become zeros", n))
	}
	for _, s := range t.drop {
		r.note(fmt.Sprintf("%v is left out: the next kernel takes every sub-tree for a device tree", s))
	}
	if t.luo == nil || in.state.Absent() {
		return
	}
	if in.state.NoFLBs() && t.luo.HoldsFLBs() {
		r.note("repaired: the state came without a list of FLBs; an empty one is written")
		if in.state.Files() > 0 {
			r.note("a kernel that has FLBs of its own, such as one with CONFIG_LIVEUPDATE_TEST, warns once that a count underflows: known, and harmless")
		}
	}
	if !t.luo.HoldsFLBs() {
		for _, f := range in.state.FLBs() {
			r.note(fmt.Sprintf("FLB %s is left out: the next kernel has no list of FLBs", phys.Quote(f.Name())))
		}
	}
	r.seals(in, t)
}

// seals notes what becomes of seals where one of the two formats has none.
func (r *Report) seals(in *handover, t *target) {
	for _, f := range in.memfd.formats {
		switch {
		case f == t.memfd || t.memfd == nil:
		case !t.memfd.HoldsSeals():
			r.note("memfds arrive sealed against more seals (0x1): the next kernel does so with every file")
		case !f.HoldsSeals():
			r.note("memfds came without a record of seals; they arrive sealed against more (0x1), as the kernel before would have restored them")
		}
	}
}

// step ends the part of the crossing that began with the step before.
func (r *Report) step(name string) {
	t := r.now()
	r.Steps = append(r.Steps, Step{name, t - r.ended})
	r.ended = t
}

// note notes something, once.
func (r *Report) note(s string) {
	if !slices.Contains(r.Notes, s) {
		r.Notes = append(r.Notes, s)
	}
}

// fail notes a failure, once; nil is none.
func (r *Report) fail(err error) {
	if err != nil && !slices.ContainsFunc(r.Failures, func(f error) bool { return f.Error() == err.Error() }) {
		r.Failures = append(r.Failures, err)
	}
}

// last is what is said at the very end.
func (r *Report) last(lines ...string) { r.verdict = lines }

// halting notes that there is no kernel to start, and of the reasons those that are
// no failures.
func (r *Report) halting(err error) {
	if len(r.verdict) > 0 {
		return
	}
	said := strings.Split(errorText(r.failed()), "\n")
	for _, line := range strings.Split(err.Error(), "\n") {
		if !slices.Contains(said, line) {
			r.verdict = append(r.verdict, line)
		}
	}
	r.verdict = append(r.verdict, "no kernel to start; the handover that came in is untouched")
}

func errorText(err error) string {
	if err == nil {
		return ""
	}
	return err.Error()
}

// lines describes the failures, one finding a line.
func (r *Report) lines() (all []string) {
	for _, err := range r.Failures {
		if f, ok := err.(*findings); ok {
			all = append(all, f.lines()...)
			continue
		}
		all = append(all, strings.Split(err.Error(), "\n")...)
	}
	return all
}

// failed returns all failures as one error, nil where there is none.
func (r *Report) failed() error { return errors.Join(r.Failures...) }

// print writes the report as lines that start with "ferry:", the machine's figures
// among them.
func (r *Report) print(w io.Writer, figures func() []string) {
	for _, line := range r.lines() {
		fmt.Fprintf(w, "ferry: error: %s\n", line)
	}
	for _, line := range r.Warnings {
		fmt.Fprintf(w, "ferry: warning: %s\n", line)
	}
	for _, n := range r.Notes {
		fmt.Fprintf(w, "ferry: %s\n", n)
	}
	if r.Out != (Census{}) {
		r.printCensus(w)
	}
	var total int64
	for _, s := range r.Steps {
		fmt.Fprintf(w, "ferry: %-10s %9.3f ms\n", s.Name, float64(s.Nanoseconds)/1e6)
		total += s.Nanoseconds
	}
	fmt.Fprintf(w, "ferry: %-10s %9.3f ms\n", "total", float64(total)/1e6)
	var last []string
	if figures != nil {
		last = figures()
	}
	for _, line := range append(last, r.verdict...) {
		fmt.Fprintf(w, "ferry: %s\n", line)
	}
}

// release quotes a release; older kernels do not name theirs.
func release(s string) string {
	if s == "" {
		return "a kernel that does not name itself"
	}
	return phys.Quote(s)
}

func (r *Report) printCensus(w io.Writer) {
	fmt.Fprintf(w, "ferry: from %s (%s) to %s (%s)\n", release(r.From), r.In.Formats, release(r.Next), r.Out.Formats)
	fmt.Fprintf(w, "ferry: %-20s %10s %10s\n", "", "in", "out")
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
		fmt.Fprintf(w, "ferry: %-20s %10d %10d\n", l.name, l.in, l.out)
	}
	fmt.Fprintf(w, "ferry: %d blocks added, %d retired, %d pages taken\n", r.Changed.Preserved, r.Changed.Retired, r.Changed.Pages)
}

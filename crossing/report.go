package crossing

import (
	"errors"
	"fmt"
	"io"

	"ferry/kho"
	"ferry/luo"
)

// Census counts what one handover holds.
type Census struct {
	Compatible    string // of the handover
	Sessions      int
	Files         int
	SessionBlocks int // of the chain of sessions
	FileBlocks    int // of all chains of files
	Subtrees      int
	Preserved     uint64 // entries of the preserved-memory map
	Nodes         int    // pages of the map itself
}

func census(h *kho.Handover, st *luo.State) Census {
	c := Census{Compatible: h.Compatible, Sessions: st.Len(), Files: st.Files(), Subtrees: len(h.Subtrees),
		Preserved: h.Map.Count(), Nodes: len(h.Map.Nodes())}
	c.SessionBlocks, c.FileBlocks = st.Blocks()
	return c
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
	Notes      []string
	Failures   []error

	now  func() int64
	last int64
}

func (r *Report) start(now func() int64) { r.now, r.last = now, now() }

// step ends the part of the crossing that began with the step before.
func (r *Report) step(name string) {
	t := r.now()
	r.Steps = append(r.Steps, Step{name, t - r.last})
	r.last = t
}

func (r *Report) note(s string) { r.Notes = append(r.Notes, s) }

// fail notes a failure; nil is none.
func (r *Report) fail(err error) {
	if err != nil {
		r.Failures = append(r.Failures, err)
	}
}

// failed returns all failures as one error, nil where there is none.
func (r *Report) failed() error { return errors.Join(r.Failures...) }

// print writes the report as lines that start with "ferry:".
func (r *Report) print(w io.Writer) {
	for _, err := range r.Failures {
		fmt.Fprintf(w, "ferry: error: %v\n", err)
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
}

func (r *Report) printCensus(w io.Writer) {
	fmt.Fprintf(w, "ferry: from %q (%s) to %q (%s)\n", r.From, r.In.Compatible, r.Next, r.Out.Compatible)
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

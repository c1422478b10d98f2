package crossing

import (
	"fmt"
	"strings"

	"ferry/fdt"
	"ferry/kho"
	"ferry/phys"
)

// The sub-tree in which a crossing reports to the next kernel, and to whoever reads
// kho/in/sub_fdts/ferry in its debugfs. It is a device tree in a
// separate page in every generation, so that every kernel that takes sub-trees
// for device trees can show it and the next crossing can carry or replace it:
//
//	/                compatible "ferry-report-v1", from, to, report: strings
//	/in, /out        formats: string; sessions, files, blocks: u64
//	/memory          used: u64, bytes of the stage's memory, if the machine says so
//	/steps           one u64 for each step: nanoseconds
//
// Numbers are 8 raw little-endian bytes, as in the trees of the kernel. Blocks are
// those of chains, or arrays, of sessions and of files. What is written is what is
// known before the new map is: the counts of out are what the state is written as,
// memory is what was used so far, and the last steps are only on the console. There
// are warnings, but no failures: a crossing that has any leaves no tree.
const (
	reportTree       = "ferry"
	reportCompatible = "ferry-report-v1"

	// Bytes of what may be of any length, so that all of it fits a page.
	maxReportText  = 2 << 10
	maxReleaseText = 256
)

// writeSubtree writes the report into a new page of the draft, in place of that of
// the crossing before.
func (r *Report) writeSubtree(in *Incoming, d *kho.Draft, p *Plan) error {
	if old, ok := in.Subtree(reportTree); ok {
		if err := retire(in, d, old); err != nil {
			return err
		}
	}
	a, page, err := d.Alloc()
	if err != nil {
		return err
	}
	w := fdt.NewWriter(page)
	w.Begin("")
	w.String("compatible", reportCompatible)
	w.String("from", cut(r.From, maxReleaseText))
	w.String("to", cut(r.Next, maxReleaseText))
	w.String("report", r.text())
	writeCounts(w, "in", r.In.Formats, in, r.In.SessionBlocks+r.In.FileBlocks)
	writeCounts(w, "out", formatNames(p.KHO, p.LUO, p.Memfd), in, p.blocks(in))
	if used := r.m.MemoryUsed; used != nil {
		w.Begin("memory")
		w.Uint64("used", used())
		w.End()
	}
	w.Begin("steps")
	for _, s := range r.Steps {
		w.Uint64(s.Name, uint64(s.Nanoseconds))
	}
	w.End()
	w.End()
	size, err := w.Finish()
	if err != nil {
		return phys.In("report", a, err)
	}
	return d.SetSubtree(reportTree, a, uint64(size))
}

func writeCounts(w *fdt.Writer, name, formats string, in *Incoming, blocks int) {
	w.Begin(name)
	w.String("formats", formats)
	w.Uint64("sessions", uint64(in.state.Len()))
	w.Uint64("files", uint64(in.state.Files()))
	w.Uint64("blocks", uint64(blocks))
	w.End()
}

// blocks returns how many blocks hold the records of sessions and files in the new
// handover.
func (p *Plan) blocks(in *Incoming) int {
	if p.LUO == nil {
		return 0
	}
	sessions, files := p.LUO.Blocks(in.state)
	return sessions + files
}

// text is what the report says so far, cut to fit.
func (r *Report) text() string {
	var b strings.Builder
	for _, line := range r.Warnings {
		fmt.Fprintln(&b, "warning:", line)
	}
	for _, n := range r.Notes {
		fmt.Fprintln(&b, n)
	}
	return cut(b.String(), maxReportText)
}

// cut returns at most n bytes of s.
func cut(s string, n int) string {
	if len(s) > n {
		s = s[:n-3] + "..."
	}
	return s
}

// retire takes what a sub-tree of the incoming handover names out of the draft,
// one block if nobody says how large it is.
func retire(in *Incoming, d *kho.Draft, s kho.Subtree) error {
	d.DropSubtree(s.Name)
	r, _ := phys.Span(s.Data, max(s.Size, 1))
	for a := r.Start; a < r.End; {
		b, ok := in.Map().Find(a)
		if !ok {
			break
		}
		if err := d.Retire(b); err != nil {
			return err
		}
		a = b.Range().End
	}
	return nil
}

package crossing

import (
	"fmt"
	"slices"
	"strings"

	"ferry/kho"
	"ferry/luo"
	"ferry/memfd"
	"ferry/phys"
)

// Outgoing is the new handover: written, read back, and found to be what the plan
// makes of the old one. The old one stays as it is.
type Outgoing struct {
	Data kho.Data // names it, in place of the old one
}

// write writes the incoming handover again, as planned, into pages that are cut
// off scratch.
func (p *Plan) write(in *Incoming, w *WayOut, r *Report) (Outgoing, error) {
	var none Outgoing
	draft, err := in.Draft(p.KHO, w.occupied())
	if err != nil {
		return none, err
	}
	defer func() { w.room.newPages = draft.Pool() }()
	if err := p.serialize(in, draft); err != nil {
		return none, err
	}
	r.begin(stepCommit)
	if err := r.writeSubtree(in, draft, p); err != nil {
		return none, err
	}
	data, err := draft.Commit()
	if err != nil {
		return none, err
	}
	r.Changed = draft.Stats()
	r.notePool(in, draft)
	r.begin(stepVerify)
	back := reader{memory: w.room.memory, known: in.known, held: w.start.held(), from: in, step: func(step) {}}
	out, err := back.read(kho.OpenAs, data, p.KHO)
	if err == nil {
		r.Out = out.census()
		err = p.verify(in, out, draft.Pool())
	}
	if err != nil {
		return none, fmt.Errorf("what was written does not read back: %w", err)
	}
	r.begin(stepPlace)
	return Outgoing{Data: data}, nil
}

// serialize writes the state into the draft, and takes out what does not belong
// there any more.
func (p *Plan) serialize(in *Incoming, d *kho.Draft) error {
	for _, s := range p.Drop {
		if err := retire(in, d, s); err != nil {
			return err
		}
	}
	switch {
	case in.state.Absent():
		return nil
	case p.LUO == nil:
		return luo.Drop(in.state, d)
	}
	o := luo.Options{Format: p.LUO, BeyondLimits: p.Beyond}
	if p.Rewrite {
		n := -1
		o.Rewrite = func(_ luo.Session, f luo.File) (string, uint64, error) {
			n++
			return p.rewritten(in, d, f, n)
		}
	}
	return luo.Serialize(in.state, d, o)
}

// rewritten returns the handler and the data of file n in the new handover. A file
// whose handler is not known stays what it is, and one that is damaged becomes one that
// cannot be retrieved.
func (p *Plan) rewritten(in *Incoming, d *kho.Draft, f luo.File, n int) (handler string, data uint64, err error) {
	from := in.known.memfd.ByHandler(f.Handler)
	if from == nil {
		return string(f.Handler), f.Data, nil
	}
	to := p.Memfd
	if to == nil {
		to = from
	}
	if in.memfd.damaged.has(n) {
		a, err := memfd.WriteUnreadable(d, to)
		return to.Handler(), uint64(a), err
	}
	a, err := in.memfd.file(n).Rewrite(d, to)
	return to.Handler(), uint64(a), err
}

// verify compares the handover that reads back with the incoming one.
func (p *Plan) verify(in, out *Incoming, pool phys.Ranges) error {
	if err := sameScratch(in, out, pool); err != nil {
		return err
	}
	if out.memfd.damaged != nil {
		return fmt.Errorf("damaged files: %s", strings.Join(out.memfd.warnings.lines(), "; "))
	}
	if out.Format() != p.KHO {
		return differs("handover in", out.Format(), p.KHO)
	}
	if err := p.sameState(in, out); err != nil {
		return err
	}
	if err := p.sameSubtrees(in, out); err != nil {
		return err
	}
	if got, want := out.leaks.pages, in.leaks.pages; got != want { // large blocks may be split
		return fmt.Errorf("%d preserved pages that belong to nothing, want %d; the first block is %v",
			got, want, out.leaks.first)
	}
	before, err := in.Reserved()
	if err != nil {
		return err
	}
	after, err := out.Reserved()
	if err != nil {
		return err
	}
	if !slices.Equal(before, after) {
		return differs("memory reserved by name", after, before)
	}
	return nil
}

// sameScratch compares the scratch areas and what is remembered as cut off them: no
// byte was added or lost, and the next kernel's scratch is without the pool.
func sameScratch(in, out *Incoming, pool phys.Ranges) error {
	got, want := out.Scratch().Add(out.Remembered()...), in.Scratch().Add(in.Remembered()...)
	if !slices.Equal(got, want) {
		return differs("scratch and pieces of it", got, want)
	}
	if left := out.Scratch().Sub(pool...); left.Size() != out.Scratch().Size() || out.Forgotten() != nil {
		return fmt.Errorf("scratch %v with new pages %v in it, or pieces forgotten: %v", out.Scratch(), pool, out.Forgotten())
	}
	return nil
}

// names returns the names of the sub-trees.
func names(h *Incoming) (all []string) {
	for _, s := range h.Subtrees() {
		all = append(all, s.Name)
	}
	return all
}

// sameSubtrees proves that the new handover has the sub-trees of the old one, except for
// those that the plan leaves out, and the report, in any order.
func (p *Plan) sameSubtrees(in, out *Incoming) error {
	want := slices.DeleteFunc(names(in), func(name string) bool {
		return name == reportTree || name == luo.Subtree && p.LUO == nil ||
			slices.ContainsFunc(p.Drop, func(s kho.Subtree) bool { return s.Name == name })
	})
	want = append(want, reportTree)
	got := names(out)
	left := slices.Clone(got)
	for _, name := range want {
		i := slices.Index(left, name)
		if i < 0 {
			left = append(left, name) // one is missing
			break
		}
		left = slices.Delete(left, i, i+1)
	}
	if len(left) > 0 {
		return differs("sub-trees", phys.QuoteList(slices.Values(got)), phys.QuoteList(slices.Values(want)))
	}
	return nil
}

// differs is the error of something that does not read back as it should.
func differs(what string, got, want any) error { return fmt.Errorf("%s %v, want %v", what, got, want) }

// sameState compares the sessions and files of two handovers. Records of memfds
// that were rewritten are compared by what they name.
func (p *Plan) sameState(in, out *Incoming) error {
	if p.LUO == nil {
		if !out.state.Absent() {
			return differs("a state in", out.state.Format(), "none")
		}
		return nil
	}
	var same func(got, want luo.File) error
	if p.Rewrite {
		n := -1
		same = func(got, want luo.File) error {
			n++
			return sameFile(in, out, got, want, n)
		}
	}
	return out.state.Diff(in.state, same)
}

// sameFile compares file number n of the new handover with the one that it was. One
// that was damaged has to be one that cannot be retrieved.
func sameFile(in, out *Incoming, got, want luo.File, n int) error {
	if in.known.memfd.ByHandler(want.Handler) == nil {
		if string(got.Handler) != string(want.Handler) || got.Data != want.Data {
			return fmt.Errorf("handler %s with data %#x, want %s with %#x", phys.Quote(got.Handler), got.Data, phys.Quote(want.Handler), want.Data)
		}
		return nil
	}
	now := out.memfd.file(n)
	if out.known.memfd.ByHandler(got.Handler) == nil || now == nil {
		return fmt.Errorf("handler %s, want a memfd", phys.Quote(got.Handler))
	}
	if in.memfd.damaged.has(n) {
		if !now.Unreadable() {
			return fmt.Errorf("memfd %v can be retrieved, want one that cannot", now.Addr)
		}
		return nil
	}
	return now.Same(in.memfd.file(n))
}

package crossing

import (
	"fmt"
	"slices"
	"strings"

	"ferry/boot/payload"
	"ferry/kho"
	"ferry/luo"
	"ferry/memfd"
	"ferry/phys"
)

// translate restores the handover that raw names and writes it again for the
// next kernel. It returns the payload that names the new one; the old one stays
// as it is.
func (p *passage) translate(raw *[kho.DataSize]byte) (kho.Data, error) {
	var none kho.Data
	data, err := kho.ParseData(p.params.ZeroPage, raw[:])
	if err != nil {
		return none, err
	}
	t := p.target
	in, err := p.restore(kho.Open, data, t.from.format(), p.step, nil, t.accept)
	if in != nil {
		p.unread(in.Handover)
		p.arm(p.way.plan)
	}
	if err != nil {
		return none, err
	}
	p.came, p.report.In = in, in.census()
	p.report.arrived(in)
	if err := p.expect(in.state.Len()); err != nil {
		return none, err
	}
	if err := t.settle(in); err != nil {
		return none, err
	}
	p.report.leaving(in, t)

	draft, err := in.Draft(t.kho, p.occupied())
	if err != nil {
		return none, err
	}
	defer func() { p.pool = draft.Pool() }()
	if err := t.write(in, draft); err != nil {
		return none, err
	}
	p.step("serialize", "commit")
	if err := p.report.leave(in, draft, t, p.m.MemoryUsed); err != nil {
		return none, err
	}
	out, err := draft.Commit()
	if err != nil {
		return none, err
	}
	p.report.Changed = draft.Stats()
	p.report.pool(in, draft)
	p.step("commit", "verify")
	if err := p.verify(out, in, draft.Pool(), t); err != nil {
		return none, fmt.Errorf("what was written does not read back: %w", err)
	}
	return out, nil
}

// target is what the new handover is to be.
type target struct {
	gen    *Generation // nil: that of the handover that comes in
	from   producer    // of the handover
	beyond bool        // past the limits of gen's writers

	// Known once the handover is.
	kho     *kho.Format
	luo     *luo.Format   // nil: no sub-tree
	memfd   *memfd.Format // nil: files stay as they are
	rewrite bool          // some memfds change
	drop    []kho.Subtree // sub-trees that the next kernel must not get
}

// aim reads the payload's manifest: what the next kernel reads.
func (t *target) aim(m payload.Manifest) error {
	name := m.Kernel.Generation
	if t.gen = ByName(name); name != "" && t.gen == nil {
		return fmt.Errorf("manifest: the next kernel is of generation %s, which this stage does not write", phys.Quote(name))
	}
	return nil
}

// accept refuses a memfd that the next kernel cannot hold.
func (t *target) accept(file *memfd.File) error {
	if t.gen == nil || t.gen.Memfd == nil {
		return nil
	}
	return file.Fits(t.gen.Memfd, t.gen.KHO.MaxRestore())
}

// settle decides how everything in the handover is to be written, and whether it
// can be, before anything is.
func (t *target) settle(in *handover) error {
	if err := t.from.check(in); err != nil {
		return err
	}
	st := in.state
	t.kho, t.luo = in.Format(), st.Format()
	t.rewrite = in.memfd.unset > 0 || in.memfd.damaged != nil
	if t.gen == nil {
		if err := t.from.undecided(in.Handover); err != nil {
			return err
		}
		return t.fits(in)
	}
	t.kho, t.luo, t.memfd = t.gen.KHO, t.gen.LUO, t.gen.Memfd
	for _, f := range in.memfd.formats {
		t.rewrite = t.rewrite || f != t.memfd
	}
	if s, ok := in.Subtree(kho.MetadataName); ok && !t.gen.Metadata {
		t.drop = append(t.drop, s)
	}
	if t.luo == nil {
		return luo.FitsNone(st, fmt.Sprintf("the kernels of generation %v, which have no live update", t.gen))
	}
	return t.fits(in)
}

// fits proves that the state can be written in the target's format.
func (t *target) fits(in *handover) error {
	if t.luo == nil || in.state.Absent() {
		return nil
	}
	return luo.Fits(in.state, t.luo, t.beyond)
}

// write writes the state into the draft, and takes out what does not belong
// there any more.
func (t *target) write(in *handover, d *kho.Draft) error {
	for _, s := range t.drop {
		if err := retire(in, d, s); err != nil {
			return err
		}
	}
	switch {
	case in.state.Absent():
		return nil
	case t.luo == nil:
		return luo.Drop(in.state, d)
	}
	o := luo.Options{Format: t.luo, BeyondLimits: t.beyond}
	if t.rewrite {
		n := -1
		o.Rewrite = func(_ luo.Session, f luo.File) (string, uint64, error) {
			n++
			return t.rewritten(in, d, f, n)
		}
	}
	return luo.Serialize(in.state, d, o)
}

// rewritten returns the handler and the data of file n in the new handover. A file
// whose handler is not known stays what it is, and one that is damaged becomes one that
// cannot be retrieved.
func (t *target) rewritten(in *handover, d *kho.Draft, f luo.File, n int) (handler string, data uint64, err error) {
	from := memfd.ByHandler(f.Handler())
	if from == nil {
		return string(f.Handler()), f.Data(), nil
	}
	to := t.memfd
	if to == nil {
		to = from
	}
	if in.memfd.damaged.has(n) {
		a, err := memfd.WriteUnreadable(d, to)
		return to.Handler(), uint64(a), err
	}
	file, err := in.reopen(f)
	if err != nil {
		return "", 0, err
	}
	if in.memfd.shared.has(n) {
		file.AsIs()
	}
	a, err := file.Rewrite(d, to)
	return to.Handler(), uint64(a), err
}

// verify reads the new handover the way it read the old one, and compares what
// the two preserve.
func (p *passage) verify(d kho.Data, in *handover, pool phys.Ranges, t *target) error {
	out, err := p.restore(kho.OpenAs, d, t.kho, func(string, string) {}, in, nil)
	if err != nil {
		return err
	}
	p.report.Out = out.census()
	if err := sameScratch(in, out, pool); err != nil {
		return err
	}
	if out.memfd.damaged != nil {
		return fmt.Errorf("damaged files: %s", strings.Join(out.memfd.warnings.lines(), "; "))
	}
	if out.Format() != t.kho {
		return fmt.Errorf("handover in %v, want %v", out.Format(), t.kho)
	}
	if err := t.sameState(in, out); err != nil {
		return err
	}
	if got, want := names(out), t.expected(in); !slices.Equal(got, want) {
		return fmt.Errorf("sub-trees %s, want %s", phys.QuoteList(slices.Values(got)), phys.QuoteList(slices.Values(want)))
	}
	if got, want := out.leaks.pages, in.leaks.pages; got != want { // large blocks may be split
		return fmt.Errorf("%d preserved pages that belong to nothing, want %d; the first block is %v of order %d",
			got, want, out.leaks.first.Addr, out.leaks.first.Order)
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
		return fmt.Errorf("memory reserved by name %v, want %v", after, before)
	}
	p.step("verify", "place")
	return nil
}

// sameScratch compares the scratch areas and what is remembered as cut off them: no
// byte came in or got lost, and the next kernel's scratch is without the pool.
func sameScratch(in, out *handover, pool phys.Ranges) error {
	got, want := out.Scratch.Add(out.Remembered...), in.Scratch.Add(in.Remembered...)
	if !slices.Equal(got, want) {
		return fmt.Errorf("scratch and pieces of it %v, want %v", got, want)
	}
	if left := out.Scratch.Sub(pool...); left.Size() != out.Scratch.Size() || out.Forgotten != nil {
		return fmt.Errorf("scratch %v with new pages %v in it, or pieces forgotten: %v", out.Scratch, pool, out.Forgotten)
	}
	return nil
}

// names returns the names of the sub-trees in their order.
func names(h *handover) []string {
	var all []string
	for _, s := range h.Subtrees {
		all = append(all, s.Name)
	}
	slices.Sort(all)
	return all
}

// expected returns the names of the sub-trees that the new handover has.
func (t *target) expected(in *handover) []string {
	all := slices.DeleteFunc(names(in), func(name string) bool {
		return name == reportTree || name == luo.Subtree && t.luo == nil ||
			slices.ContainsFunc(t.drop, func(s kho.Subtree) bool { return s.Name == name })
	})
	all = append(all, reportTree)
	slices.Sort(all)
	return all
}

// sameState compares the sessions and files of two handovers. Records of memfds
// that were rewritten are compared by what they name.
func (t *target) sameState(in, out *handover) error {
	if t.luo == nil {
		if !out.state.Absent() {
			return fmt.Errorf("a state in %v, want none", out.state.Format())
		}
		return nil
	}
	var same func(got, want luo.File) error
	if t.rewrite {
		n := -1
		same = func(got, want luo.File) error {
			n++
			return sameFile(in, out, got, want, in.memfd.damaged.has(n))
		}
	}
	return out.state.Diff(in.state, same)
}

// sameFile compares a file of the new handover with the one that it was. One that was
// damaged has to be one that cannot be retrieved.
func sameFile(in, out *handover, got, want luo.File, damaged bool) error {
	if memfd.ByHandler(want.Handler()) == nil {
		if string(got.Handler()) != string(want.Handler()) || got.Data() != want.Data() {
			return fmt.Errorf("handler %s with data %#x, want %s with %#x", phys.Quote(got.Handler()), got.Data(), phys.Quote(want.Handler()), want.Data())
		}
		return nil
	}
	if memfd.ByHandler(got.Handler()) == nil {
		return fmt.Errorf("handler %s, want a memfd", phys.Quote(got.Handler()))
	}
	now, err := out.reopen(got)
	if err != nil {
		return err
	}
	if damaged {
		if !now.Unreadable() {
			return fmt.Errorf("memfd %v can be retrieved, want one that cannot", now.Addr)
		}
		return nil
	}
	before, err := in.reopen(want)
	if err != nil {
		return err
	}
	return now.Same(before)
}

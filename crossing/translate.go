package crossing

import (
	"fmt"

	"ferry/blockset"
	"ferry/kho"
	"ferry/luo"
	"ferry/memfd"
	"ferry/phys"
)

// translate restores the handover that raw names and writes it again. It
// returns the payload that names the new one; the old one stays as it is.
func (p *passage) translate(raw *[kho.DataSize]byte) (kho.Data, error) {
	var none kho.Data
	data, err := kho.ParseData(p.params.ZeroPage, raw[:])
	if err != nil {
		return none, err
	}
	h, st, err := p.restore(data, p.report.step)
	if err != nil {
		return none, err
	}
	p.report.In = census(h, st)
	if m, ok, err := h.Metadata(); err != nil {
		p.report.note(err.Error())
	} else if ok {
		p.report.From = m.Release
	}
	for _, handler := range st.Handlers() {
		if memfd.ByHandler([]byte(handler.Name)) == nil {
			p.report.note(fmt.Sprintf("%d files of handler %q are carried as they are", handler.Files, handler.Name))
		}
	}

	draft, err := h.Draft(kho.V4, p.held())
	if err != nil {
		return none, err
	}
	if err := luo.Serialize(st, draft, luo.Options{Format: luo.V5}); err != nil {
		return none, err
	}
	p.report.step("serialize")
	out, err := draft.Commit()
	if err != nil {
		return none, err
	}
	p.report.Changed = draft.Stats()
	p.report.step("commit")
	if err := p.verify(out, st); err != nil {
		return none, fmt.Errorf("what was written does not read back: %w", err)
	}
	return out, nil
}

// restore reads and proves a handover with all that Ferry knows to be in it, and
// calls step after each part. Every block has one owner: whoever claims it
// second is refused.
func (p *passage) restore(d kho.Data, step func(name string)) (*kho.Handover, *luo.State, error) {
	h, err := kho.Open(p.m.Memory, d, nil)
	if err != nil {
		return nil, nil, err
	}
	if err := apart(h.Map, p.held()); err != nil {
		return nil, nil, err
	}
	check := blockset.NewChecker(p.m.Memory, h.Map, h.Scratch)
	if err := claimTrees(h, check); err != nil {
		return nil, nil, err
	}
	step("kho")
	st, err := luo.Restore(h, check)
	if err != nil {
		return nil, nil, err
	}
	step("luo")
	if err := claimFiles(h, st, check); err != nil {
		return nil, nil, err
	}
	step("files")
	return h, st, nil
}

// apart proves that nothing of the handover lies where the kernel before put the
// stage and what it was started with: that memory is overwritten already.
func apart(m *kho.Map, held phys.Ranges) error {
	bad := func(what string, r phys.Range, in phys.Range) error {
		return &phys.Error{Object: "kho: " + what, Addr: r.Start, Found: fmt.Sprintf("in %v, where the stage or its payload was loaded", in),
			Want: "memory apart from it", Hint: "kexec segments belong into scratch", Err: kho.ErrOverlap}
	}
	for _, in := range held {
		if b, hit := m.Overlaps(in); hit {
			return bad("preserved block", b.Range(), in)
		}
	}
	for _, n := range m.Nodes() {
		page := phys.Block{Addr: n.Addr()}.Range()
		if in, hit := held.Overlaps(page); hit {
			return bad("map node", page, in)
		}
	}
	return nil
}

// claimTrees proves the device tree, the data of every sub-tree but that of
// sessions, which package luo proves, and the memory reserved by name.
func claimTrees(h *kho.Handover, check *blockset.Checker) error {
	if err := check.Block("kho: root device tree", phys.Block{Addr: h.Data.FDT}); err != nil {
		return err
	}
	for _, s := range h.Subtrees {
		if s.Name == luo.Subtree {
			continue
		}
		r, _ := phys.Span(s.Data, s.Size)
		if err := claim(h, check, fmt.Sprintf("kho: sub-tree %q", s.Name), r); err != nil {
			return err
		}
	}
	regions, err := h.Reserved()
	if err != nil {
		return err
	}
	for _, r := range regions {
		if err := claim(h, check, fmt.Sprintf("kho: reserved memory %q", r.Name), r.Range); err != nil {
			return err
		}
	}
	return nil
}

// claim makes object the owner of every preserved block that r, preserved all of
// it, has a byte of.
func claim(h *kho.Handover, check *blockset.Checker, object string, r phys.Range) error {
	for a := r.Start; a < r.End; {
		b, ok := h.Map.Find(a)
		if !ok {
			return &phys.Error{Object: object, Addr: a, Found: "not preserved", Want: "preserved memory", Err: kho.ErrPreserved}
		}
		if err := check.Block(object, b); err != nil {
			return err
		}
		a = b.Range().End
	}
	return nil
}

// claimFiles proves every file whose handler is known.
func claimFiles(h *kho.Handover, st *luo.State, check *blockset.Checker) error {
	for i, s := range st.Sessions() {
		for _, f := range s.Files() {
			format := memfd.ByHandler(f.Handler())
			if format == nil {
				continue
			}
			file, err := memfd.Open(format, h, check, phys.Addr(f.Data()))
			if err == nil {
				err = file.Check(check)
			}
			if err != nil {
				return phys.In(fmt.Sprintf("luo: session %d %q: file token %#x", i, s.Name(), f.Token()), phys.Addr(f.Data()), err)
			}
		}
	}
	return nil
}

// verify reads the new handover the way it read the old one, and compares what
// the two preserve.
func (p *passage) verify(d kho.Data, want *luo.State) error {
	h, st, err := p.restore(d, func(string) {})
	if err != nil {
		return err
	}
	if err := st.Diff(want, nil); err != nil {
		return err
	}
	p.report.Out = census(h, st)
	if in, out := p.report.In.Subtrees, p.report.Out.Subtrees; in != out {
		return fmt.Errorf("%d sub-trees, want %d", out, in)
	}
	p.report.step("verify")
	return nil
}

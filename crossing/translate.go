package crossing

import (
	"bytes"
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
	h, st, err := restore(p.m.Memory, data, p.report.step)
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
		if !handler.Known {
			p.report.note(fmt.Sprintf("%d files of handler %q are carried as they are", handler.Files, handler.Name))
		}
	}

	draft, err := h.Draft(p.held())
	if err != nil {
		return none, err
	}
	if err := luo.Serialize(st, draft); err != nil {
		return none, err
	}
	p.report.step("serialize")
	out, err := draft.Commit()
	if err != nil {
		return none, err
	}
	p.report.Changed = draft.Stats()
	p.report.step("commit")
	if err := p.verify(out); err != nil {
		return none, fmt.Errorf("what was written does not read back: %w", err)
	}
	for _, a := range h.Table {
		if r, ok := phys.Span(a.Addr, a.Size); ok && !r.Empty() {
			p.next.Scratch = append(p.next.Scratch, r)
		}
	}
	p.next.Occupied = p.next.Occupied.Add(tableRange(out))
	return out, nil
}

// restore reads and proves a handover with the sessions and files in it, and
// calls step after each part.
func restore(mem phys.Memory, d kho.Data, step func(name string)) (*kho.Handover, *luo.State, error) {
	h, err := kho.Open(mem, d)
	if err != nil {
		return nil, nil, err
	}
	if _, err := h.Reserved(); err != nil {
		return nil, nil, err
	}
	step("kho")
	check := blockset.NewChecker(mem, h.Map, h.Scratch)
	st, err := luo.Restore(h, check)
	if err != nil {
		return nil, nil, err
	}
	step("luo")
	if err := audit(h, st, check); err != nil {
		return nil, nil, err
	}
	step("files")
	return h, st, nil
}

// audit proves every file whose handler is known, and that no two objects of the
// handover own the same block.
func audit(h *kho.Handover, st *luo.State, check *blockset.Checker) error {
	handler := []byte(memfd.Compatible)
	for i, s := range st.Sessions() {
		for _, f := range s.Files() {
			if !bytes.Equal(f.Handler(), handler) {
				continue
			}
			file, err := memfd.Open(h, check, phys.Addr(f.Data()))
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

// verify reads the new handover the way it read the old one and holds the two
// against each other.
func (p *passage) verify(d kho.Data) error {
	h, st, err := restore(p.m.Memory, d, func(string) {})
	if err != nil {
		return err
	}
	p.report.Out = census(h, st)
	if in, out := p.report.In, p.report.Out; in.Sessions != out.Sessions || in.Files != out.Files || in.Subtrees != out.Subtrees {
		return fmt.Errorf("%d sessions, %d files, %d sub-trees, want %d, %d, %d",
			out.Sessions, out.Files, out.Subtrees, in.Sessions, in.Files, in.Subtrees)
	}
	p.report.step("verify")
	return nil
}

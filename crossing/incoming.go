package crossing

import (
	"errors"
	"fmt"
	"math/bits"

	"ferry/kho"
	"ferry/luo"
	"ferry/memfd"
	"ferry/own"
	"ferry/phys"
)

// Incoming is a handover with all that Ferry knows to be in it, read and proved. What
// was written is read back as one too.
type Incoming struct {
	*kho.Handover
	known    readable
	state    *luo.State
	memfd    memfds
	leaks    leaks
	warnings warnings // about what is no file
}

// reader reads and proves a handover. Every block that is not a memfd's has one owner:
// whoever claims it second is refused. The other objects
// are read even if one is wrong, as far as they can be found without it.
type reader struct {
	memory phys.Memory
	known  readable
	held   phys.Ranges             // nothing of the handover may lie there
	from   *Incoming               // that the handover was made of, nil for the incoming one
	accept func(*memfd.File) error // decides about each memfd; nil: all are welcome
	step   func(step)              // is called as a step begins
}

// read reads the handover that d names, opening it as f, which is the format that its
// producer is said to write or, with [kho.OpenAs], the one that it wrote. With an error
// the handover that is returned is what was read until then, nil if that is nothing.
func (r reader) read(open func(phys.Memory, kho.Data, *kho.Format) (*kho.Handover, error), d kho.Data, f *kho.Format) (*Incoming, error) {
	in := &Incoming{known: r.known}
	var bad phys.Errors
	var err error
	if in.Handover, err = open(r.memory, d, f); err != nil {
		bad.Add(err)
		return nil, bad.Err()
	}
	checkApart(in.Map(), r.held, &bad)
	check := in.Ledger()
	in.claimTrees(check, &bad)
	r.step(stepLUO)
	if in.state, err = luo.Restore(in.Handover, check, r.known.luo...); err != nil {
		bad.Add(experimental(in.Handover, err))
		return in, bad.Err()
	}
	r.step(stepFiles)
	files := &filesReader{Incoming: in, ledger: check, from: r.from, accept: r.accept}
	in.leaks.find(in.Map(), files.read(&bad))
	return in, bad.Err()
}

// experimental says of a state in an unknown format how it is read, if it is one of an
// experimental generation.
func experimental(h *kho.Handover, err error) error {
	e, ok := errors.AsType[*phys.Error](err)
	if !ok || !errors.Is(err, luo.ErrVersion) || luo.Recognise(h, readableFormats(true).luo...) == nil {
		return err
	}
	hinted := *e
	hinted.Hint = "ferry.experimental=1 reads it, for test programs"
	return &hinted
}

// leaks is what a handover preserves though nothing that Ferry knows refers to
// it: somebody unknown owns it, or it is lost.
type leaks struct {
	blocks, pages uint64
	first         phys.Block // that of the lowest order and address
}

// find compares what is preserved with the blocks whose owner check knows, 64 blocks
// at a time.
func (l *leaks) find(m *kho.Map, check *own.Ledger) {
	m.Words(func(o phys.Order, first, set uint64) {
		left := set &^ check.Owned(o, first)
		if left == 0 {
			return
		}
		if l.blocks == 0 {
			n := first + uint64(bits.TrailingZeros64(left))
			l.first = phys.Block{Addr: phys.Addr(n << (phys.PageShift + o)), Order: o}
		}
		n := uint64(bits.OnesCount64(left))
		l.blocks += n
		l.pages += n << o
	})
}

// checkApart proves that nothing of the handover lies in the memory of the stage, or of
// what it was started with: that memory is overwritten already.
func checkApart(m *kho.Map, held phys.Ranges, bad *phys.Errors) {
	add := func(what string, r phys.Range, in phys.Range) {
		bad.Add(&phys.Error{Object: "kho: " + what, Addr: r.Start, Found: fmt.Sprintf("in %v, where the stage or its payload was loaded", in),
			Want: "memory apart from it", Hint: "kexec segments belong in scratch", Err: kho.ErrOverlap})
	}
	for _, in := range held {
		if b, hit := m.Overlaps(in); hit {
			add("preserved block", b.Range(), in)
		}
	}
	for _, n := range m.Nodes() {
		page := phys.Block{Addr: n.Addr()}.Range()
		if in, hit := held.Overlaps(page); hit {
			add("map node", page, in)
		}
	}
}

// claimTrees proves the device tree, the data of every sub-tree but that of
// sessions, which package luo proves, what the kernel before says of itself, the
// memory reserved by name, and that of the kernel's own test.
func (in *Incoming) claimTrees(check *own.Ledger, bad *phys.Errors) {
	if in.Map().Root() != 0 { // else nothing is preserved, as old kernels may hand over
		bad.Add(check.Claim("kho: root device tree", phys.Block{Addr: in.Data().FDT}))
	}
	for _, s := range in.Subtrees() {
		if s.Name == luo.Subtree {
			continue
		}
		object := "kho: " + s.String()
		bad.Add(nearName(object, s.Data, s.Name, luo.Subtree, kho.ReservedName))
		if err := nearName(object, s.Data, s.Name, kho.MetadataName, kho.TestName); err != nil {
			in.warnings.add(err.Error() + "; the next kernel does not need it")
		}
		r, _ := phys.Span(s.Data, max(s.Size, 1)) // its first block if no size is known
		bad.Add(in.claim(check, object, r))
	}
	if _, _, err := in.Metadata(); err != nil { // Linux warns, and goes on without it
		in.warnings.add(err.Error() + "; Linux ignores it")
	}
	bad.Add(in.TestObjects(check.Claim))
	regions, err := in.Reserved()
	bad.Add(err)
	for _, r := range regions {
		if left := phys.NewRanges(r.Range).Sub(r.Kept()); left.Size() > 0 {
			in.warnings.add(fmt.Sprintf("kho: reserved memory %s %v: %d of %d bytes are not preserved: Linux preserves only whole pages of it", phys.Quote(r.Name), r.Range.Start, left.Size(), r.Range.Size()))
		}
		bad.Add(in.claim(check, "kho: reserved memory "+phys.Quote(r.Name), r.Kept()))
	}
}

// claim makes object the owner of every preserved block that r, preserved all of
// it, has a byte of.
func (in *Incoming) claim(check *own.Ledger, object string, r phys.Range) error {
	for a := r.Start; a < r.End; {
		b, ok := in.Map().Find(a)
		if !ok {
			return &phys.Error{Object: object, Addr: a, Found: "not preserved", Want: "preserved memory", Err: own.ErrPreserved}
		}
		if err := check.Claim(object, b); err != nil {
			return err
		}
		a = b.Range().End
	}
	return nil
}

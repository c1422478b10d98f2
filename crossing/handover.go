package crossing

import (
	"fmt"
	"math/bits"

	"ferry/blockset"
	"ferry/kho"
	"ferry/luo"
	"ferry/memfd"
	"ferry/phys"
)

// handover is a handover with all that Ferry knows to be in it, read and proved.
type handover struct {
	*kho.Handover
	state *luo.State
	memfd memfds
	leaks leaks
}

// memfds counts the files whose handler is known.
type memfds struct {
	files   int
	formats []*memfd.Format // of the files, in order of appearance
	folios  uint64
	unset   int // folios that are not recorded as written to and up to date
}

func (m *memfds) add(f *memfd.Format, file *memfd.File) {
	m.files++
	m.folios += file.Folios
	m.unset += file.Unset()
	for _, known := range m.formats {
		if known == f {
			return
		}
	}
	m.formats = append(m.formats, f)
}

// restore reads and proves the handover that d names. hint is the format of its
// producer where that is known; step is called between its parts; accept, where it
// is not nil, has a say on each memfd. Every block has one owner: whoever claims
// it second is refused. What is wrong with one object does not keep the others
// from being looked at, as far as they can be found without it. With an error the
// handover that is returned is what was read until then, nil where that is nothing.
func (p *passage) restore(d kho.Data, hint *kho.Format, step func(done, next string), accept func(*memfd.File) error) (*handover, error) {
	in := &handover{}
	var bad findings
	var err error
	if in.Handover, err = kho.Open(p.memory, d, hint); err != nil {
		bad.add(err)
		return nil, bad.err()
	}
	apart(in.Map, p.held(), &bad)
	check := blockset.NewChecker(p.memory, in.Map, in.Scratch)
	in.claimTrees(check, &bad)
	step("kho", "luo")
	if in.state, err = luo.Restore(in.Handover, check); err != nil {
		bad.add(err)
		return in, bad.err()
	}
	step("luo", "files")
	in.eachMemfd(check, func(f *memfd.Format, file *memfd.File) error {
		in.memfd.add(f, file)
		if err := file.Check(check); err != nil {
			return err
		}
		if err := file.Whole(); err != nil || accept == nil {
			return err
		}
		return accept(file)
	}, &bad)
	in.leaks.find(in.Map, check)
	step("files", "serialize")
	return in, bad.err()
}

// leaks is what a handover preserves though nothing that Ferry knows refers to
// it: memory of somebody unknown, or lost.
type leaks struct {
	blocks, pages uint64
	first         phys.Block // that of the lowest order and address
}

// find compares what is preserved with what check has passed, 64 blocks at a
// time.
func (l *leaks) find(m *kho.Map, check *blockset.Checker) {
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

// apart proves that nothing of the handover lies where the kernel before put the
// stage and what it was started with: that memory is overwritten already.
func apart(m *kho.Map, held phys.Ranges, bad *findings) {
	add := func(what string, r phys.Range, in phys.Range) {
		bad.add(&phys.Error{Object: "kho: " + what, Addr: r.Start, Found: fmt.Sprintf("in %v, where the stage or its payload was loaded", in),
			Want: "memory apart from it", Hint: "kexec segments belong into scratch", Err: kho.ErrOverlap})
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
func (in *handover) claimTrees(check *blockset.Checker, bad *findings) {
	if in.Map.Root() != 0 { // else nothing is preserved, as old kernels may hand over
		bad.add(check.Block("kho: root device tree", phys.Block{Addr: in.Data.FDT}))
	}
	for _, s := range in.Subtrees {
		if s.Name == luo.Subtree {
			continue
		}
		bad.add(nearName(fmt.Sprintf("kho: %v", s), s.Data, s.Name, luo.Subtree, kho.ReservedName, kho.MetadataName, kho.TestName))
		r, _ := phys.Span(s.Data, max(s.Size, 1)) // where no size is known, its first block
		bad.add(in.claim(check, fmt.Sprintf("kho: %v", s), r))
	}
	_, _, err := in.Metadata()
	bad.add(err)
	bad.add(in.TestObjects(check.Block))
	regions, err := in.Reserved()
	bad.add(err)
	for _, r := range regions {
		bad.add(in.claim(check, "kho: reserved memory "+phys.Quote(r.Name), r.Range))
	}
}

// claim makes object the owner of every preserved block that r, preserved all of
// it, has a byte of.
func (in *handover) claim(check *blockset.Checker, object string, r phys.Range) error {
	for a := r.Start; a < r.End; {
		b, ok := in.Map.Find(a)
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

// eachMemfd opens every file whose handler is that of memfds and calls visit. A
// memfd of a format that nobody knows is a finding: it would cost the next kernel
// all of its sessions. The data of files of other handlers are theirs to read, and
// no addresses that could have two owners.
func (in *handover) eachMemfd(check *blockset.Checker, visit func(*memfd.Format, *memfd.File) error, bad *findings) {
	known := memfd.Formats()
	for s, err := range in.state.Sessions() {
		if err != nil {
			bad.add(phys.In("luo", 0, err))
			return
		}
		for f, err := range s.Files() {
			if err != nil {
				bad.add(phys.In("luo", 0, err))
				return
			}
			name := func() string { return fmt.Sprintf("luo: %v: file token %#x", s, f.Token()) }
			format := memfd.ByHandler(f.Handler())
			if format == nil {
				err := memfd.Unknown(f.Handler())
				if err == nil {
					err = nearHandler(known, f)
				}
				if err != nil {
					bad.add(phys.In(name(), phys.Addr(f.Data()), err))
				}
				continue
			}
			file, err := memfd.Open(format, in.Handover, check, phys.Addr(f.Data()))
			if err == nil {
				err = visit(format, file)
			}
			if err != nil {
				bad.add(phys.In(name(), phys.Addr(f.Data()), err))
			}
		}
	}
}

// reopen opens a memfd of a handover that was proved.
func (in *handover) reopen(f luo.File) (*memfd.File, error) {
	return memfd.Open(memfd.ByHandler(f.Handler()), in.Handover, nil, phys.Addr(f.Data()))
}

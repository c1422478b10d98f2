package crossing

import (
	"bytes"
	"errors"
	"fmt"
	"slices"

	"ferry/fdt"
	"ferry/kho"
	"ferry/luo"
	"ferry/memfd"
	"ferry/own"
	"ferry/phys"
)

// Audit is what Ferry finds in a handover that it is not to carry: one in a dump of
// memory. The same code proves it as in a crossing, but nothing is refused, and what is
// damaged does not keep what is sound from being looked at.
type Audit struct {
	*kho.Handover               // nil: it cannot be opened, as Errors say
	State         *luo.State    // nil: its root cannot be read
	Generations   []*Generation // whose kernels write it
	Errors        []error       // each an error for which a crossing refuses it
	More          int           // errors that are not kept
	Warnings      []string      // what would not arrive whole
	Odd           []error       // what no kernel writes, and none minds
	LeakedBlocks  uint64        // preserved, and nothing that Ferry knows refers to it
	LeakedPages   uint64
	FirstLeaked   phys.Block

	in     *Incoming
	ledger *own.Ledger // knows the owners of all but files
	ranked bool        // the files were checked against each other
}

// Inspect reads and proves the handover that d names. claim is the format of its
// producer if somebody says it, else nil: see [kho.Open]. Formats of experimental
// generations are read too.
func Inspect(mem phys.Memory, d kho.Data, claim *kho.Format) *Audit {
	a := &Audit{}
	var bad phys.Errors
	defer func() { a.Errors, a.More = bad.All(), bad.More() }()
	known := readableFormats(true)
	h, err := kho.Open(mem, d, claim)
	if bad.Add(err); err != nil {
		if h = openWithout(mem, d, claim); h == nil {
			return a
		}
	}
	in := &Incoming{Handover: h, known: known}
	a.Handover, a.in, a.ledger = h, in, h.Ledger()
	in.claimTrees(a.ledger, &bad)
	in.state, err = luo.Restore(h, a.ledger, known.luo...)
	bad.Add(err)
	if a.State = in.state; a.State == nil {
		a.Warnings = in.warnings.lines()
		return a
	}
	a.Generations, a.Odd = written(h.Format(), a.State.Format()), a.State.Odd()
	if err == nil {
		files := &filesReader{Incoming: in, ledger: a.ledger}
		in.leaks.find(h.Map(), files.read(&bad))
		a.LeakedBlocks, a.LeakedPages, a.FirstLeaked = in.leaks.blocks, in.leaks.pages, in.leaks.first
		a.ranked = true
	}
	a.Warnings = append(in.warnings.lines(), in.memfd.warnings.lines()...)
	return a
}

// openWithout opens a handover of which sub-trees are damaged without those, nil if that is
// not what is wrong with it.
func openWithout(mem phys.Memory, d kho.Data, claim *kho.Format) *kho.Handover {
	page, err := mem.View(d.FDT, phys.PageSize)
	if err != nil {
		return nil
	}
	tree, err := fdt.Parse(d.FDT, page)
	if err != nil {
		return nil
	}
	subtrees := slices.Collect(tree.Root().Children())
	if len(subtrees) > maxTried {
		return nil
	}
	overlay := &replaced{mem, d.FDT, bytes.Clone(page)}
	without := func(hidden []fdt.Node) (*kho.Handover, error) {
		copy(overlay.page, page)
		for _, n := range hidden {
			n.Blank(overlay.page)
		}
		return kho.Open(overlay, d, claim)
	}
	var damaged []fdt.Node // of those before
	for i, n := range subtrees {
		if _, err := without(slices.Concat(damaged, subtrees[i+1:])); err != nil {
			damaged = append(damaged, n)
		}
	}
	h, err := without(damaged)
	if err != nil {
		return nil
	}
	return h
}

// maxTried bounds the sub-trees of a damaged handover.
const maxTried = 64

// replaced is memory in which one page is another.
type replaced struct {
	phys.Memory
	at   phys.Addr
	page []byte
}

// View implements [phys.Memory].
func (m *replaced) View(a phys.Addr, n uint64) ([]byte, error) {
	b, err := m.Memory.View(a, n)
	if err != nil || a >= m.at+phys.PageSize || a+phys.Addr(n) <= m.at {
		return b, err
	}
	if off := uint64(a - m.at); a >= m.at && off+n <= phys.PageSize {
		return m.page[off : off+n : off+n], nil
	}
	b = bytes.Clone(b)
	if a >= m.at {
		copy(b, m.page[a-m.at:])
	} else {
		copy(b[m.at-a:], m.page)
	}
	return b, nil
}

// AuditedFile is a file of an [Audit].
type AuditedFile struct {
	luo.File
	Session luo.Session
	Memfd   *memfd.File // nil: of another handler, or the structure is damaged
	Shared  bool        // has memory together with another file
	Err     error       // what is wrong with it, nil if it is sound or nobody knows its handler
}

// errDisputed is what is wrong with a file that is sound by itself.
var errDisputed = errors.New("its memory is that of another object too")

// Files calls visit for each file of each session, in their order, as far as their
// records can be read. If the state is damaged each file is proved by itself alone.
func (a *Audit) Files(visit func(AuditedFile)) {
	if a.State == nil {
		return
	}
	alone := a.ledger.Beside()
	walked, most := uint64(0), a.Map().Count()*maxNamed+minNamed
	n := 0
	for s, err := range a.State.Sessions() {
		if err != nil {
			return
		}
		for f, err := range s.Files() {
			if err != nil {
				break
			}
			out := AuditedFile{File: f, Session: s}
			format := a.in.known.memfd.ByHandler(f.Handler)
			if a.ranked && format != nil {
				out.Memfd, out.Shared = a.in.memfd.file(n), a.in.memfd.shared.has(n)
			}
			n++
			if format != nil && out.Memfd == nil {
				alone.Forget()
				out.Memfd, out.Err = memfd.Open(alone, memfd.Ref{Format: format, Addr: phys.Addr(f.Data)})
				if out.Err == nil {
					if walked += out.Memfd.Folios; walked > most {
						out.Err = errTooMany
					} else if out.Err = out.Memfd.Check(alone); out.Err == nil {
						out.Err = out.Memfd.Whole()
					}
				}
				if out.Err == nil && a.ranked {
					out.Err = errDisputed
				}
			}
			if out.Memfd != nil && out.Err == nil {
				if lost, err := out.Memfd.Lost(); lost > 0 {
					out.Err = err
				}
			}
			if out.Err != nil {
				out.Err = phys.In(fmt.Sprintf("luo: %v: file token %#x", s, f.Token), phys.Addr(f.Data), out.Err)
			}
			visit(out)
		}
	}
}

package main

import (
	"bytes"
	"encoding/binary"
	"errors"
	"fmt"
	"slices"
	"strings"

	"ferry/board/record"
	"ferry/boot/protocol"
	"ferry/crossing"
	"ferry/kho"
	"ferry/luo"
	"ferry/memfd"
	"ferry/phys"
	"ferry/phys/dump"
)

// look reads all that a dump says. claim is the format of the producer, nil if nobody says it.
func look(d *dump.Memory, claim *kho.Format) *dumpFacts {
	scan := d.Scan()
	f := &dumpFacts{Schema: factsSchema, Form: d.Form(), RAM: d.RAM().Size(), Stored: d.Stored().Size(),
		Records: []recordFacts{}, Handovers: []handoverFacts{}}
	for _, r := range record.Find(scan) {
		rf := recordFacts{At: r.At.String(), Cause: record.Cause(r.Cause).String(), Outcome: record.Outcome(r.Outcome).String(),
			Step: printable([]byte(r.StepName())), Message: printable([]byte(r.Message())), LastWords: printable(r.LastWords()), text: r.String()}
		if failure, ok := r.CrossingFailure(); ok {
			rf.Failure = printable([]byte(failure.String()))
		}
		f.Records = append(f.Records, rf)
	}
	found := kho.Find(scan)
	if len(found) == 0 {
		return f
	}
	named := zeroPages(d, scan, found)
	for i, data := range found {
		f.Handovers = append(f.Handovers, lookAt(d, data, claim))
		f.Handovers[i].ZeroPages = addresses(named[i])
	}
	decideLive(f.Handovers)
	return f
}

func addresses(all []phys.Addr) []string {
	s := []string{}
	for _, a := range all {
		s = append(s, a.String())
	}
	return s
}

// maxNodes bounds the list of setup_data nodes that is followed from a zero page.
const maxNodes = 64

// zeroPages returns the zero pages in memory that name each of the handovers.
func zeroPages(mem, scan phys.Memory, found []kho.Data) [][]phys.Addr {
	named := make([][]phys.Addr, len(found))
	for _, r := range scan.RAM() {
		a, ok := phys.AlignUp(r.Start, phys.PageSize)
		for ; ok && a < r.End && r.End-a >= phys.PageSize; a += phys.PageSize {
			page, err := scan.View(a, phys.PageSize)
			if err != nil || string(page[protocol.OffMagic:][:4]) != protocol.Magic {
				continue
			}
			next := phys.Addr(binary.LittleEndian.Uint64(page[protocol.OffSetupData:]))
			for n := 0; next != 0 && n < maxNodes; n++ {
				node, err := mem.View(next, 16+kho.DataSize)
				if err != nil {
					break
				}
				if binary.LittleEndian.Uint32(node[8:]) == kho.SetupType {
					data, err := kho.ParseData(next+16, node[16:])
					if i := slices.Index(found, data); err == nil && i >= 0 && len(named[i]) < maxNodes && !slices.Contains(named[i], a) {
						named[i] = append(named[i], a)
					}
				}
				next = phys.Addr(binary.LittleEndian.Uint64(node))
			}
		}
	}
	return named
}

// decideLive says of each handover whether it is the one that the next kernel gets: what a zero page names, and the later
// one if there is another. It guesses nothing.
func decideLive(all []handoverFacts) {
	var named []int
	for i, h := range all {
		if len(h.ZeroPages) > 0 {
			named = append(named, i)
		}
	}
	for i := range all {
		h := &all[i]
		switch by := strings.Join(h.ZeroPages, ", "); {
		case len(all) == 1 && by == "":
			h.Live, h.Why = "yes", "it is the only one in memory; no zero page names it"
		case len(named) == 1 && by != "":
			h.Live, h.Why = "yes", "it alone is named by a zero page, "+by
		case len(named) >= 1 && by == "":
			h.Live, h.Why = "no", "no zero page names it, and one names another"
		case by == "":
			h.Live, h.Why = "unknown", fmt.Sprintf("%d are in memory, and no zero page names any", len(all))
		default:
			h.Live, h.Why = "unknown", fmt.Sprintf("zero page %s names it, and others name others: the register RSI of the next kernel's first instruction says which counts", by)
		}
	}
	// Of two that zero pages name, the one with the later count was made after the other.
	if len(named) < 2 {
		return
	}
	newest, tie := named[0], false
	for _, i := range named[1:] {
		switch a, b := all[i].age(), all[newest].age(); {
		case a > b:
			newest, tie = i, false
		case a == b:
			tie = true
		}
	}
	if tie || all[newest].age() == 0 {
		return
	}
	for _, i := range named {
		all[i].Live, all[i].Why = "no", "zero page "+all[i].ZeroPages[0]+" names it, and another handover counts more live updates"
	}
	all[newest].Live, all[newest].Why = "yes", "zero page "+all[newest].ZeroPages[0]+" names it, and it counts the most live updates"
}

func (h *handoverFacts) age() uint64 {
	if h.Number == nil {
		return 0
	}
	return *h.Number
}

// lookAt reads one handover.
func lookAt(d *dump.Memory, data kho.Data, claim *kho.Format) handoverFacts {
	a := crossing.Inspect(d, data, claim)
	h := handoverFacts{FDT: data.FDT.String(), ScratchAt: data.Scratch.String(), data: data, audit: a, Readable: a.Handover != nil,
		ZeroPages: []string{}, Generations: []string{}, Scratch: []scratchFacts{}, Pool: []rangeFacts{}, Preserved: []orderFacts{},
		Subtrees: []treeFacts{}, Sessions: []sessionFacts{}, FLBs: []flbFacts{}, Findings: []dumpFinding{}}
	for _, err := range a.Errors {
		h.find("error", err)
	}
	if a.More > 0 {
		h.find("error", fmt.Errorf("%d findings more", a.More))
	}
	if a.Handover == nil {
		areas, _ := kho.ScratchHint(d, data)
		for _, r := range areas {
			h.Scratch = append(h.Scratch, scratchFacts{r.Start.String(), r.Size(), used(d, r)})
		}
		return h
	}
	h.Format = a.Format().String()
	for _, g := range a.Generations {
		h.Generations = append(h.Generations, g.Name)
	}
	if m, ok, err := a.Metadata(); ok && err == nil {
		h.Release, h.Kexecs = printable([]byte(m.Release)), m.Count
	}
	for _, s := range a.Table() {
		r, ok := phys.Span(s.Addr, s.Size)
		if !ok || s.Size == 0 {
			continue
		}
		h.Scratch = append(h.Scratch, scratchFacts{s.Addr.String(), s.Size, used(d, r)})
	}
	for _, r := range a.Remembered() {
		h.Pool = append(h.Pool, rangeFacts{r.Start.String(), r.End.String()})
	}
	var orders [phys.MaxOrder + 1]uint64
	a.Map().Walk(func(b phys.Block) error { orders[b.Order]++; return nil })
	for o, n := range orders {
		if n > 0 {
			h.Preserved = append(h.Preserved, orderFacts{o, n, n * phys.Order(o).Bytes()})
		}
	}
	h.MapPages = len(a.Map().Nodes())
	for _, s := range a.Subtrees() {
		t := treeFacts{Name: printable([]byte(s.Name)), At: s.Data.String(), Size: s.Size}
		switch {
		case s.Name == luo.Subtree:
			t.What = "live update"
		case s.Name == kho.MetadataName:
			t.What = "the kernel that wrote the handover"
		case s.Name == kho.ReservedName:
			if regions, err := a.Reserved(); err == nil {
				t.What = fmt.Sprintf("%d regions of reserve_mem=", len(regions))
			}
		case s.Name == kho.TestName:
			t.What = "the kernel's own test of handovers"
		case s.FDT:
			t.What = "a device tree"
		}
		h.Subtrees = append(h.Subtrees, t)
	}
	h.lookAtState()
	for _, w := range a.Warnings {
		h.find("warning", errors.New(w))
	}
	for _, err := range a.Odd {
		h.find("odd", err)
	}
	if a.LeakedBlocks > 0 {
		h.Leaked = a.LeakedPages * phys.PageSize
		h.find("leak", &phys.Error{Object: "preserved block", Addr: a.FirstLeaked.Addr,
			Found: fmt.Sprintf("the first of %d blocks, %d pages, to which nothing known refers", a.LeakedBlocks, a.LeakedPages)})
	}
	return h
}

// lookAtState reads sessions, files and FLBs.
func (h *handoverFacts) lookAtState() {
	st := h.audit.State
	if st == nil || st.Absent() {
		return
	}
	number := st.Number
	h.Number, h.LUO = &number, st.Format().String()
	for s, err := range st.Sessions() {
		if err != nil {
			break
		}
		sf := sessionFacts{Name: printable(s.Name), At: s.Addr.String(), Files: []fileFacts{}}
		if s.Err != nil {
			sf.Damaged = printable([]byte(s.Err.Error()))
		}
		h.Sessions = append(h.Sessions, sf)
	}
	h.audit.Files(func(f crossing.AuditedFile) {
		ff := fileFacts{Token: fmt.Sprintf("%#x", f.Token), Handler: printable(f.Handler), Data: fmt.Sprintf("%#x", f.Data), Seals: []string{}, State: "unknown", Shared: f.Shared}
		if m := f.Memfd; m != nil {
			ff.Memfd, ff.Size, ff.Position, ff.Folios, ff.Seals = true, m.Size, m.Pos, m.Folios, seals(m.Seals)
			ff.State, ff.Holes = "sound", holes(m)
		}
		if f.Err != nil {
			ff.State = "damaged"
			h.find("error", f.Err)
		} else if f.Memfd != nil && f.Memfd.Unreadable() {
			ff.State = "damaged"
		}
		s := &h.Sessions[f.Session.Index]
		s.Files = append(s.Files, ff)
	})
	for f, err := range st.FLBs() {
		if err != nil {
			break
		}
		h.FLBs = append(h.FLBs, flbFacts{printable(f.Name), fmt.Sprintf("%#x", f.Data), f.Users})
	}
}

// find adds a finding, once.
func (h *handoverFacts) find(kind string, err error) {
	f := dumpFinding{Kind: kind, Found: printable([]byte(err.Error())), text: printable([]byte(err.Error()))}
	if e, ok := errors.AsType[*phys.Error](err); ok && e.Error() == err.Error() {
		p := func(s string) string { return printable([]byte(s)) }
		f.Object, f.Address, f.Found, f.Want, f.Hint = p(e.Object), e.Addr.String(), p(e.Found), p(e.Want), p(e.Hint)
	}
	if !slices.ContainsFunc(h.Findings, func(g dumpFinding) bool { return g.text == f.text }) {
		h.Findings = append(h.Findings, f)
	}
}

// used returns how many bytes of r are in pages that are not zero.
func used(d *dump.Memory, r phys.Range) (n uint64) {
	var none [phys.PageSize]byte
	for _, s := range d.Stored() {
		for a := max(s.Start, r.Start).Page(); a < min(s.End, r.End); a += phys.PageSize {
			if b, err := d.View(a, phys.PageSize); err != nil || !bytes.Equal(b, none[:]) {
				n += phys.PageSize
			}
		}
	}
	return n
}

// holes returns how many bytes of a file no folio gives memory to.
func holes(m *memfd.File) uint64 {
	pages := m.Size/phys.PageSize + (m.Size%phys.PageSize+phys.PageSize-1)/phys.PageSize
	held := uint64(0)
	if m.Walk(func(f memfd.Folio) error {
		if !f.Hole() {
			held += min(f.Block.Order.Pages(), pages-f.Index)
		}
		return nil
	}) != nil {
		return 0
	}
	return (pages - held) * phys.PageSize
}

// seals names seals as fcntl(2) does.
func seals(s uint32) []string {
	out := []string{}
	for i, name := range []string{"seal", "shrink", "grow", "write", "future-write", "exec"} {
		if s>>i&1 != 0 {
			out = append(out, name)
		}
	}
	if rest := s &^ 0x3f; rest != 0 {
		out = append(out, fmt.Sprintf("%#x", rest))
	}
	return out
}

//go:build linux && !metal

// Package attack proves Ferry by attack: it takes handovers that real kernels
// left, damages them, and leads them through a whole crossing on a fake machine,
// whose outcome is held against what a decoder of its own finds before and after.
// Nothing outside tests imports it. docs/reliability.md has the results.
//
// The damage is of the kind that memory takes: any bit of any byte that a kernel
// wrote. None of it may make Ferry fault, hang, take memory without bound or
// write where it has nothing to write; and what is not refused has to arrive as
// it was.
package attack

import (
	"bytes"
	"cmp"
	"encoding/binary"
	"errors"
	"fmt"
	"runtime/debug"
	"slices"
	"testing"
	"time"

	"ferry/boot/payload"
	"ferry/crossing"
	"ferry/crossing/crossingtest"
	"ferry/internal/oracle"
	"ferry/internal/oracle/standin"
	"ferry/kho"
	"ferry/kho/khotest"
	"ferry/phys"
	"ferry/phys/phystest"
)

var (
	le = binary.LittleEndian
	be = binary.BigEndian
)

// Subject is a machine with a handover that can be damaged again and again.
type Subject struct {
	*crossingtest.Machine
	From, To *oracle.Form
	Blocks   []khotest.Block // what is preserved and what for, where another program said it
	Pages    []phys.Addr     // of the handover's own structures
	Before   *oracle.Model   // of the handover as it came, for To
	Words    string          // of the command line, where not those of every attack

	log       bytes.Buffer
	ticks     int64
	occupied  phys.Ranges // what nothing may be written to
	damaged   []phys.Range
	scratch   phys.Ranges
	came, got *oracle.Model // read last; their memory is used again
}

// Limits of one crossing of the handovers here, far above what any of them takes.
const (
	maxEdited = 64 << 20         // bytes asked for writing
	maxAlloc  = 16 << 20         // bytes of heap taken
	maxTime   = 20 * time.Second // before a run counts as hanging
	initSize  = 64 << 10         // memory that the next kernel takes
)

const cmdline = "quiet ferry.on-error=pass"

// Vector returns the handover of a generation as package khotest has it.
func Vector(t testing.TB, from, to string) *Subject {
	t.Helper()
	v := khotest.Generation(t, from)
	s := &Subject{From: oracle.FormOf(from), To: oracle.FormOf(to), Blocks: v.Blocks, Pages: v.Pages}
	s.lay(t, v.Memory, v.Data)
	return s
}

// Holds reports whether the kernels of generation to can hold the vector of
// generation from: those of E, E' and F have seals, and the last two too many
// files for arrays.
func Holds(from, to *oracle.Form) bool {
	switch {
	case from.Memfd == "":
		return true
	case from.Name == "E'" || from.Name == "F":
		return to.Text > 0
	}
	return to.Memfd != "" && (to.Seals || !from.Seals)
}

// Layout of the machine of a stand-in.
var (
	standinRAM     = phys.Range{Start: 0x100000, End: 0x10000000}
	standinScratch = []phys.Range{{Start: 0x04000000, End: 0x0c000000}, {Start: 0x04000000, End: 0x04000000}, {Start: 0x0d000000, End: 0x0d400000}}
)

const standinTable = phys.Addr(0x0bff0000)

// Standin returns the handover that the stand-in of a generation leaves.
func Standin(t testing.TB, from, to string, shape standin.Shape) *Subject {
	t.Helper()
	g, err := standin.ByName(from)
	if err != nil {
		t.Fatal(err)
	}
	next, err := standin.ByName(to)
	if err != nil {
		t.Fatal(err)
	}
	mem := phystest.NewSparse(t, standinRAM)
	h, err := standin.Produce(mem, phys.NewRanges(standinRAM).Sub(standinScratch...), g, standin.Carried(g, next, shape))
	if err != nil {
		t.Fatal(err)
	}
	size, err := standin.Scratch(mem, standinTable, standinScratch)
	if err != nil {
		t.Fatal(err)
	}
	s := &Subject{From: oracle.FormOf(from), To: oracle.FormOf(to)}
	for _, r := range h.Used {
		for a := r.Start.Page(); a < r.End; a += phys.PageSize {
			s.Pages = append(s.Pages, a)
		}
	}
	s.lay(t, mem, kho.Data{FDT: h.FDT, FDTSize: phys.PageSize, Scratch: standinTable, ScratchSize: size})
	return s
}

// lay puts what the kernel before loaded around the handover.
func (s *Subject) lay(t testing.TB, mem phys.Memory, d kho.Data) {
	t.Helper()
	table, err := mem.View(d.Scratch, d.ScratchSize)
	if err != nil {
		t.Fatal(err)
	}
	var largest phys.Range
	for ; len(table) > 0; table = table[16:] {
		r, _ := phys.Span(phys.Addr(le.Uint64(table)), le.Uint64(table[8:]))
		s.scratch = s.scratch.Add(r)
		if r.Size() > largest.Size() {
			largest = r
		}
	}
	if s.Machine, err = crossingtest.New(mem, crossingtest.Inside(largest), d, cmp.Or(s.Words, cmdline)); err != nil {
		t.Fatal(err)
	}
	manifest := payload.Manifest{Kernel: payload.KernelInfo{Release: "the next kernel", Generation: s.To.Name}, From: s.From.Name}
	if err := s.SetPayload(manifest, crossingtest.Kernel(initSize), []byte("the next kernel's initrd")); err != nil {
		t.Fatal(err)
	}
	used := phys.NewRanges(phys.Range{Start: s.ZeroPage, End: s.ZeroPage + 3*phys.PageSize}, phys.Range{Start: s.Payload, End: s.Payload + 64<<10},
		phys.Range{Start: d.Scratch.Page(), End: d.Scratch + phys.Addr(d.ScratchSize)})
	for _, a := range s.Pages {
		used = append(used, phys.Block{Addr: a}.Range())
	}
	if err := s.Freeze(phys.NewRanges(used...), maxEdited); err != nil {
		t.Fatal(err)
	}
	if s.Before, err = oracle.DecodeNoting(s.Memory, oracle.Handover(d), s.From, s.To); err != nil {
		t.Fatal(err)
	}
	s.Before.Refer(s.Node+16, kho.DataSize, d.FDT)
	s.Before.Refer(s.Node+16, kho.DataSize, d.Scratch)
	s.occupied = s.held(s.Before)
}

// held returns what may not be written to where the handover is as m says.
func (s *Subject) held(m *oracle.Model) phys.Ranges {
	return phys.NewRanges(append(s.Loaded(), m.Memory()...)...)
}

// cleared returns what of the handover is to be cleared before the jump.
func cleared(m *oracle.Model, jump crossing.Jump) string {
	for _, r := range jump.Wipe {
		hit := func(b phys.Block) string {
			return fmt.Sprintf("%v is cleared, and with it %v of the handover", r, b.Range())
		}
		i, ok := m.Index(r.Start)
		if !ok && i > 0 && m.Blocks[i-1].Range().End > r.Start {
			return hit(m.Blocks[i-1])
		}
		if i < len(m.Blocks) && m.Blocks[i].Addr < r.End {
			return hit(m.Blocks[i])
		}
		for _, a := range m.Nodes {
			if b := (phys.Block{Addr: a}); b.Range().Overlaps(r) {
				return hit(b)
			}
		}
		for a := range m.Leaves {
			if b := (phys.Block{Addr: a.Page()}); b.Range().Overlaps(r) {
				return hit(b)
			}
		}
	}
	return ""
}

// Outcome is how one crossing ended.
type Outcome struct {
	Defect  string // what must not happen; empty: nothing did
	Refused bool   // the handover was handed on untouched
	Cold    bool   // the next kernel starts without a handover
	Log     []byte // the report
	Data    kho.Data
	Jump    crossing.Jump
}

// Cross runs one crossing over the memory as it is. The caller resets it.
func (s *Subject) Cross() (o Outcome) {
	s.log.Reset()
	defer func() {
		o.Log = s.log.Bytes()
		if r := recover(); r != nil {
			o.Defect = fmt.Sprintf("panic: %v\n%s", r, debug.Stack())
		}
	}()
	raw, _ := s.list()
	line := s.line()
	jump, err := crossing.Run(&crossing.Machine{
		Memory: s.Memory, ZeroPage: s.ZeroPage, Stage: s.Stage, Console: &s.log,
		Nanotime: func() int64 { s.ticks += 1000; return s.ticks },
		Random:   func(b []byte) { clear(b); b[0] = 1 },
	})
	log := s.log.Bytes()
	failed := crossingtest.Failed(string(log))
	switch {
	case bytes.Contains(log, []byte("a defect in Ferry")):
		o.Defect = "a panic inside the crossing"
		return o
	case bytes.Contains(log, []byte("does not read back")):
		o.Defect = "noticed only in what was written"
		return o
	}
	if err != nil {
		// Nothing to start: no byte was promised to anybody.
		if o.Refused = true; !failed || !bytes.Contains(log, []byte("\nferry: HALTED: ")) {
			o.Defect = "an error that the report does not have: " + err.Error()
		}
		return o
	}
	o.Jump = jump
	a, err := crossingtest.Arrive(s.Memory, jump.Entry, jump.ZeroPage)
	switch wiped := cleared(s.Before, jump); {
	case wiped != "" && a.KHO != nil:
		o.Defect = wiped
	case err != nil:
		o.Defect = "the next kernel: " + err.Error()
	case a.Cmdline != "quiet" && !line:
		o.Defect = fmt.Sprintf("the next kernel's command line is %q", a.Cmdline)
	case failed:
		o.Refused = true
		if !bytes.Equal(a.KHO, raw) {
			o.Defect = fmt.Sprintf("refused, but handed on as %x, want %x", a.KHO, raw)
		}
	case a.KHO == nil:
		o.Cold = true
	case bytes.Equal(a.KHO, raw):
		o.Defect = "no failure, and yet the handover is the old one"
	default:
		if o.Data, err = kho.ParseData(jump.ZeroPage, a.KHO); err != nil {
			o.Defect = err.Error()
		}
	}
	return o
}

// stray returns what was written where nothing may be: scratch alone takes writes.
func (s *Subject) stray() string { return s.strayInto(s.occupied) }

func (s *Subject) strayInto(occupied phys.Ranges) string {
	scratch := s.scratch.Add(s.claimed()...)
	for _, r := range s.Edits() {
		if !scratch.Contains(r) {
			return fmt.Sprintf("a write to %v, outside scratch", r)
		}
	}
	return s.over(occupied)
}

// over returns what was written over occupied memory.
func (s *Subject) over(occupied phys.Ranges) string {
	for _, r := range s.Edits() {
		if hit, ok := occupied.Overlaps(r); ok {
			return fmt.Sprintf("a write to %v, which overlaps %v that came in", r, hit)
		}
	}
	return ""
}

// claimed returns what the scratch table, damaged or not, says is scratch: nobody can
// know better.
func (s *Subject) claimed() []phys.Range {
	d := s.data()
	table, err := s.Memory.View(d.Scratch, min(d.ScratchSize, 1<<18))
	if err != nil {
		return nil
	}
	return oracle.Areas(table)
}

// Arrived decodes the handover that a crossing made.
func (s *Subject) Arrived(o Outcome) (*oracle.Model, error) {
	got, err := s.got.Again(s.Memory, oracle.Handover(o.Data), s.To, s.To, nil)
	if err != nil {
		return nil, err
	}
	s.got = got
	if hit := got.InScratch(); hit != "" {
		return nil, errors.New(hit)
	}
	if wiped := cleared(got, o.Jump); wiped != "" {
		return nil, errors.New(wiped)
	}
	return got, nil
}

// Carried decodes the handover that a crossing made and holds it against want,
// what came in. An error names the first word that differs.
func (s *Subject) Carried(o Outcome, want *oracle.Model) error {
	got, err := s.Arrived(o)
	if err != nil {
		return err
	}
	return Same(got.Words, want.Words)
}

// Came decodes the handover that came in, damaged or not, but for the files that were
// given up on the way, and proves that got, which arrived, says what it says.
func (s *Subject) Came(got *oracle.Model) (*oracle.Model, error) {
	came, err := s.came.Again(s.Memory, oracle.Handover(s.data()), s.From, s.To, got.GivenUp)
	if err != nil {
		return nil, fmt.Errorf("accepted, but %w", err)
	}
	s.came = came
	if err := Same(got.Words, came.Words); err != nil {
		return nil, fmt.Errorf("not carried: %w", err)
	}
	return came, nil
}

// Same compares words that came in with words that arrived. An error names the first
// that differs. What is not recorded as up to date and written to is repaired on the
// way, as package memfd says: the flags are set, and memory that was never written to
// becomes new memory. A size that nobody said is found.
func Same(got, want []oracle.Word) error {
	for i, w := range want {
		if i >= len(got) {
			return fmt.Errorf("%v of session %d file %d is missing", w.Kind, w.Session, w.File)
		}
		g := got[i]
		switch {
		case g == w:
		case w.Kind == oracle.TreeSize && g.Kind == oracle.TreeSize && w.Value == oracle.AnySize:
		case w.Kind == oracle.FolioFlags && g.Kind == oracle.FolioFlags && g.Value == 3:
		case w.Kind == oracle.FolioPlace && g.Kind == oracle.FolioPlace && want[i-1].Value&2 == 0:
		default:
			return fmt.Errorf("%v of session %d file %d is %#x, want %v %#x", g.Kind, g.Session, g.File, g.Value, w.Kind, w.Value)
		}
	}
	if len(got) > len(want) {
		g := got[len(want)]
		return fmt.Errorf("%v of session %d file %d too many: %#x", g.Kind, g.Session, g.File, g.Value)
	}
	return nil
}

// changed returns the kinds of words in which two models differ.
func changed(a, b []oracle.Word) (ks []oracle.Kind) {
	add := func(k oracle.Kind) {
		if !slices.Contains(ks, k) {
			ks = append(ks, k)
		}
	}
	if len(a) == len(b) {
		for i := range a {
			if a[i] != b[i] {
				add(a[i].Kind)
				add(b[i].Kind)
			}
		}
		return ks
	}
	count := make(map[oracle.Word]int)
	for _, w := range a {
		count[w]++
	}
	for _, w := range b {
		count[w]--
	}
	for w, n := range count {
		if n != 0 {
			add(w.Kind)
		}
	}
	return ks
}

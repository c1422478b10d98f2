//go:build linux && !metal

package attack

import (
	"bytes"
	"cmp"
	"errors"
	"fmt"
	"maps"
	"runtime/metrics"
	"slices"
	"strings"
	"time"

	"ferry/crossing/crossingtest"
	"ferry/internal/oracle"
	"ferry/phys"
)

// Region is metadata of one role.
type Region struct {
	Role  string
	Parts []phys.Range
	bits  int64
}

func (r *Region) add(a phys.Addr, n uint64) {
	if n > 0 {
		r.Parts = append(r.Parts, phys.Range{Start: a, End: a + phys.Addr(n)})
		r.bits += int64(8 * n)
	}
}

// bit returns bit number i of the region.
func (r *Region) bit(i int64) (phys.Addr, uint) {
	for _, p := range r.Parts {
		if n := int64(8 * p.Size()); i >= n {
			i -= n
			continue
		}
		return p.Start + phys.Addr(i/8), uint(i % 8)
	}
	panic("no such bit")
}

// rest marks the role of what lies behind the last byte of a structure that is
// not zero, up to the end of its page.
const rest = ", rest of the page"

// Regions returns all metadata of the handover: every byte of every page that a
// kernel wrote and another one reads to find what is preserved. Contents of files
// and of reserved memory are none.
func (s *Subject) Regions() []*Region {
	all := make(map[string]*Region)
	region := func(role string) *Region {
		if all[role] == nil {
			all[role] = &Region{Role: role}
		}
		return all[role]
	}
	region("setup_data pointer").add(s.ZeroPage+0x250, 8)
	region("setup_data node").add(s.Node, crossingtest.NodeSize)
	region("scratch table").add(s.Data.Scratch, s.Data.ScratchSize)
	for a := range s.Before.Leaves {
		region("map bitmap").add(a, cmp.Or(s.From.Bitmap, phys.PageSize))
	}
	for _, a := range s.Before.Nodes {
		if s.From.Bitmap == 0 {
			region("map node").add(a, phys.PageSize)
		} else {
			s.page(region, "map chunk", a)
		}
	}
	for _, b := range s.Blocks {
		switch b.Role {
		case "folio", "reserve_mem":
			continue
		}
		for a := b.Addr; a < b.Range().End; a += phys.PageSize {
			s.page(region, b.Role, a)
		}
	}
	rs := slices.Collect(maps.Values(all))
	slices.SortFunc(rs, func(a, b *Region) int { return cmp.Compare(a.Role, b.Role) })
	for _, r := range rs {
		slices.SortFunc(r.Parts, func(a, b phys.Range) int { return cmp.Compare(a.Start, b.Start) })
	}
	return rs
}

// page adds a page: what is in use of it, and the rest.
func (s *Subject) page(region func(string) *Region, role string, a phys.Addr) {
	used := uint64(len(bytes.TrimRight(s.Memory.Pages()[a], "\x00"))+63) &^ 63
	region(role).add(a, used)
	region(role+rest).add(a+phys.Addr(used), phys.PageSize-used)
}

// restBits is how many bits of the rest of each role's pages to flip where all of
// their structures are.
const restBits = 5000

// Sample says how many bits of each region to flip so that it comes to at most
// budget: all of the small ones, and of the rest of pages, where nothing is
// written, a fiftieth each. A budget of 0 is every bit of every structure.
func Sample(rs []*Region, budget int64) map[*Region]int64 {
	n := make(map[*Region]int64)
	if budget == 0 {
		for _, r := range rs {
			if n[r] = r.bits; strings.HasSuffix(r.Role, rest) {
				n[r] = min(r.bits, restBits)
			}
		}
		return n
	}
	open := slices.Clone(rs)
	slices.SortFunc(open, func(a, b *Region) int { return cmp.Compare(a.bits, b.bits) })
	var large []*Region
	for _, r := range open {
		if strings.HasSuffix(r.Role, rest) {
			n[r] = min(r.bits, budget/50)
			budget -= n[r]
		} else {
			large = append(large, r)
		}
	}
	for i, r := range large {
		n[r] = min(r.bits, budget/int64(len(large)-i))
		budget -= n[r]
	}
	return n
}

// Pick returns which bit to flip in run i of n: all of them where n is their
// number, else some that lie evenly without falling into step with a structure.
func (r *Region) Pick(i, n int64) (phys.Addr, uint) {
	if n < r.bits {
		step := r.bits*618/1000 | 1
		for gcd(step, r.bits) != 1 {
			step += 2
		}
		hi := i % r.bits * step // both below 2^31
		i = hi % r.bits
	}
	return r.bit(i)
}

func gcd(a, b int64) int64 {
	for b != 0 {
		a, b = b, a%b
	}
	return a
}

// Verdict is what one damaged handover came to.
type Verdict uint8

// Verdicts.
const (
	Refused  Verdict = iota // the report names what was hit, and the handover is handed on untouched
	Told                    // a warning names what was hit; what it says is lost is lost, and all else is as it was
	Carried                 // it is a value, and arrived as it now is
	Harmless                // what the handover says is what it said before
	Defect                  // anything else
	verdicts
)

var verdictNames = [verdicts]string{"refused", "told", "carried", "harmless", "defect"}

func (v Verdict) String() string { return verdictNames[v] }

// Flip flips one bit, crosses, judges the outcome and puts memory back. what says
// what was carried, or what the defect is.
func (s *Subject) Flip(a phys.Addr, bit uint) (v Verdict, what string, log []byte) {
	page := phys.Block{Addr: a.Page()}.Range()
	b, err := s.Poke(a, 1)
	if err != nil {
		return Defect, err.Error(), nil
	}
	b[0] ^= 1 << bit
	taken := heap()
	begin := time.Now()
	o := s.Cross()
	if took := time.Since(begin); took > maxTime {
		o.Defect = fmt.Sprintf("%v for one crossing", took)
	}
	if o.Defect == "" && heap()-taken > maxAlloc {
		o.Defect = unbounded
	}
	v, what = s.judge(o, a, bit)
	log = o.Log
	if err := errors.Join(s.Reset(), s.Restore(page)); err != nil {
		return Defect, err.Error(), log
	}
	return v, what, log
}

// unbounded is the defect of taking too much memory. What other machines took
// meanwhile counts too, so whoever has some tries again alone.
const unbounded = "memory without bound"

// heap returns how many bytes of heap were ever taken.
func heap() uint64 {
	m := []metrics.Sample{{Name: "/gc/heap/allocs:bytes"}}
	metrics.Read(m)
	return m[0].Value.Uint64()
}

// values are the kinds of words that are anybody's to choose: there is nothing in
// a handover to tell one from another.
var values = []oracle.Kind{oracle.Scratch, oracle.Number, oracle.SessionName, oracle.Handler, oracle.Opaque, oracle.Token, oracle.Position, oracle.Size, oracle.Seals, oracle.FolioFlags, oracle.FolioIndex, oracle.FLBName, oracle.FLBData, oracle.FLBUsers,
	oracle.TreeName, oracle.TreeSize, oracle.TreeData, oracle.RegionName, oracle.MetaRelease, oracle.MetaCount, oracle.Unowned}

// judge says what the outcome of a crossing with bit flipped at a is.
func (s *Subject) judge(o Outcome, a phys.Addr, bit uint) (Verdict, string) {
	switch {
	case o.Defect != "":
		return Defect, o.Defect
	case s.stray() != "":
		return Defect, s.stray()
	case o.Cold:
		return Defect, "the handover is lost without a word"
	case o.Refused:
		if !s.named(o.Log, a, bit) {
			return Defect, "refused without naming what was hit"
		}
		return Refused, ""
	}
	got, err := s.Arrived(o)
	if err != nil {
		return Defect, err.Error()
	}
	came, err := s.Came(got)
	if err != nil {
		return Defect, err.Error()
	}
	told := s.told(o.Log, a, bit)
	ks := changed(without(s.Before.Words, got.GivenUp), came.Words)
	if len(got.GivenUp) > 0 {
		return s.givenUp(got, ks, told, o.Log)
	}
	if len(ks) == 0 {
		return Harmless, ""
	}
	slices.Sort(ks)
	var names []string
	for _, k := range ks {
		switch {
		case slices.Contains(values, k):
		case told:
			return Told, k.String()
		default:
			return Defect, fmt.Sprintf("accepted with another %v", k)
		}
		names = append(names, k.String())
	}
	return Carried, strings.Join(names, ", ")
}

// givenUp judges a crossing that gave up files: a warning has to name what was hit, and
// each of the files; and nothing of any other file, nor of anything else, may be other
// than it was. ks are the kinds in which it is.
func (s *Subject) givenUp(got *oracle.Model, ks []oracle.Kind, told bool, log []byte) (Verdict, string) {
	if !told {
		return Defect, "a file is given up without naming what was hit"
	}
	for _, w := range got.Words {
		if w.Kind == oracle.Token && got.GivenUp[oracle.FileKey{Session: w.Session, File: w.File}] &&
			!bytes.Contains(log, fmt.Appendf(nil, ": file token %#x", w.Value)) {
			return Defect, fmt.Sprintf("session %d file %d is given up without a word", w.Session, w.File)
		}
	}
	for _, k := range ks {
		if k != oracle.Unowned { // what was theirs is nobody's now
			return Defect, fmt.Sprintf("with a file given up, another %v", k)
		}
	}
	if len(got.GivenUp) > 2 {
		return Defect, fmt.Sprintf("%d files are given up", len(got.GivenUp))
	}
	return Told, oracle.NotRetrieved.String()
}

// without returns the words without what they say of the memory of some files.
func without(words []oracle.Word, files map[oracle.FileKey]bool) (left []oracle.Word) {
	if len(files) == 0 {
		return words
	}
	for _, w := range words {
		switch {
		case !files[oracle.FileKey{Session: w.Session, File: w.File}] || w.Kind < oracle.Position || w.Kind > oracle.FolioIndex:
			left = append(left, w)
		case w.Kind == oracle.Position:
			left = append(left, oracle.Word{Kind: oracle.NotRetrieved, Session: w.Session, File: w.File})
		}
	}
	return left
}

//go:build linux && !metal

package attack

import (
	"bytes"
	"cmp"
	"errors"
	"fmt"
	"maps"
	"regexp"
	"runtime/metrics"
	"slices"
	"strconv"
	"strings"
	"time"

	"ferry/crossing/crossingtest"
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
		region("map bitmap").add(a, cmp.Or(s.From.bitmap, phys.PageSize))
	}
	for _, a := range s.Before.Nodes {
		if s.From.bitmap == 0 {
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

// Sample says how many bits of each region to flip so that it comes to at most
// budget: all of the small ones, and of the rest of pages, where nothing is
// written, a twentieth each.
func Sample(rs []*Region, budget int64) map[*Region]int64 {
	n := make(map[*Region]int64)
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
	Carried                 // it is a value, and arrived as it now is
	Harmless                // what the handover says is what it said before
	Defect                  // anything else
	verdicts
)

var verdictNames = [verdicts]string{"refused", "carried", "harmless", "defect"}

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
var values = []Kind{Scratch, Number, SessionName, Handler, Opaque, Token, Position, Size, Seals, FolioFlags, FolioIndex, FLBName, FLBData, FLBCount,
	TreeName, TreePlace, Unowned}

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
		if !s.named(o.Log, a) {
			return Defect, "refused without naming what was hit"
		}
		return Refused, ""
	}
	came, err := Decode(s.Memory, s.data(), s.From, s.To)
	if err != nil {
		return Defect, "accepted, but " + err.Error()
	}
	if err := s.Carried(o, came); err != nil {
		return Defect, "not carried: " + err.Error()
	}
	ks := changed(s.Before.Words, came.Words)
	if len(ks) == 0 {
		return Harmless, ""
	}
	slices.Sort(ks)
	var names []string
	for _, k := range ks {
		if !slices.Contains(values, k) {
			return Defect, fmt.Sprintf("accepted with another %v", k)
		}
		names = append(names, k.String())
	}
	return Carried, strings.Join(names, ", ")
}

var number = regexp.MustCompile(`0x[0-9a-f]+`)

// named reports whether the errors of a report name what was hit by a flip at a:
// an address in the page or block of the bit, or one that the record of the bit
// holds or held, or a block that the flip took out of the map or put into it.
func (s *Subject) named(log []byte, a phys.Addr) bool {
	var found []phys.Addr
	for line := range bytes.Lines(log) {
		if text, ok := bytes.CutPrefix(line, []byte("ferry: error: ")); ok {
			for _, n := range number.FindAll(text, -1) {
				v, err := strconv.ParseUint(string(n[2:]), 16, 64)
				if err == nil {
					found = append(found, phys.Addr(v))
				}
			}
		}
	}
	home := phys.Block{Addr: a.Page()}.Range()
	if b, ok := s.Before.holding(a); ok {
		home = b.Range()
	}
	near := s.record(a)
	for _, f := range found {
		if home.Contains(phys.Range{Start: f, End: f + 1}) || slices.Contains(near, f.Page()) {
			return true
		}
		if b, ok := s.Before.holding(f); ok && slices.ContainsFunc(near, func(n phys.Addr) bool { return b.Addr <= n && n < b.Range().End }) {
			return true // the block that the record points into
		}
	}
	node := phys.Range{Start: s.Node, End: s.Node + crossingtest.NodeSize}.Contains(phys.Range{Start: a, End: a + 1})
	table := s.Data.Scratch <= a && a < s.Data.Scratch+phys.Addr(s.Data.ScratchSize)
	switch {
	case (node || table) && bytes.Contains(log, []byte("scratch")), // the table, or where the node says that it is
		(node || a.Page() == s.ZeroPage) && bytes.Contains(log, []byte("setup_data")): // the list
		return true
	}
	now, err := DecodeMap(s.Memory, s.Data, s.From)
	if now.Root != s.Before.Root && bytes.Contains(log, []byte("preserved-memory map")) {
		return true // the pointer to it
	}
	if err != nil {
		return false
	}
	there := make(map[phys.Block]int)
	for _, b := range s.Before.Blocks {
		there[b]++
	}
	for _, b := range now.Blocks {
		there[b]--
	}
	for b, n := range there {
		for _, f := range found {
			if n != 0 && b.Range().Contains(phys.Range{Start: f, End: f + 1}) {
				return true
			}
		}
	}
	return false
}

// record returns the pages of what may be addresses around a: in the words as
// they are and as they were.
func (s *Subject) record(a phys.Addr) (near []phys.Addr) {
	page, err := s.View(a.Page(), phys.PageSize)
	if err != nil {
		return nil
	}
	old := s.Memory.Pages()[a.Page()]
	at := int(a-a.Page()) &^ 3
	for i := max(0, at-80); i <= min(at+80, phys.PageSize-8); i += 4 {
		for _, b := range [][]byte{page, old} {
			if b == nil {
				continue
			}
			v := phys.Addr(le.Uint64(b[i:]))
			near = append(near, v.Page(), phys.PFN(v&(1<<52-1)).Addr())
		}
	}
	return near
}

// holding returns the preserved block that a lies in.
func (m *Model) holding(a phys.Addr) (phys.Block, bool) {
	i, ok := slices.BinarySearchFunc(m.Blocks, a, func(b phys.Block, a phys.Addr) int { return cmp.Compare(b.Addr, a) })
	if !ok {
		i--
	}
	if i < 0 || a >= m.Blocks[i].Range().End {
		return phys.Block{}, false
	}
	return m.Blocks[i], true
}

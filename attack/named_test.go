//go:build linux && !metal

package attack

import (
	"bytes"
	"fmt"
	"slices"
	"strings"
	"testing"

	"ferry/internal/oracle"
	"ferry/phys"
)

// TestOnlyAddressesOfWhatWasHitNameIt takes the reports of refused flips and
// damages them: with the addresses of something else, or without their errors,
// they name nothing.
func TestOnlyAddressesOfWhatWasHitNameIt(t *testing.T) {
	alone(t)
	const each = 40 // flips of each role
	for _, f := range oracle.Forms {
		s := Vector(t, f.Name, f.Name)
		other := s.nobodys(t)
		refused := 0
		for _, r := range s.Regions() {
			for i := range min(each, r.bits) {
				a, bit := r.Pick(i, each)
				b, err := s.Poke(a, 1)
				check(t, err)
				b[0] ^= 1 << bit
				if o := s.Cross(); o.Defect == "" && o.Refused {
					refused++
					for name, tt := range map[string]struct {
						log  []byte
						want bool
					}{
						"as it is":             {o.Log, true},
						"small numbers":        {number.ReplaceAll(o.Log, []byte("0x1")), false},
						"the zero page":        {number.ReplaceAll(o.Log, []byte("0x0")), false},
						"a page below 1 MiB":   {number.ReplaceAll(o.Log, []byte("0x2000")), false},
						"an address of nobody": {number.ReplaceAll(o.Log, fmt.Appendf(nil, "%#x", other)), false},
						"no number":            {number.ReplaceAll(o.Log, []byte("scratch setup_data preserved-memory map")), false},
						"no errors":            {bytes.ReplaceAll(o.Log, []byte("ferry: "), []byte("ferry says: ")), false},
					} {
						if got := s.named(tt.log, a, bit); got != tt.want {
							t.Errorf("%s, %s, bit %d of the byte at %v, a report with %s: named %v, want %v\n%s", f.Name, r.Role, bit, a, name, got, tt.want, tt.log)
						}
					}
				}
				check(t, s.Reset())
				check(t, s.Restore(phys.Block{Addr: a.Page()}.Range()))
			}
		}
		if refused < 100 {
			t.Errorf("%s: %d flips were refused, want 100 or more", f.Name, refused)
		}
	}
}

// neighbours are roles one of which says where the other lies or what is memory of
// its own: a report on either may name the place where they meet.
var neighbours = [][2]string{
	{"setup_data pointer", "setup_data node"}, {"setup_data node", "kho fdt"}, {"setup_data node", "scratch table"},
	{"scratch table", "map bitmap"}, {"kho fdt", "map chunk"}, {"kho fdt", "map node"}, {"map chunk", "map bitmap"}, {"map node", "map bitmap"},
	{"kho fdt", "memblock"}, {"kho fdt", "kexec-metadata"}, {"kho fdt", "luo fdt"}, {"kho fdt", "luo_ser"},
	{"luo fdt", "sess array"}, {"luo fdt", "flb"}, {"luo_ser", "block"}, {"luo_ser", "flb"},
	{"sess array", "file array"}, {"file array", "memfd"}, {"block", "memfd"},
	{"memfd", "memfd array chunk"}, {"memfd", "memfd array data"}, {"memfd array chunk", "memfd array data"},
}

// TestReportsOfOthersNameNothing holds the reports of refused flips against flips
// in structures of other roles. Some of these are named all the same: a word of the
// map or of the scratch table moves much memory at once, a record points to what
// another report says, and a damaged number may by chance be an address.
func TestReportsOfOthersNameNothing(t *testing.T) {
	alone(t)
	const (
		each     = 16   // flips of each role
		near     = 0.50 // of the reports of a neighbour
		far      = 0.25 // of the reports of any other role
		together = 0.02 // of all reports of no neighbours
		enough   = 30   // pairs before a role is held to its bound
	)
	type run struct {
		role string
		a    phys.Addr
		bit  uint
		log  []byte
	}
	type count struct {
		pairs, named int
		example      string
	}
	for _, f := range oracle.Forms {
		s := Vector(t, f.Name, f.Name)
		var refused []run
		flip := func(a phys.Addr, bit uint, do func()) {
			b, err := s.Poke(a, 1)
			check(t, err)
			b[0] ^= 1 << bit
			do()
			check(t, s.Reset())
			check(t, s.Restore(phys.Block{Addr: a.Page()}.Range()))
		}
		for _, r := range s.Regions() {
			for i := range min(each, r.bits) {
				a, bit := r.Pick(i, each)
				flip(a, bit, func() {
					if o := s.Cross(); o.Defect == "" && o.Refused {
						refused = append(refused, run{strings.TrimSuffix(r.Role, rest), a, bit, bytes.Clone(o.Log)})
					}
				})
			}
		}
		counts := make(map[[2]string]*count)
		for _, x := range refused {
			flip(x.a, x.bit, func() {
				hit := s.suspects(x.a, x.bit)
				for _, y := range refused {
					if x.role == y.role {
						continue
					}
					k := [2]string{x.role, y.role}
					c := counts[k]
					if c == nil {
						c = new(count)
						counts[k] = c
					}
					if c.pairs++; names(y.log, "error", x.a, hit) {
						c.named++
						c.example = fmt.Sprintf("bit %d of the byte at %v:\n%s", x.bit, x.a, y.log)
					}
				}
			})
		}
		var other count
		for k, c := range counts {
			bound := far
			if slices.Contains(neighbours, k) || slices.Contains(neighbours, [2]string{k[1], k[0]}) {
				bound = near
			} else {
				other.pairs += c.pairs
				other.named += c.named
			}
			if rate := float64(c.named) / float64(c.pairs); c.pairs >= enough && rate > bound {
				t.Errorf("%s: %d of %d flips of %s are named by reports on %s, want %v at most; %s", f.Name, c.named, c.pairs, k[0], k[1], bound, c.example)
			}
		}
		if rate := float64(other.named) / float64(other.pairs); rate > together || other.pairs < 1000 {
			t.Errorf("%s: %d of %d pairs of no neighbours are named, want %v at most of 1000 or more", f.Name, other.named, other.pairs, together)
		}
		t.Logf("%s: %d of %d pairs of no neighbours are named", f.Name, other.named, other.pairs)
	}
}

// nobodys returns a page of RAM that is in nothing, the last one there is.
func (s *Subject) nobodys(t *testing.T) phys.Addr {
	t.Helper()
	for _, r := range s.RAM() {
		for a := r.Start; a < r.End && r.Start >= phys.LowMemory; a += phys.PageSize {
			page := phys.Block{Addr: a}.Range()
			_, held := s.occupied.Overlaps(page)
			_, scratch := s.scratch.Overlaps(page)
			if !held && !scratch && s.Memory.Pages()[a] == nil {
				return a
			}
		}
	}
	t.Fatal("no page of nobody")
	return 0
}

// TestDecoderSeesContentsOfSubtrees changes sub-trees, and wants the model to change
// with them.
func TestDecoderSeesContentsOfSubtrees(t *testing.T) {
	alone(t)
	s := Vector(t, "F", "F")
	find := func(k oracle.Kind) {
		for _, w := range s.Before.Words {
			if w.Kind == k && w.Value != 0 {
				return
			}
		}
		t.Errorf("the model of F has no %v", k)
	}
	for _, k := range []oracle.Kind{oracle.RegionName, oracle.RegionStart, oracle.RegionSize, oracle.RegionPages, oracle.MetaVersion, oracle.MetaRelease, oracle.FLBs, oracle.TreeName, oracle.TreePlace, oracle.TreeSize} {
		find(k)
	}
	for _, b := range s.Blocks {
		if b.Role != "memblock" && b.Role != "kexec-metadata" {
			continue
		}
		page := s.Memory.Pages()[b.Addr]
		at := b.Addr
		if i := bytes.Index(page, []byte("\x00\x00\x00\x01")); b.Role == "memblock" {
			// the name of the first node that has one
			for ; page[i+4] == 0; i += 4 + bytes.Index(page[i+4:], []byte("\x00\x00\x00\x01")) {
			}
			at += phys.Addr(i + 4)
		}
		p, err := s.Poke(at, 1)
		check(t, err)
		p[0] ^= 1
		m, err := oracle.Decode(s.Memory, oracle.Handover(s.Data), s.From, s.To, nil)
		if err == nil && len(changed(s.Before.Words, m.Words)) == 0 {
			t.Errorf("%s: the model is the same with another byte at %v", b.Role, at)
		}
		check(t, s.Restore(b.Range()))
	}
}

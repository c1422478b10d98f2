package standin

import (
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"ferry/phys"
	"ferry/phys/phystest"
)

var (
	ram     = phys.Range{Start: 0x10000000, End: 0x20000000}
	scratch = []phys.Range{{Start: 0x10000000, End: 0x14000000}, {Start: 0x14000000, End: 0x14000000}}
	free    = phys.NewRanges(phys.Range{Start: 0x14000000, End: 0x20000000})
)

const table = phys.Addr(0x13fff000)

// everyone is every generation, those that nobody runs among them.
var everyone = append(Generations[:len(Generations):len(Generations)], X)

// handover is what one stand-in left to another.
type handover struct {
	Handover
	mem  phys.Memory
	size uint64 // of the scratch table
}

func produce(t *testing.T, g *Generation, shape Shape) (h handover) {
	t.Helper()
	h.mem = phystest.New(t, ram)
	var err error
	if h.Handover, err = Produce(h.mem, free, g, shape); err != nil {
		t.Fatal(err)
	}
	if h.size, err = Scratch(h.mem, table, scratch); err != nil {
		t.Fatal(err)
	}
	return h
}

func (h handover) receive(g *Generation) (got, left Census, err error) {
	return Receive(h.mem, g, h.FDT, table, h.size)
}

var shapes = map[string]Shape{
	"empty":    {},
	"one":      {Sessions: 1, Files: 1},
	"blocks":   {Sessions: 60, Files: 3},
	"chains":   {Sessions: 2, Files: 70},
	"beyond":   {Sessions: 900, Files: 0},
	"many":     {Sessions: 2, Files: 200, Plain: true},
	"unfilled": {Sessions: 5, Files: 9, Fill: 2},
	"regions":  {Sessions: 1, Files: 5, Regions: 3, RegionOrder: 11},
	"tests":    {Sessions: 1, Files: 1, Regions: 1, RegionOrder: 0, Tests: 6},
	"odd":      {Sessions: 4, Files: 6, Regions: 2, RegionOrder: 3, Tests: 600, Odd: oddEnd - 1&^(Unset|Raw)},
}

func TestReceiveFindsWhatWasProduced(t *testing.T) {
	for _, g := range everyone {
		for name, shape := range shapes {
			t.Run(g.Name+"/"+name, func(t *testing.T) {
				if g.inline {
					shape.Tests = min(shape.Tests, 300) // what fits a page
				}
				h := produce(t, g, Carried(g, g, shape))
				got, left, err := h.receive(g)
				if err != nil {
					t.Fatal(err)
				}
				if d := cmp.Diff(h.Census, got); d != "" {
					t.Errorf("received census differs from the produced one (-A +B):\n%s", d)
				}
				if d := cmp.Diff(h.Census, left); d != "" {
					t.Errorf("census in the sub-tree differs (-A +B):\n%s", d)
				}
				if shape.Sessions > 0 && g.Sessions() && got.Sessions != uint64(shape.Sessions) {
					t.Errorf("%d sessions, want %d", got.Sessions, shape.Sessions)
				}
			})
		}
	}
}

func TestGenerationsDoNotUnderstandEachOther(t *testing.T) {
	understood := map[string]bool{}
	for _, g := range everyone {
		understood[g.Name+g.Name] = true
	}
	// B's map is that of C and D; without a LUO they find nothing that they miss.
	// (Linux C also takes D's handover: it looks for no node of FLBs. The stand-in
	// has to see that nothing of D's is left over.)
	understood["BC"], understood["BD"] = true, true
	shape := Shape{Sessions: 2, Files: 5, Regions: 1, RegionOrder: 2, Tests: 2, Plain: true}
	for _, from := range everyone {
		for _, to := range everyone {
			s := shape
			if !from.Sessions() {
				s.Sessions, s.Files = 0, 0
			}
			_, _, err := produce(t, from, s).receive(to)
			if want := understood[from.Name+to.Name]; (err == nil) != want {
				t.Errorf("%s -> %s without Ferry: %v, understood %t", from.Name, to.Name, err, want)
			}
		}
	}
}

func TestReceiveFindsOdditiesThatMayNotStay(t *testing.T) {
	for _, g := range everyone {
		if !g.Sessions() {
			continue
		}
		_, _, err := produce(t, g, Shape{Sessions: 2, Files: 1, Odd: Unset}).receive(g)
		if err == nil || !strings.Contains(err.Error(), "want flags 3") {
			t.Errorf("%s: folios without flags are taken: %v", g.Name, err)
		}
	}
}

func TestReceiveNoticesEveryDamage(t *testing.T) {
	for _, g := range everyone {
		for _, d := range DamagesOf(g) {
			t.Run(g.Name+"/"+d.Name, func(t *testing.T) {
				shape := Carried(g, g, Shape{Sessions: 3, Files: 6, Fill: 2, Regions: 1, RegionOrder: 4})
				h := produce(t, g, shape)
				if named, err := d.Do(h.Handover, scratch[0].Start); err != nil || named == "" {
					t.Fatalf("%v, to be named: %q", err, named)
				}
				if _, _, err := h.receive(g); err == nil {
					t.Error("it went unnoticed")
				} else {
					t.Log(err)
				}
			})
		}
	}
}

// TestReceiveNoticesChangedContent changes a bit in each page of the handover,
// of the map, and of what they hold, but for what nobody reads.
func TestReceiveNoticesChangedContent(t *testing.T) {
	for _, g := range everyone {
		shape := Carried(g, g, Shape{Sessions: 2, Files: 4, Regions: 2, RegionOrder: 0, Tests: 3})
		h := produce(t, g, shape)
		changed := 0
		for _, r := range h.Used {
			for a := r.Start; a < r.End; a += phys.PageSize {
				b, err := h.mem.Edit(a, phys.PageSize)
				if err != nil {
					t.Fatal(err)
				}
				if b[4000] == 0 || b[4000] == 0xa5 {
					continue // no content, or a neighbour of a bitmap
				}
				b[4000] ^= 1
				changed++
				if _, _, err := h.receive(g); err == nil {
					t.Errorf("%s: a changed byte in page %v went unnoticed", g.Name, a)
				}
				b[4000] ^= 1
			}
		}
		if changed == 0 {
			t.Errorf("%s: no page has content", g.Name)
		}
		if _, _, err := h.receive(g); err != nil {
			t.Errorf("%s: as it was before: %v", g.Name, err)
		}
	}
}

func TestLargeBlocksAreOneWhereTheirSizeIsRight(t *testing.T) {
	const start = phys.Addr(4 << 30)
	for _, g := range everyone {
		h := handover{mem: phystest.NewSparse(t, ram, phys.Range{Start: start, End: 3 * start})}
		var err error
		h.Handover, err = Produce(h.mem, phys.NewRanges(phys.Range{Start: start, End: 3 * start}), g, Shape{Regions: 1, RegionOrder: 19})
		if err != nil {
			t.Fatal(err)
		}
		if h.size, err = Scratch(h.mem, table, scratch); err != nil {
			t.Fatal(err)
		}
		if _, _, err := h.receive(g); err != nil {
			t.Errorf("%s: %v", g.Name, err)
		}
		split := h.Census.Preserved - produce(t, g, Shape{Regions: 1, RegionOrder: 11}).Census.Preserved
		if want := map[bool]uint64{true: 0, false: 1}[g == F || g == X]; split != want {
			t.Errorf("%s: %d more blocks for order 19, want %d", g.Name, split, want)
		}
	}
}

func TestOdditiesAreReadByName(t *testing.T) {
	for i, name := range oddNames {
		if o, err := ParseOdd(name); err != nil || o != 1<<i {
			t.Errorf("%s: %b, %v", name, o, err)
		}
	}
	if o, err := ParseOdd("gaps,unset"); err != nil || o != Gaps|Unset {
		t.Errorf("%b, %v", o, err)
	}
	if _, err := ParseOdd("odd"); err == nil || oddEnd != 1<<len(oddNames) {
		t.Errorf("a name that is none is read: %v", err)
	}
}

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

func handover(t *testing.T, shape Shape) (mem phys.Memory, fdt, table phys.Addr, size uint64, c Census) {
	t.Helper()
	mem = phystest.New(t, ram)
	h, err := Produce(mem, free, shape)
	if err != nil {
		t.Fatal(err)
	}
	table = scratch[0].Start
	if size, err = Scratch(mem, table, scratch); err != nil {
		t.Fatal(err)
	}
	return mem, h.FDT, table, size, h.Census
}

func TestReceiveFindsWhatWasProduced(t *testing.T) {
	for name, shape := range map[string]Shape{
		"empty":    {},
		"one":      {Sessions: 1, Files: 1},
		"blocks":   {Sessions: 60, Files: 3},
		"chains":   {Sessions: 2, Files: 70},
		"unfilled": {Sessions: 5, Files: 9, Fill: 2},
		"regions":  {Sessions: 1, Files: 5, Regions: 3, RegionOrder: 11},
	} {
		t.Run(name, func(t *testing.T) {
			mem, fdt, table, size, c := handover(t, shape)
			got, left, err := Receive(mem, fdt, table, size)
			if err != nil {
				t.Fatal(err)
			}
			if d := cmp.Diff(c, got); d != "" {
				t.Errorf("received census differs from the produced one (-A +B):\n%s", d)
			}
			if d := cmp.Diff(c, left); d != "" {
				t.Errorf("census in the sub-tree differs (-A +B):\n%s", d)
			}
		})
	}
}

func TestReceiveNoticesEveryDamage(t *testing.T) {
	shape := Shape{Sessions: 2, Files: 6, Fill: 2, Regions: 1, RegionOrder: 4}
	for name, damage := range map[string]struct {
		edit func(edit func(phys.Addr) []byte, fdt phys.Addr)
		want string
	}{
		"data":    {func(e func(phys.Addr) []byte, fdt phys.Addr) { lastOf(e, fdt)[77] ^= 1 }, "content differs"},
		"compat":  {func(e func(phys.Addr) []byte, fdt phys.Addr) { b := e(fdt); b[bytesIndex(b, "kho-v4")+5] = '3' }, "incompatible"},
		"luo":     {func(e func(phys.Addr) []byte, fdt phys.Addr) { find(e, "luo-v5\x00")[5] = '6' }, "LUO"},
		"session": {func(e func(phys.Addr) []byte, fdt phys.Addr) { b := findBlock(e, "session-0"); b[16] = 'x' }, "name"},
		"count":   {func(e func(phys.Addr) []byte, fdt phys.Addr) { b := findBlock(e, "session-0"); b[8] = 0 }, "count 0"},
		"loop": {func(e func(phys.Addr) []byte, fdt phys.Addr) {
			b := findBlock(e, "memfd-v2")
			copy(b, le64(uint64(found)))
		}, "restored before"},
	} {
		t.Run(name, func(t *testing.T) {
			mem, fdt, table, size, _ := handover(t, shape)
			damage.edit(func(a phys.Addr) []byte {
				b, err := mem.Edit(a, phys.PageSize)
				if err != nil {
					t.Fatal(err)
				}
				return b
			}, fdt)
			_, _, err := Receive(mem, fdt, table, size)
			if err == nil || !strings.Contains(err.Error(), damage.want) {
				t.Errorf("got error %v, want one about %q", err, damage.want)
			}
		})
	}
}

// found is the address of the page that find returned last.
var found phys.Addr

func bytesIndex(b []byte, s string) int { return strings.Index(string(b), s) }

func findAt(e func(phys.Addr) []byte, at int, s string) []byte {
	for found = free[0].Start; ; found += phys.PageSize {
		if b := e(found); string(b[at:at+len(s)]) == s {
			return b
		}
	}
}

func find(e func(phys.Addr) []byte, s string) []byte      { return findAt(e, 0, s) }
func findBlock(e func(phys.Addr) []byte, s string) []byte { return findAt(e, blockHeader, s) }

// lastOf returns the content of the last file's page: it was preserved just
// before the metadata, the census and the root FDT.
func lastOf(e func(phys.Addr) []byte, fdt phys.Addr) []byte {
	for a := fdt - phys.PageSize; ; a -= phys.PageSize {
		var want [phys.PageSize]byte
		fill(want[:], 1, 5, 0)
		if b := e(a); string(b) == string(want[:]) {
			return b
		}
	}
}

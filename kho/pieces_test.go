package kho_test

import (
	"testing"

	"github.com/google/go-cmp/cmp"

	"ferry/kho"
	"ferry/phys"
)

// TestFirstPiecesAreThoseThatADraftCuts, whatever is occupied.
func TestFirstPiecesAreThoseThatADraftCuts(t *testing.T) {
	for name, occupied := range map[string]phys.Ranges{
		"nothing is occupied":        nil,
		"the lowest piece is":        phys.NewRanges(phys.Block{Addr: scratch1 + 0x5000}.Range()),
		"one in the middle is":       phys.NewRanges(phys.Block{Addr: scratch1 + 6<<20}.Range()),
		"the larger area is in part": phys.NewRanges(phys.Range{Start: scratch1, End: scratch1 + 40<<20}),
	} {
		f := newFixture(t)
		h := f.open()
		table, _ := phys.Span(h.Data().Scratch, h.Data().ScratchSize)
		var areas []phys.Range
		for _, a := range h.Table() {
			areas = append(areas, phys.Range{Start: a.Addr, End: a.Addr + phys.Addr(a.Size)})
		}
		d, _ := f.crossed(2500, occupied) // ten megabytes, less than three pieces
		want := kho.FirstPieces(areas, occupied.Add(table), 3)
		if diff := cmp.Diff(want, d.Pool()); diff != "" {
			t.Errorf("%s (-first pieces +pool):\n%s", name, diff)
		}
		if got := kho.FirstPieces(areas, occupied.Add(table), 1); got.Size() != 4<<20 || !want.Contains(got[0]) {
			t.Errorf("%s: the first piece is %v, of %v", name, got, want)
		}
		if got := kho.FirstPieces(areas, phys.NewRanges(areas...), 4); len(got) != 0 {
			t.Errorf("%s: %v, though all is occupied", name, got)
		}
	}
}

package own_test

import (
	"errors"
	"testing"

	"ferry/own"
	"ferry/phys"
)

// all is a handover that preserves every block.
type all struct{}

func (all) Preserved(phys.Block) bool           { return true }
func (all) Head(a phys.Addr) (phys.Block, bool) { return phys.Block{Addr: a}, true }

// TestLedgersBesideEachOther: what one has passed is refused by those that stand
// beside it, and not the other way round.
func TestLedgersBesideEachOther(t *testing.T) {
	mem := machine(t)
	at := mem.RAM()[0].Start
	page := func(n int) phys.Block { return phys.Block{Addr: at + phys.Addr(n)<<phys.PageShift} }
	base := own.NewLedger(mem, all{}, nil)
	beside := base.Beside()
	third := beside.Beside()
	for i, tt := range []struct {
		c    *own.Ledger
		n    int
		want error
	}{
		{base, 0, nil}, {base, 0, own.ErrShared}, {beside, 0, own.ErrShared}, {third, 0, own.ErrShared},
		{beside, 1, nil}, {third, 1, own.ErrShared}, {base, 1, nil},
		{third, 2, nil}, {beside, 2, nil}, {base.Beside(), 2, nil},
	} {
		if err := tt.c.Claim("a block", page(tt.n)); !errors.Is(err, tt.want) || (err != nil) != (tt.want != nil) {
			t.Errorf("step %d: %v, want %v", i, err, tt.want)
		}
	}
	if w := third.Owned(0, uint64(at.PFN())&^63) >> (at.PFN() % 64); w != 1|1<<1|1<<2 {
		t.Errorf("owned %#b, want 111", w)
	}
	beside.Forget()
	if err := beside.Claim("a block", page(2)); err != nil {
		t.Errorf("after it was forgotten: %v", err)
	}
	if err := beside.Claim("a block", page(0)); !errors.Is(err, own.ErrShared) {
		t.Errorf("a block of the first is forgotten as well: %v", err)
	}
}

// TestDisputedBlocksAreNobodys: the second to ask for a block is refused at once, and
// the first when it asks again.
func TestDisputedBlocksAreNobodys(t *testing.T) {
	mem := machine(t)
	b, other := phys.Block{Addr: mem.RAM()[0].Start}, phys.Block{Addr: mem.RAM()[0].Start + phys.PageSize}
	base := own.NewLedger(mem, all{}, nil)
	var disputed own.Disputed
	for round, want := range [][]bool{{true, false, true}, {false, false, true}} {
		c := base.Beside()
		c.Dispute(&disputed)
		for i, ask := range []phys.Block{b, b, other} {
			if err := c.Claim("a block", ask); (err == nil) != want[i] {
				t.Errorf("round %d, request %d: %v", round, i, err)
			}
		}
	}
	// What is another's anyway is nothing to dispute.
	if err := base.Claim("a block", phys.Block{Addr: b.Addr + 2*phys.PageSize}); err != nil {
		t.Fatal(err)
	}
	c := base.Beside()
	c.Dispute(&disputed)
	if err := c.Claim("a block", phys.Block{Addr: b.Addr + 2*phys.PageSize}); err == nil || disputed.Has(phys.Block{Addr: b.Addr + 2*phys.PageSize}) {
		t.Errorf("%v", err)
	}
}

// TestSharedBlocksArePassedAgain, but not those of the ledger beside.
func TestSharedBlocksArePassedAgain(t *testing.T) {
	mem := machine(t)
	at := mem.RAM()[0].Start
	base := own.NewLedger(mem, all{}, nil)
	if err := base.Claim("a block", phys.Block{Addr: at}); err != nil {
		t.Fatal(err)
	}
	c := base.Beside()
	for i, tt := range []struct {
		b      phys.Block
		shared bool
		want   error
	}{
		{phys.Block{Addr: at}, false, own.ErrShared},
		{phys.Block{Addr: at + phys.PageSize}, false, nil},
		{phys.Block{Addr: at + phys.PageSize}, true, nil},
		{phys.Block{Addr: at + 8}, false, own.ErrPlace},
	} {
		shared, err := c.As("an object", tt.b.Addr).Share("a block", tt.b)
		if shared != tt.shared || !errors.Is(err, tt.want) || (err != nil) != (tt.want != nil) {
			t.Errorf("step %d: %v, %v, want %v, %v", i, shared, err, tt.shared, tt.want)
		}
	}
}

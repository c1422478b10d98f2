package own_test

import (
	"errors"
	"fmt"
	"reflect"
	"strings"
	"testing"

	"ferry/own"
	"ferry/phys"
	"ferry/phys/phystest"
)

// The machine of the tests: RAM with scratch at its end.
const (
	ramStart = phys.Addr(0x1000_0000)
	ramEnd   = ramStart + 0x40_0000
	scratch  = ramStart + 0x20_0000
)

func machine(t testing.TB) phys.Memory {
	t.Helper()
	return phystest.New(t, phys.Range{Start: ramStart, End: ramEnd})
}

// some is a handover that preserves these blocks.
type some map[phys.Block]bool

func (s some) Preserved(b phys.Block) bool { return s[b] }

func (s some) Head(a phys.Addr) (b phys.Block, ok bool) {
	for b := range s {
		if b.Addr == a {
			return b, true
		}
	}
	return phys.Block{}, false
}

func page(n int) phys.Block { return phys.Block{Addr: ramStart + phys.Addr(n)<<phys.PageShift} }

// TestRulesJudgeEveryPlace: the rules judge alike whoever asks, a block, a page and
// memory in bulk.
func TestRulesJudgeEveryPlace(t *testing.T) {
	ram := phys.NewRanges(phys.Range{Start: 0x1000, End: 0x20_0000}, phys.Range{Start: ramStart, End: ramEnd})
	mem := phystest.NewSparse(t, ram...)
	rules := own.NewRules(ram, phys.Ranges{{Start: scratch, End: scratch + 0x10_0000}})
	for _, tt := range []struct {
		b    phys.Block
		rule error
		text string
	}{
		{phys.Block{Addr: ramStart}, nil, ""},
		{phys.Block{Addr: ramStart, Order: 9}, nil, ""},
		{phys.Block{Addr: scratch - phys.PageSize}, nil, ""},
		{phys.Block{Addr: scratch + 0x10_0000}, nil, ""},
		{phys.Block{Addr: phys.LowMemory}, nil, ""},
		{phys.Block{Addr: phys.LowMemory - phys.PageSize}, own.ErrPlace, "below 1 MiB"},
		{phys.Block{Addr: 0}, own.ErrPlace, "below 1 MiB"},
		{phys.Block{Addr: ramStart + 8}, own.ErrPlace, "not a multiple of 4096"},
		{phys.Block{Addr: ramStart + phys.PageSize, Order: 1}, own.ErrPlace, "not a multiple of 8192"},
		{phys.Block{Addr: scratch}, own.ErrPlace, "inside scratch area"},
		{phys.Block{Addr: scratch + 0xf_f000}, own.ErrPlace, "inside scratch area"},
		{phys.Block{Addr: ramStart, Order: 10}, own.ErrPlace, "inside scratch area"},
		{phys.Block{Addr: ramEnd}, phys.ErrNotRAM, "not in RAM"},
		{phys.Block{Addr: ^phys.Addr(0xfff)}, phys.ErrNotRAM, "not in RAM"},
		{phys.Block{Addr: 0, Order: phys.MaxOrder + 1}, own.ErrPlace, "order 52"},
	} {
		err := rules.Check("thing", tt.b)
		var e *phys.Error
		if !errors.Is(err, tt.rule) || (err != nil) != (tt.rule != nil) ||
			err != nil && (!errors.As(err, &e) || e.Object != "thing" || e.Addr != tt.b.Addr || !strings.Contains(e.Found, tt.text)) {
			t.Errorf("%v: %v, want %v with %q", tt.b, err, tt.rule, tt.text)
		}
		if tt.b.Order > phys.MaxOrder {
			continue
		}
		if r, ok := phys.Span(tt.b.Addr, tt.b.Order.Bytes()); tt.b.Addr.Aligned(tt.b.Order.Bytes()) && ok && rules.Allow(r) != (err == nil) {
			t.Errorf("%v: allowed %v, and %v", r, rules.Allow(r), err)
		}
		if b, viewed := rules.View(mem, "thing", tt.b.Addr); tt.b.Order == 0 && (!errors.Is(viewed, tt.rule) || (viewed == nil) != (len(b) == phys.PageSize)) {
			t.Errorf("view of %v: %d bytes, %v, want %v", tt.b, len(b), viewed, tt.rule)
		}
	}
}

// TestALedgerProvesPlaceAndPreservation: what breaks a rule or is preserved otherwise
// is given to nobody.
func TestALedgerProvesPlaceAndPreservation(t *testing.T) {
	mem := machine(t)
	set := some{page(1): true, {Addr: ramStart + 0x4000, Order: 2}: true, {Addr: scratch}: true, {Addr: ramEnd}: true, {Addr: ramStart + 8}: true, {Addr: 0x8000}: true}
	ledger := own.NewLedger(mem, set, phys.Ranges{{Start: scratch, End: ramEnd}})
	for _, tt := range []struct {
		b    phys.Block
		rule error
	}{
		{page(1), nil},
		{phys.Block{Addr: ramStart + 0x4000, Order: 2}, nil},
		{page(2), own.ErrPreserved},
		{page(4), own.ErrPreserved}, // with another order
		{phys.Block{Addr: ramStart, Order: 1}, own.ErrPreserved},
		{phys.Block{Addr: scratch}, own.ErrPlace},
		{phys.Block{Addr: ramStart + 8}, own.ErrPlace},
		{phys.Block{Addr: 0x8000}, own.ErrPlace},
		{phys.Block{Addr: ramEnd}, phys.ErrNotRAM},
	} {
		b, err := ledger.As("file", ramStart).Block("memory", tt.b)
		if !errors.Is(err, tt.rule) || (err != nil) != (tt.rule != nil) {
			t.Errorf("%v: %v, want %v", tt.b, err, tt.rule)
			continue
		}
		bytes, bad := b.View()
		if (bad == nil) != (err == nil) || err == nil && (uint64(len(bytes)) != tt.b.Order.Bytes() || b.Block() != tt.b) {
			t.Errorf("%v: window of %d bytes of %v, %v", tt.b, len(bytes), b.Block(), bad)
		}
		if ledger.Has(tt.b) != (err == nil) {
			t.Errorf("%v: owned %v after %v", tt.b, ledger.Has(tt.b), err)
		}
	}
}

// TestTheSecondOwnerIsToldTheFirst by kind, address and part, by every ledger beside.
func TestTheSecondOwnerIsToldTheFirst(t *testing.T) {
	ledger := own.NewLedger(machine(t), all{}, nil)
	one, two := ledger.As("file", 0x1111_0000), ledger.As("file", 0x2222_0000)
	must := func(err error) {
		t.Helper()
		if err != nil {
			t.Fatal(err)
		}
	}
	must(one.Claim("structure", page(0)))
	must(two.Claim("structure", page(1)))
	for i := range 8 { // in no order, as page caches have them
		must(one.Claim("memory", page(10+i*5%8)))
	}
	for i := range 8 {
		must(two.Claim("memory", page(20+i)))
	}
	must(one.Claim("memory", phys.Block{Addr: ramStart + 0x10_0000, Order: 4}))
	must(ledger.Claim("root", page(40)))
	beside := ledger.Beside()
	must(beside.As("chain", 0x3333_0000).Claim("block", page(50)))
	for _, tt := range []struct {
		b    phys.Block
		want string
	}{
		{page(0), "already part of file 0x11110000 (structure), want a block of its own"},
		{page(1), "already part of file 0x22220000 (structure), want"},
		{page(10), "already part of file 0x11110000 (memory), want"},
		{page(17), "already part of file 0x11110000 (memory), want"},
		{page(20), "already part of file 0x22220000 (memory), want"},
		{page(27), "already part of file 0x22220000 (memory), want"},
		{phys.Block{Addr: ramStart + 0x10_0000, Order: 4}, "already part of file 0x11110000 (memory), want"},
		{page(40), "already part of root 0x10028000, want"},
		{page(50), "already part of chain 0x33330000 (block), want"},
	} {
		err := beside.As("session", 5).Claim("array", tt.b)
		if !errors.Is(err, own.ErrShared) || !strings.Contains(err.Error(), fmt.Sprintf("array %v: %s", tt.b.Addr, tt.want)) {
			t.Errorf("%v: %v, want %q", tt.b, err, tt.want)
		}
	}
}

// TestNobodyIsNamedWronglyIfOwnersAreMixed: between the blocks of two objects that
// alternate none is named, rather than the wrong one.
func TestNobodyIsNamedWronglyIfOwnersAreMixed(t *testing.T) {
	ledger := own.NewLedger(machine(t), all{}, nil)
	for i := range 10 {
		for _, at := range []phys.Addr{0x1000, 0x2000} {
			if err := ledger.As("file", at).Claim("memory", page(2*i+int(at>>13))); err != nil {
				t.Fatal(err)
			}
		}
	}
	wide := ledger.As("file", 0x3000)
	for _, n := range []int{40, 60, 41, 59} {
		if err := wide.Claim("memory", page(n)); err != nil {
			t.Fatal(err)
		}
		if err := ledger.As("file", 0x4000).Claim("memory", page(n)); !strings.Contains(err.Error(), "file 0x3000") {
			t.Errorf("page %d: %v, want its owner", n, err)
		}
	}
	for i := range 20 {
		err := ledger.As("file", 0x4000).Claim("memory", page(i))
		if want := fmt.Sprintf("file 0x%d000", 1+i%2); !strings.Contains(err.Error(), want) && !strings.Contains(err.Error(), "another object") {
			t.Errorf("page %d: %v, want %s or nobody", i, err, want)
		}
	}
}

// TestBothPartiesOfADisputeAreTold who the other is.
func TestBothPartiesOfADisputeAreTold(t *testing.T) {
	base := own.NewLedger(machine(t), all{}, nil)
	var disputed own.Disputed
	for round, want := range [][2]string{{"", "file 0x1000"}, {"file 0x2000", "file 0x1000"}} {
		ledger := base.Beside()
		ledger.Dispute(&disputed)
		for i, at := range []phys.Addr{0x1000, 0x2000} {
			err := ledger.As("file", at).Claim("memory", page(3))
			if (err == nil) != (want[i] == "") || err != nil && !strings.Contains(err.Error(), "already part of "+want[i]) {
				t.Errorf("round %d, file %v: %v, want %q", round, at, err, want[i])
			}
		}
	}
}

// TestWithoutALedgerNothingIsProved: neither nil nor a zero value opens a door.
func TestWithoutALedgerNothingIsProved(t *testing.T) {
	var ledger *own.Ledger
	if _, err := ledger.Page("a page", ramStart); err == nil {
		t.Error("a page of no ledger")
	}
	if err := ledger.Claim("a block", page(0)); err == nil {
		t.Error("a block of no ledger")
	}
	var c own.Claimant
	if p, err := c.Page("a page", ramStart); err == nil || p != (own.Page{}) {
		t.Errorf("a page of nobody: %v", p)
	}
	if _, err := c.Block("a block", page(0)); err == nil {
		t.Error("a block of nobody")
	}
	if _, err := c.Share("a block", page(0)); err == nil {
		t.Error("a share of nobody")
	}
	if c.Space().Preserved(page(0)) {
		t.Error("something is preserved nowhere")
	}
	if b := (own.Page{}).Bytes(); b != nil {
		t.Errorf("no page has %d bytes", len(b))
	}
	if b, err := (own.Block{}).View(); err == nil {
		t.Errorf("no block has %d bytes", len(b))
	}
}

// TestProofsCannotBeMade outside the package: no field of them can be set.
func TestProofsCannotBeMade(t *testing.T) {
	for _, v := range []any{own.Page{}, own.Block{}, own.Claimant{}, own.Ledger{}, own.Rules{}, own.Space{}} {
		for f := range fields(reflect.TypeOf(v)) {
			if f.IsExported() {
				t.Errorf("%T: field %s can be set by anybody", v, f.Name)
			}
		}
	}
}

func fields(t reflect.Type) func(func(reflect.StructField) bool) {
	return func(yield func(reflect.StructField) bool) {
		for i := range t.NumField() {
			if !yield(t.Field(i)) {
				return
			}
		}
	}
}

// TestClaimsTakeBoundedMemory: however many objects claim, what is remembered of them
// is no more than a MiB or two, and claims stay exact.
func TestClaimsTakeBoundedMemory(t *testing.T) {
	m := &large{ram: phys.NewRanges(phys.Range{Start: 1 << 32, End: 1 << 46})}
	const objects = 200_000
	phystest.Bounded(t, 4<<20, func() {
		ledger := own.NewLedger(m, m, nil)
		for i := range objects {
			b := phys.Block{Addr: 1<<32 + phys.Addr(i)<<12}
			if err := ledger.As("file", b.Addr).Claim("structure", b); err != nil {
				t.Fatal(err)
			}
		}
		for _, i := range []int{0, objects - 1} {
			if err := ledger.Claim("again", phys.Block{Addr: 1<<32 + phys.Addr(i)<<12}); !errors.Is(err, own.ErrShared) {
				t.Errorf("block %d: %v", i, err)
			}
		}
	})
}

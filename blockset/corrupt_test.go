package blockset_test

import (
	"encoding/binary"
	"errors"
	"strings"
	"testing"

	"ferry/blockset"
	"ferry/blockset/blocktest"
	"ferry/own"
	"ferry/phys"
	"ferry/phys/phystest"
)

// put writes field off of the block at index i.
func put(s *blockset.Set, i, off int, v uint64) {
	binary.LittleEndian.PutUint64(s.Blocks()[i].Page()[off:], v)
}

func TestRestoreRejects(t *testing.T) {
	const bad = uint64(base) + 0x800000 // RAM that is not preserved
	tests := []struct {
		name   string
		break_ func(*blockset.Set, *blocktest.Pages) phys.Addr // returns the head to restore
		want   error
		object string
		text   string
	}{
		{"a block that links to itself", func(s *blockset.Set, _ *blocktest.Pages) phys.Addr {
			put(s, 0, 0, uint64(s.Head()))
			return s.Head()
		}, blockset.ErrCycle, "block 1", "is block 0 of the same chain"},
		{"a cycle of three blocks", func(s *blockset.Set, _ *blocktest.Pages) phys.Addr {
			put(s, 4, 0, uint64(s.Blocks()[2].Addr()))
			return s.Head()
		}, blockset.ErrCycle, "block 5", "is block 2 of the same chain"},
		{"a cycle through the head", func(s *blockset.Set, _ *blocktest.Pages) phys.Addr {
			put(s, 4, 0, uint64(s.Head()))
			return s.Head()
		}, blockset.ErrCycle, "block 5", "(next pointer of block 4 at 0x10004000)"},
		{"a block without records", func(s *blockset.Set, _ *blocktest.Pages) phys.Addr {
			put(s, 1, 8, 0)
			return s.Head()
		}, blockset.ErrCount, "block 1", "count 0, want 1..63"},
		{"a count beyond the capacity", func(s *blockset.Set, _ *blocktest.Pages) phys.Addr {
			put(s, 2, 8, 64)
			return s.Head()
		}, blockset.ErrCount, "block 2", "block 2 0x10002000: count 64, want 1..63"},
		{"a count of all ones", func(s *blockset.Set, _ *blocktest.Pages) phys.Addr {
			put(s, 0, 8, ^uint64(0))
			return s.Head()
		}, blockset.ErrCount, "block 0", "count 18446744073709551615"},
		{"a pointer outside RAM", func(s *blockset.Set, _ *blocktest.Pages) phys.Addr {
			put(s, 1, 0, 0x7fff00000000)
			return s.Head()
		}, phys.ErrNotRAM, "block 2", "0x7fff00000000"},
		{"a pointer at the end of the address space", func(s *blockset.Set, _ *blocktest.Pages) phys.Addr {
			put(s, 1, 0, 0xfffffffffffff000)
			return s.Head()
		}, phys.ErrNotRAM, "block 2", ""},
		{"a head outside RAM", func(*blockset.Set, *blocktest.Pages) phys.Addr {
			return 0x7fff00000000
		}, phys.ErrNotRAM, "block 0", ""},
		{"a pointer that is not page aligned", func(s *blockset.Set, _ *blocktest.Pages) phys.Addr {
			put(s, 1, 0, uint64(s.Blocks()[2].Addr())+16)
			return s.Head()
		}, own.ErrPlace, "block 2", "not a multiple of 4096"},
		{"a block in scratch", func(s *blockset.Set, p *blocktest.Pages) phys.Addr {
			p.Preserve(phys.Block{Addr: scratch[0].Start})
			put(s, 0, 0, uint64(scratch[0].Start))
			return s.Head()
		}, own.ErrPlace, "block 1", "inside scratch area [0x14000000-0x140fffff]"},
		{"a block that is not preserved", func(s *blockset.Set, _ *blocktest.Pages) phys.Addr {
			put(s, 0, 0, bad)
			return s.Head()
		}, own.ErrPreserved, "block 1", "not preserved with order 0"},
		{"a block preserved with another order", func(s *blockset.Set, p *blocktest.Pages) phys.Addr {
			p.Preserve(phys.Block{Addr: phys.Addr(bad), Order: 1})
			put(s, 0, 0, bad)
			return s.Head()
		}, own.ErrPreserved, "block 1", ""},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			mem, pages := machine(t)
			l := layout(t, 64)
			s := write(t, pages, l, records(5*63, 64, 7))
			chk := own.NewLedger(mem, pages, scratch)
			_, err := blockset.Restore(chk, l, tt.break_(s, pages), nil)
			var e *phys.Error
			if !errors.Is(err, tt.want) || !errors.As(err, &e) {
				t.Fatalf("got %v, want %v", err, tt.want)
			}
			if e.Object != tt.object || !strings.Contains(err.Error(), tt.text) {
				t.Errorf("got %q, want object %q and text %q", err, tt.object, tt.text)
			}
		})
	}
}

func TestBlockBelowOneMiBIsRefused(t *testing.T) {
	mem := phystest.NewSparse(t, phys.Range{Start: 0, End: 2 << 20})
	pages := blocktest.New(mem, phys.Range{Start: 0xff000, End: 0x102000})
	l := layout(t, 64)
	low := write(t, pages, l, make([]byte, 64))
	high := write(t, pages, l, make([]byte, 64))
	chk := own.NewLedger(mem, pages, nil)
	if _, err := blockset.Restore(chk, l, low.Head(), nil); !errors.Is(err, own.ErrPlace) {
		t.Errorf("page at %v: %v, want ErrLowMemory", low.Head(), err)
	}
	if _, err := blockset.Restore(chk, l, high.Head(), nil); err != nil {
		t.Errorf("page at %v: %v", high.Head(), err)
	}
}

func TestRestoreRejectsBlockOfAnotherChain(t *testing.T) {
	mem, pages := machine(t)
	l := layout(t, 64)
	one := write(t, pages, l, records(3*63, 64, 8))
	two := write(t, pages, l, records(3*63, 64, 9))
	put(two, 2, 0, uint64(one.Blocks()[1].Addr()))
	chk := own.NewLedger(mem, pages, scratch)
	if _, err := blockset.Restore(chk, l, one.Head(), nil); err != nil {
		t.Fatal(err)
	}
	_, err := blockset.Restore(chk, l, two.Head(), nil)
	if !errors.Is(err, own.ErrShared) || !strings.Contains(err.Error(), "block 3 0x10001000: already part of block 0x10000000,") {
		t.Errorf("got %v, want block 3 refused as shared", err)
	}
	if _, err := blockset.Restore(own.NewLedger(mem, pages, scratch), l, one.Head(), nil); err != nil {
		t.Errorf("another handover's ledger: %v", err)
	}
}

func TestCheckerProvesBlocksOfAnyOrder(t *testing.T) {
	mem, pages := machine(t)
	big := phys.Block{Addr: base + 4<<20, Order: 9}
	pages.Preserve(big)
	pages.Preserve(phys.Block{Addr: base + sizeRAM - 2<<20, Order: 10})
	chk := own.NewLedger(mem, pages, scratch)
	for _, tt := range []struct {
		name string
		b    phys.Block
		want error
	}{
		{"preserved", big, nil},
		{"a second time", big, own.ErrShared},
		{"its head as another order", phys.Block{Addr: big.Addr, Order: 0}, own.ErrPreserved},
		{"a page inside it", phys.Block{Addr: big.Addr + phys.PageSize}, own.ErrPreserved},
		{"unaligned for its order", phys.Block{Addr: base + sizeRAM - 2<<20, Order: 10}, own.ErrPlace},
		{"an impossible order", phys.Block{Addr: big.Addr, Order: 60}, own.ErrPlace},
		{"beyond the end of RAM", phys.Block{Addr: base, Order: 15}, phys.ErrNotRAM},
	} {
		if err := chk.Claim("folio", tt.b); !errors.Is(err, tt.want) {
			t.Errorf("%s: %v, want %v", tt.name, err, tt.want)
		}
	}
}

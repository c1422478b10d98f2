package blockset_test

import (
	"encoding/binary"
	"errors"
	"io"
	"testing"

	"ferry/blockset"
	"ferry/own"
	"ferry/phys"
)

func TestTooManyRecordsAreRefusedBeforeAnyPageIsTaken(t *testing.T) {
	l := layout(t, 64)
	if err := blockset.New(l, noPages{}).Grow(l.Max() + 1); !errors.Is(err, blockset.ErrLimit) {
		t.Errorf("%v, want ErrLimit", err)
	}
	if err := blockset.New(l, noPages{}).Grow(l.Max()); !errors.Is(err, io.ErrShortWrite) {
		t.Errorf("%v, want that of the pages", err)
	}
}

func TestFullLengthChainIsReadAndWritten(t *testing.T) {
	mem, pages := machine(t)
	l := layout(t, 64)
	recs := records(1, 64, 5)
	s := blockset.New(l, pages)
	if err := s.Grow(630000); err != nil {
		t.Fatal(err)
	}
	it := s.Iter()
	for i := range 630000 {
		e := it.Reserve()
		copy(e, recs)
		binary.LittleEndian.PutUint64(e[56:], uint64(i))
	}
	if it.Reserve() != nil {
		t.Error("reserved record 630001")
	}
	if err := s.Grow(630001); !errors.Is(err, blockset.ErrLimit) {
		t.Errorf("growing to 630001 records: %v, want ErrLimit", err)
	}
	if err := s.Append(recs); !errors.Is(err, blockset.ErrLimit) {
		t.Errorf("appending record 630001: %v, want ErrLimit", err)
	}
	in, err := blockset.Restore(own.NewLedger(mem, pages, scratch), l, s.Head(), nil)
	if err != nil {
		t.Fatal(err)
	}
	it = in.Iter()
	for i := range 630000 {
		if got := binary.LittleEndian.Uint64(it.Next()[56:]); got != uint64(i) {
			t.Fatalf("record %d holds %d", i, got)
		}
	}
	if it.Next() != nil {
		t.Error("read record 630001")
	}
}

func TestChainOfOneBlockTooManyIsRefused(t *testing.T) {
	mem, pages := machine(t)
	l := layout(t, 64)
	s := blockset.New(l, pages)
	if err := s.Grow(630000); err != nil {
		t.Fatal(err)
	}
	for it := s.Iter(); it.Reserve() != nil; {
	}
	a, page, err := pages.Alloc()
	if err != nil {
		t.Fatal(err)
	}
	binary.LittleEndian.PutUint64(page[8:], 1)
	binary.LittleEndian.PutUint64(s.Blocks()[9999].Page(), uint64(a))
	_, err = blockset.Restore(own.NewLedger(mem, pages, scratch), l, s.Head(), nil)
	var e *phys.Error
	if !errors.As(err, &e) || !errors.Is(err, blockset.ErrLimit) || e.Addr != a || e.Object != "block 10000" {
		t.Errorf("got %v, want block 10000 at %v refused", err, a)
	}
}

func TestAppendTakesWholeRecordsAlone(t *testing.T) {
	_, pages := machine(t)
	s := blockset.New(layout(t, 64), pages)
	for _, n := range []int{1, 63, 65, 64*63 + 1} {
		if err := s.Append(records(1, n, 1)); !errors.Is(err, blockset.ErrEntrySize) || s.Len() != 0 || !s.Empty() {
			t.Errorf("%d bytes: %v, and %d records kept", n, err, s.Len())
		}
	}
	if err := s.Append(nil); err != nil || !s.Empty() {
		t.Errorf("nothing: %v", err)
	}
}

// A layout that [blockset.LayoutOf] does not return is no chain's.
func TestLayoutsThatFitNoBlockHoldNothing(t *testing.T) {
	mem, pages := machine(t)
	head := write(t, pages, layout(t, 64), records(3, 64, 1)).Head()
	for _, l := range []blockset.Layout{0, blockset.Room + 1, 1<<16 - 1} {
		if l.Capacity() != 0 || l.Blocks(0) != 0 || l.Blocks(7) != 0 || l.Max() != 0 {
			t.Errorf("layout %d: %d records in a block, %d blocks for 7, at most %d", l, l.Capacity(), l.Blocks(7), l.Max())
		}
		s := blockset.New(l, noPages{})
		for what, err := range map[string]error{"grow": s.Grow(1), "append": s.Append(make([]byte, 1<<16))} {
			if !errors.Is(err, blockset.ErrEntrySize) {
				t.Errorf("layout %d: %s: %v", l, what, err)
			}
		}
		it := s.Iter()
		if err := s.Grow(0); err != nil || it.Reserve() != nil || it.Next() != nil || s.Len() != 0 {
			t.Errorf("layout %d: the empty set: %v, %d records", l, err, s.Len())
		}
		if _, err := blockset.Restore(own.NewLedger(mem, pages, scratch), l, head, nil); !errors.Is(err, blockset.ErrCount) {
			t.Errorf("layout %d: restored: %v", l, err)
		}
	}
}

func TestBlocksDoesNotOverflow(t *testing.T) {
	const most = int(^uint(0) >> 1)
	if got, want := layout(t, 64).Blocks(most), most/63+1; got != want || layout(t, 1).Blocks(-1) != 0 {
		t.Errorf("%d blocks, want %d", got, want)
	}
}

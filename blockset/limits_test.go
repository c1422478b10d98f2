package blockset_test

import (
	"encoding/binary"
	"errors"
	"io"
	"testing"

	"ferry/blockset"
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
	in, err := blockset.Restore(blockset.NewChecker(mem, pages, scratch), l, s.Head(), nil)
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
	binary.LittleEndian.PutUint64(s.Blocks()[9999].Page, uint64(a))
	_, err = blockset.Restore(blockset.NewChecker(mem, pages, scratch), l, s.Head(), nil)
	var e *phys.Error
	if !errors.As(err, &e) || !errors.Is(err, blockset.ErrLimit) || e.Addr != a || e.Object != "block 10000" {
		t.Errorf("got %v, want block 10000 at %v refused", err, a)
	}
}

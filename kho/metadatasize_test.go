package kho_test

import (
	"encoding/binary"
	"errors"
	"testing"

	"ferry/kho"
	"ferry/phys"
)

// TestMetadataTooSmallIsNamedWhereItsSizeStands: the node's number is what is wrong,
// not the memory that it speaks of.
func TestMetadataTooSmallIsNamedWhereItsSizeStands(t *testing.T) {
	f := newFixture(t)
	h, d := f.draft()
	s, _ := h.Subtree(kho.MetadataName)
	f.check(d.SetSubtree(kho.MetadataName, s.Data, kho.MetadataSize-1))
	var err error
	f.data, err = d.Commit()
	f.check(err)
	_, ok, err := f.open().Metadata()
	var e *phys.Error
	if ok || !errors.Is(err, kho.ErrMetadata) || !errors.As(err, &e) {
		t.Fatalf("%v, %v, want %v", ok, err, kho.ErrMetadata)
	}
	if n := binary.LittleEndian.Uint64(f.edit(e.Addr, 8)); n != kho.MetadataSize-1 {
		t.Errorf("%v: the number there is %#x", err, n)
	}
}

//go:build metal

package amd64_test

import (
	"errors"
	"runtime/debug"
	"testing"

	"ferry/board/amd64"
	_ "ferry/board/amd64/start" // what the test runs on
	"ferry/phys"
)

// store reports whether writing the first byte of b faults.
func store(b []byte) (faulted bool) {
	defer debug.SetPanicOnFault(debug.SetPanicOnFault(true))
	defer func() { faulted = recover() != nil }()
	b[0]++
	return false
}

// TestOnlyEditedPagesAreWritable uses RAM at 256 MiB, in the middle of large
// pages, and looks at the neighbours of what it edits.
func TestOnlyEditedPagesAreWritable(t *testing.T) {
	mem := amd64.Memory()
	const at = phys.Addr(0x10000000 + 5*phys.PageSize)
	for _, c := range []struct {
		name string
		at   phys.Addr
		n    uint64
	}{
		{"a page", at, phys.PageSize},
		{"bytes across two pages", at + 0x10ffe, 4},
		{"more than a large page", at + 0x100000, 5 << 20},
	} {
		t.Run(c.name, func(t *testing.T) {
			end, _ := phys.AlignUp(c.at+phys.Addr(c.n), phys.PageSize)
			edges := []phys.Addr{c.at.Page() - 1, c.at.Page(), end - 1, end}
			want := []bool{true, false, false, true}
			for _, a := range edges {
				b, err := mem.View(a, 1)
				if err != nil {
					t.Fatal(err)
				}
				if !store(b) {
					t.Errorf("%v is writable before", a)
				}
			}
			if b, err := mem.Edit(c.at, c.n); err != nil || uint64(len(b)) != c.n || uint64(cap(b)) != c.n {
				t.Fatalf("Edit: %d bytes, capacity %d, %v", len(b), cap(b), err)
			}
			for i, a := range edges {
				b, err := mem.View(a, 1)
				if err != nil {
					t.Fatal(err)
				}
				if faulted := store(b); faulted != want[i] {
					t.Errorf("a store to %v faults: %v, want %v", a, faulted, want[i])
				}
			}
		})
	}
}

// TestEditKeepsWhatMemoryHolds proves that splitting large pages moves nothing.
func TestEditKeepsWhatMemoryHolds(t *testing.T) {
	mem := amd64.Memory()
	const start, pages = phys.Addr(0x18000000), 1024
	for i := range phys.Addr(pages) {
		b, err := mem.Edit(start+i*phys.PageSize, 8)
		if err != nil {
			t.Fatal(err)
		}
		b[0], b[1] = byte(i), byte(i>>8)
	}
	all, err := mem.View(start, pages*phys.PageSize)
	if err != nil {
		t.Fatal(err)
	}
	for i := range pages {
		if b := all[i*phys.PageSize:]; b[0] != byte(i) || b[1] != byte(i>>8) {
			t.Fatalf("page %d holds %x", i, b[:2])
		}
	}
}

func TestEditRefusesTheStage(t *testing.T) {
	stage := amd64.Boot().Stage
	mem := amd64.Memory()
	for _, a := range []phys.Addr{stage.Start, stage.Start + 0x10000, stage.End - 8, stage.Start - 4} {
		if _, err := mem.Edit(a, 8); !errors.Is(err, phys.ErrReadOnly) && !errors.Is(err, phys.ErrNotRAM) {
			t.Errorf("Edit at %v: %v, want a refusal", a, err)
		}
	}
	if _, err := mem.Edit(stage.End, 8); err != nil {
		t.Errorf("Edit right after the stage: %v", err)
	}
	if _, err := mem.Edit(1<<50, 8); !errors.Is(err, phys.ErrNotRAM) {
		t.Errorf("Edit outside RAM: %v", err)
	}
}

// TestConfinedMemoryStaysReadOnly: once scratch is known there is no way to make a
// page outside writable, on either side of its border, nor to take that back.
func TestConfinedMemoryStaysReadOnly(t *testing.T) {
	mem := amd64.Memory()
	areas := phys.Ranges{{Start: 0x1600_0000, End: 0x1600_3000}, {Start: 0x1640_0000, End: 0x1680_0000}}
	mem.Confine(areas)
	mem.Confine(phys.Ranges{{Start: 0x1600_1000, End: 0x1700_0000}})
	for _, c := range []struct {
		at phys.Addr
		n  uint64
		ok bool
	}{
		{0x1600_0000, 8, false}, // of the first call alone
		{0x1600_1000, 0x2000, true},
		{0x1600_3000, 8, false},
		{0x163f_fff8, 8, false},
		{0x1640_0000, 4 << 20, true},
		{0x1680_0000, 8, false}, // of the second alone
		{0x1600_2ffc, 8, false},
	} {
		_, err := mem.Edit(c.at, c.n)
		if c.ok && err != nil || !c.ok && !errors.Is(err, phys.ErrReadOnly) {
			t.Errorf("Edit %#x bytes at %v: %v, want it allowed: %v", c.n, c.at, err, c.ok)
		}
		b, err := mem.View(c.at, 1)
		if err != nil {
			t.Fatal(err)
		}
		if faulted := store(b); faulted == c.ok && c.at != 0x1600_2ffc {
			t.Errorf("a store to %v faults: %v, want %v", c.at, faulted, !c.ok)
		}
	}
}

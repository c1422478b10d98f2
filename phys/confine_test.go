package phys_test

import (
	"errors"
	"testing"

	"ferry/phys"
	"ferry/phys/phystest"
)

// confinable is memory that remembers what it was confined to.
type confinable struct {
	phys.Memory
	to phys.Ranges
}

func (m *confinable) Confine(r phys.Ranges) { m.to = r }

func TestConfinedMemoryTakesNoOtherWrites(t *testing.T) {
	ram := phys.Range{Start: 0x1000_0000, End: 0x1010_0000}
	mem := &confinable{Memory: phystest.New(t, ram)}
	areas := phys.Ranges{{Start: 0x1000_2000, End: 0x1000_4000}, {Start: 0x1000_8000, End: 0x1000_8800}}
	c := phys.Confine(mem, areas)
	if len(mem.to) != 2 {
		t.Errorf("the memory was confined to %v, want %v", mem.to, areas)
	}
	for _, tt := range []struct {
		at phys.Addr
		n  uint64
		ok bool
	}{
		{0x1000_2000, 0x2000, true},
		{0x1000_3fff, 1, true},
		{0x1000_8000, 0x800, true},
		{0x1000_1fff, 1, false},
		{0x1000_3fff, 2, false},
		{0x1000_4000, 0x4000, false},
		{0x1000_8800, 1, false},
		{0x1000_3000, 0x6000, false}, // over both
		{0x1000_2000, ^uint64(0), false},
	} {
		b, err := c.Edit(tt.at, tt.n)
		if tt.ok && (err != nil || uint64(len(b)) != tt.n) || !tt.ok && !errors.Is(err, phys.ErrReadOnly) {
			t.Errorf("Edit %#x bytes at %v: %d bytes, %v; want %v", tt.n, tt.at, len(b), err, tt.ok)
		}
	}
	if _, err := c.View(ram.Start, ram.Size()); err != nil {
		t.Errorf("View: %v", err)
	}
}

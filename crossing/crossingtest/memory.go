//go:build linux

package crossingtest

import (
	"bytes"
	"fmt"

	"ferry/phys"
)

// Memory is the memory of a fake machine that knows what was written to it: every
// window for writing is noted, so that what may have changed can be held against
// what may change, and put back.
type Memory struct {
	phys.Memory
	base  map[phys.Addr][]byte // pages that are not zero, as they were at Freeze
	edits []phys.Range
	bytes uint64 // in edits
	limit uint64
}

// Edit implements [phys.Memory].
func (m *Memory) Edit(a phys.Addr, n uint64) ([]byte, error) {
	b, err := m.Memory.Edit(a, n)
	if err != nil || m.base == nil || n == 0 {
		return b, err
	}
	if m.bytes += n; m.bytes > m.limit {
		return nil, fmt.Errorf("more than %d bytes were asked for writing", m.limit)
	}
	m.edits = append(m.edits, phys.Range{Start: a, End: a + phys.Addr(n)})
	return b, nil
}

// Freeze remembers memory as it is in used; the rest is zero. limit is how many
// bytes may be edited until the next Reset, beyond which Edit fails.
func (m *Memory) Freeze(used phys.Ranges, limit uint64) error {
	m.base, m.limit = make(map[phys.Addr][]byte), limit
	for _, r := range used {
		for a := r.Start.Page(); a < r.End; a += phys.PageSize {
			b, err := m.View(a, phys.PageSize)
			if err != nil {
				return err
			}
			if [phys.PageSize]byte(b) != [phys.PageSize]byte{} {
				m.base[a] = bytes.Clone(b)
			}
		}
	}
	return nil
}

// Edits returns the memory that was edited since Freeze or Reset.
func (m *Memory) Edits() []phys.Range { return m.edits }

// Edited returns how many bytes that were.
func (m *Memory) Edited() uint64 { return m.bytes }

// Pages returns the pages that were not zero at Freeze.
func (m *Memory) Pages() map[phys.Addr][]byte { return m.base }

// Poke returns n bytes at a for a test to change between Reset and the crossing:
// no write of the crossing's.
func (m *Memory) Poke(a phys.Addr, n uint64) ([]byte, error) { return m.Memory.Edit(a, n) }

// Restore gives the pages of r the contents that they had at Freeze.
func (m *Memory) Restore(r phys.Range) error {
	for a := r.Start.Page(); a < r.End; a += phys.PageSize {
		b, err := m.Memory.Edit(a, phys.PageSize)
		if err != nil {
			return err
		}
		if old := m.base[a]; old != nil {
			copy(b, old)
		} else {
			clear(b)
		}
	}
	return nil
}

// Reset gives everything that was written the contents that it had at Freeze.
func (m *Memory) Reset() error {
	for _, r := range m.edits {
		if err := m.Restore(r); err != nil {
			return err
		}
	}
	m.edits, m.bytes = m.edits[:0], 0
	return nil
}

//go:build metal

package phystest

import (
	"encoding/binary"
	"testing"

	"ferry/board/amd64"
	"ferry/board/amd64/boardtest"
	"ferry/boot/protocol"
	"ferry/phys"
)

// OnMetal reports whether the test runs on the machine's own RAM.
const OnMetal = true

// New returns zeroed RAM at the given ranges, each a multiple of the page size:
// the machine's own at exactly these addresses, which must be free. What the test
// edits is zeroed again when it ends.
func New(t testing.TB, ram ...phys.Range) phys.Memory {
	t.Helper()
	m := &machineRAM{ram: phys.NewRanges(ram...), all: amd64.Memory(), edited: map[phys.PFN]bool{}}
	free := amd64.RAM().Sub(occupied()...)
	for _, r := range m.ram {
		if !r.Start.Aligned(phys.PageSize) || !r.End.Aligned(phys.PageSize) {
			t.Fatalf("test memory %v is not made of whole pages", r)
		}
		if !free.Contains(r) {
			t.Fatalf("test memory %v is not free RAM of this machine: %v", r, free)
		}
	}
	t.Cleanup(m.clear)
	return m
}

// occupied returns what the loader put into RAM and a test must not touch.
func occupied() []phys.Range {
	info := amd64.Boot()
	zp, ok := phys.Span(info.ZeroPage, phys.PageSize)
	rs := []phys.Range{info.Stage, {Start: 0, End: 1 << 20}}
	if ok {
		rs = append(rs, zp)
	}
	b, err := phys.NewDirect(boardtest.DirectMap, phys.Ranges{zp}).View(info.ZeroPage, phys.PageSize)
	if err != nil {
		return rs
	}
	field := func(low, high int) uint64 {
		return uint64(binary.LittleEndian.Uint32(b[low:])) | uint64(binary.LittleEndian.Uint32(b[high:]))<<32
	}
	if r, ok := phys.Span(phys.Addr(field(protocol.OffInitrd, protocol.OffExtInitrd)), field(protocol.OffInitrdLen, protocol.OffExtInitrdLen)); ok {
		rs = append(rs, r)
	}
	return rs
}

// machineRAM is RAM lent to one test.
type machineRAM struct {
	ram    phys.Ranges
	all    phys.Memory
	edited map[phys.PFN]bool
}

// known says which pages hold what tests left there, which is zeros, and not
// what the firmware left: a bit for each page, by chunks of 512.
var known = map[phys.PFN]*[8]uint64{}

// View implements [phys.Memory].
func (m *machineRAM) View(a phys.Addr, n uint64) ([]byte, error) {
	if err := phys.Check(m.ram, a, n); err != nil {
		return nil, err
	}
	b, err := m.all.View(a, n)
	if err != nil || n == 0 {
		return b, err
	}
	for p := a.PFN(); p <= (a + phys.Addr(n) - 1).PFN(); p++ {
		bits := known[p/512]
		if bits == nil {
			bits = new([8]uint64)
			known[p/512] = bits
		}
		if word, bit := &bits[p%512/64], uint64(1)<<(p%64); *word&bit == 0 {
			m.zero(p)
			*word |= bit
		}
	}
	return b, nil
}

// Edit implements [phys.Memory].
func (m *machineRAM) Edit(a phys.Addr, n uint64) ([]byte, error) {
	b, err := m.View(a, n)
	if err == nil && n > 0 {
		if b, err = m.all.Edit(a, n); err != nil {
			return nil, err
		}
		for p := a.PFN(); p <= (a + phys.Addr(n) - 1).PFN(); p++ {
			m.edited[p] = true
		}
	}
	return b, err
}

// RAM implements [phys.Memory].
func (m *machineRAM) RAM() phys.Ranges { return m.ram }

func (m *machineRAM) zero(p phys.PFN) {
	if b, err := m.all.Edit(p.Addr(), phys.PageSize); err == nil {
		clear(b)
	}
}

func (m *machineRAM) clear() {
	for p := range m.edited {
		m.zero(p)
	}
}

//go:build linux

package dump

import (
	"bytes"
	"debug/elf"
	"fmt"

	"ferry/phys"
)

// Sizes in bytes of what a core of 64 bits consists of.
const (
	elfHeader  = 64
	elfSegment = 56
	elfSection = 64
	elfMany    = 0xffff // PN_XNUM: the first section says how many segments there are
)

func isELF(head []byte) bool { return bytes.HasPrefix(head, []byte(elf.ELFMAG)) }

// readELF finds the segments of a core. Memory of which a segment holds no data, as
// makedumpfile -E leaves it, is RAM that was left out.
func (m *Memory) readELF(f image) error {
	h, ok := f.bytes(0, elfHeader)
	if !ok {
		return fmt.Errorf("ELF file of %d bytes, want a header of %d: %w", f.size, elfHeader, ErrTruncated)
	}
	class, data := elf.Class(h[elf.EI_CLASS]), elf.Data(h[elf.EI_DATA])
	if class != elf.ELFCLASS64 || data != elf.ELFDATA2LSB {
		return fmt.Errorf("ELF file of %v and %v, want a core of a machine of 64 bits, little endian: %w", class, data, ErrFormat)
	}
	if typ := elf.Type(le.Uint16(h[16:])); typ != elf.ET_CORE {
		return fmt.Errorf("ELF file of %v, want a core of a machine's memory: %w", typ, ErrFormat)
	}
	// QEMU says EM_386 of a machine whose processor is not in long mode.
	if machine := elf.Machine(le.Uint16(h[18:])); machine != elf.EM_X86_64 && machine != elf.EM_386 {
		return fmt.Errorf("ELF core of %v, want one of %v: %w", machine, elf.EM_X86_64, ErrFormat)
	}
	at, size, n := le.Uint64(h[32:]), le.Uint16(h[54:]), uint64(le.Uint16(h[56:]))
	if n == elfMany {
		if s, ok := f.bytes(le.Uint64(h[40:]), elfSection); ok {
			n = uint64(le.Uint32(s[44:]))
		}
	}
	if n > 0 && size != elfSegment {
		return fmt.Errorf("ELF core with segment headers of %d bytes, want %d: %w", size, elfSegment, ErrDamaged)
	}
	table, ok := f.bytes(at, n*elfSegment)
	if !ok {
		return fmt.Errorf("ELF core: %d segment headers at %#x of %#x bytes: %w", n, at, f.size, ErrTruncated)
	}
	for i := range n {
		p := table[i*elfSegment:]
		off, start, held, all := le.Uint64(p[8:]), phys.Addr(le.Uint64(p[24:])), le.Uint64(p[32:]), le.Uint64(p[40:])
		if elf.ProgType(le.Uint32(p)) != elf.PT_LOAD || max(held, all) == 0 {
			continue
		}
		if off > f.size || held > f.size-off {
			return fmt.Errorf("segment %d: %#x bytes at offset %#x of %#x: %w", i, held, off, f.size, ErrTruncated)
		}
		if _, ok := phys.Span(start, max(held, all)); !ok {
			return fmt.Errorf("segment %d: %#x bytes at %v wrap: %w", i, max(held, all), start, ErrDamaged)
		}
		if err := f.each(off, held, func(at uint64, data []byte) error { return m.add(start+phys.Addr(at-off), at, data) }); err != nil {
			return fmt.Errorf("segment %d: %w", i, err)
		}
		r, _ := phys.Span(start, max(held, all))
		m.ram = append(m.ram, r)
	}
	return m.seal()
}

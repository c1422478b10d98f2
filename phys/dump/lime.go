//go:build linux

package dump

import (
	"fmt"

	"ferry/phys"
)

// LiME writes each range of RAM behind a header of its own: magic u32, version u32, the
// first address and the last one u64, and 8 bytes that are zero. Source: LiME's lime.h,
// lime_mem_range_header.
const (
	limeMagic  = 0x4c694d45 // "EMiL" in memory
	limeHeader = 32
)

func isLiME(head []byte) bool { return len(head) >= 4 && le.Uint32(head) == limeMagic }

// readLiME finds the ranges.
func (m *Memory) readLiME(file []byte) error {
	for at := 0; at < len(file); {
		if len(file)-at < limeHeader {
			return fmt.Errorf("LiME: header at %#x of %#x bytes: %w", at, len(file), ErrTruncated)
		}
		h := file[at:]
		if magic, version := le.Uint32(h), le.Uint32(h[4:]); magic != limeMagic || version != 1 {
			return fmt.Errorf("LiME: header at %#x with magic %#x and version %d, want %#x and 1: %w", at, magic, version, limeMagic, ErrDamaged)
		}
		first, last := phys.Addr(le.Uint64(h[8:])), phys.Addr(le.Uint64(h[16:]))
		at += limeHeader
		if last < first || last == ^phys.Addr(0) {
			return fmt.Errorf("LiME: header at %#x: memory from %v to %v: %w", at-limeHeader, first, last, ErrDamaged)
		}
		n := uint64(last-first) + 1
		if n > uint64(len(file)-at) {
			return fmt.Errorf("LiME: %#x bytes of memory at %v, %#x left in the file: %w", n, first, len(file)-at, ErrTruncated)
		}
		if err := m.add(first, uint64(at), file[at:at+int(n)]); err != nil {
			return fmt.Errorf("LiME: %w", err)
		}
		at += int(n)
	}
	return m.seal()
}

package vmlinux

import "encoding/binary"

// undoX86 turns the absolute targets of calls and jumps into relative ones
// again, in place: the decoder of the .xz format's x86 filter. The first byte of
// b has position start.
//
// The filter looks for e8 and e9 with an operand whose top byte is 00 or ff. What
// looks like an instruction may stand inside another's operand, so it keeps in
// mind where it saw such bytes among the last three: bit 0 of seen is the byte
// before, bits 1 and 2 the two before that.
func undoX86(b []byte, start uint32) {
	const operand = 4
	var seen uint32
	last := -1 // position of the last e8 or e9 that was looked at
	for i := 0; i+operand < len(b); i++ {
		if b[i]&0xfe != 0xe8 {
			continue
		}
		if distance := i - last; distance > 3 {
			seen = 0
		} else {
			seen = seen << (distance - 1) & 7
		}
		last = i
		if seen != 0 && (unconverted(seen) || sign(b[i+operand-inside(seen)])) {
			seen = seen<<1 | 1
			continue
		}
		if !sign(b[i+operand]) {
			seen = seen<<1 | 1
			continue
		}
		at := start + uint32(i) + 1 + operand
		target := binary.LittleEndian.Uint32(b[i+1:])
		relative := target - at
		for seen != 0 {
			shift := 8 * inside(seen)
			if !sign(byte(relative >> (24 - shift))) {
				break
			}
			target = relative ^ (1<<(32-shift) - 1)
			relative = target - at
		}
		relative &= 1<<25 - 1 // 25 bits, the highest is the sign
		relative |= -(relative & (1 << 24))
		binary.LittleEndian.PutUint32(b[i+1:], relative)
		i += operand
	}
}

// sign reports whether a byte is the top of a small number of either sign.
func sign(b byte) bool { return b == 0x00 || b == 0xff }

// unconverted reports the patterns after which the encoder converts nothing.
func unconverted(seen uint32) bool { return seen == 3 || seen > 4 }

// inside returns by how many bytes the operand overlaps that of the earliest
// byte seen.
func inside(seen uint32) int {
	switch {
	case seen >= 4:
		return 3
	case seen >= 2:
		return 2
	}
	return int(seen)
}

package amd64

import "math/bits"

// The random generator is ChaCha20 with fast key erasure: each block's first half
// replaces the key, the second half is given out. What it is seeded with is
// stirred into the key.

// stir mixes v into the generator's key.
func (m *machine) stir(v uint64) {
	m.rng[m.rng[4]&3] ^= v
	m.rng[4]++
	if m.rng[4]&3 == 0 {
		m.churn()
	}
}

// seedRandom gathers what the machine itself has: RDRAND, and the jitter of the
// time stamp counter around port accesses.
func (m *machine) seedRandom() {
	_, _, c, _ := cpuid(1, 0)
	for range 16 {
		if c&(1<<30) != 0 {
			if v, ok := rdrand(); ok {
				m.stir(v)
			}
		}
		in8(pitChannel)
		m.stir(tsc())
	}
	m.churn()
}

// churn replaces the key and returns 32 fresh bytes.
func (m *machine) churn() (out [4]uint64) {
	var s, x [16]uint32
	s[0], s[1], s[2], s[3] = 0x61707865, 0x3320646e, 0x79622d32, 0x6b206574
	for i := range 4 {
		s[4+2*i], s[5+2*i] = uint32(m.rng[i]), uint32(m.rng[i]>>32)
	}
	m.rng[5]++
	s[12], s[13] = uint32(m.rng[5]), uint32(m.rng[5]>>32)
	for i := range 16 {
		x[i] = s[i]
	}
	for range 10 {
		quarter(&x, 0, 4, 8, 12)
		quarter(&x, 1, 5, 9, 13)
		quarter(&x, 2, 6, 10, 14)
		quarter(&x, 3, 7, 11, 15)
		quarter(&x, 0, 5, 10, 15)
		quarter(&x, 1, 6, 11, 12)
		quarter(&x, 2, 7, 8, 13)
		quarter(&x, 3, 4, 9, 14)
	}
	for i := range 16 {
		x[i] += s[i]
	}
	for i := range 4 {
		m.rng[i] = uint64(x[2*i]) | uint64(x[2*i+1])<<32
		out[i] = uint64(x[8+2*i]) | uint64(x[9+2*i])<<32
	}
	return out
}

func quarter(x *[16]uint32, a, b, c, d uint) {
	a, b, c, d = a&15, b&15, c&15, d&15
	x[a] += x[b]
	x[d] = bits.RotateLeft32(x[d]^x[a], 16)
	x[c] += x[d]
	x[b] = bits.RotateLeft32(x[b]^x[c], 12)
	x[a] += x[b]
	x[d] = bits.RotateLeft32(x[d]^x[a], 8)
	x[c] += x[d]
	x[b] = bits.RotateLeft32(x[b]^x[c], 7)
}

// FillRandom fills n bytes at virtual address a. Kernel code uses it; the rest
// of the world has [Random].
func FillRandom(a, n uintptr) {
	m := mach
	for n > 0 {
		enabled := disableInterrupts()
		m.rng[0] ^= tsc()
		block := m.churn()
		if enabled {
			enableInterrupts()
		}
		for i := uintptr(0); i < 32 && n > 0; i++ {
			*byteAt(uint64(a)) = byte(block[i>>3&3] >> (i & 7 * 8))
			a++
			n--
		}
	}
}

package kernel

import "math/bits"

// sha256 is the hash of FIPS 180-4 for kernel code, which must not call package
// crypto/sha256: that one allocates, and its bss is paged in on demand. A test
// compares the two.
type sha256 struct {
	h     [8]uint32
	block [16]uint32 // big endian words
	bytes uint64     // that were written
}

func (s *sha256) reset() {
	s.h[0], s.h[1], s.h[2], s.h[3] = 0x6a09e667, 0xbb67ae85, 0x3c6ef372, 0xa54ff53a
	s.h[4], s.h[5], s.h[6], s.h[7] = 0x510e527f, 0x9b05688c, 0x1f83d9ab, 0x5be0cd19
	s.bytes = 0
}

// writeByte appends one byte.
func (s *sha256) writeByte(b byte) {
	w := &s.block[s.bytes>>2&15]
	*w = *w<<8 | uint32(b)
	if s.bytes++; s.bytes&63 == 0 {
		s.compress()
	}
}

// write appends the 8 bytes of v, the lowest first.
func (s *sha256) write(v uint64) {
	for range 8 {
		s.writeByte(byte(v))
		v >>= 8
	}
}

// sum ends the message. Its hash is in h from then on, in big endian words.
func (s *sha256) sum() {
	n := s.bytes
	s.writeByte(0x80)
	for s.bytes&63 != 56 {
		s.writeByte(0)
	}
	for shift := 56; shift >= 0; shift -= 8 {
		s.writeByte(byte(n << 3 >> uint(shift&63)))
	}
}

// compress takes the block in.
func (s *sha256) compress() {
	a, b, c, d, e, f, g, h := s.h[0], s.h[1], s.h[2], s.h[3], s.h[4], s.h[5], s.h[6], s.h[7]
	w := &s.block
	for i := range uint(64) {
		if i >= 16 {
			v, u := w[(i-2)&15], w[(i-15)&15]
			w[i&15] += w[(i-7)&15] +
				(bits.RotateLeft32(v, -17) ^ bits.RotateLeft32(v, -19) ^ v>>10) +
				(bits.RotateLeft32(u, -7) ^ bits.RotateLeft32(u, -18) ^ u>>3)
		}
		t1 := h + (bits.RotateLeft32(e, -6) ^ bits.RotateLeft32(e, -11) ^ bits.RotateLeft32(e, -25)) +
			(e&f ^ ^e&g) + sha256K[i&63] + w[i&15]
		t2 := (bits.RotateLeft32(a, -2) ^ bits.RotateLeft32(a, -13) ^ bits.RotateLeft32(a, -22)) + (a&b ^ a&c ^ b&c)
		h, g, f, e, d, c, b, a = g, f, e, d+t1, c, b, a, t1+t2
	}
	s.h[0] += a
	s.h[1] += b
	s.h[2] += c
	s.h[3] += d
	s.h[4] += e
	s.h[5] += f
	s.h[6] += g
	s.h[7] += h
}

var sha256K = [64]uint32{
	0x428a2f98, 0x71374491, 0xb5c0fbcf, 0xe9b5dba5, 0x3956c25b, 0x59f111f1, 0x923f82a4, 0xab1c5ed5,
	0xd807aa98, 0x12835b01, 0x243185be, 0x550c7dc3, 0x72be5d74, 0x80deb1fe, 0x9bdc06a7, 0xc19bf174,
	0xe49b69c1, 0xefbe4786, 0x0fc19dc6, 0x240ca1cc, 0x2de92c6f, 0x4a7484aa, 0x5cb0a9dc, 0x76f988da,
	0x983e5152, 0xa831c66d, 0xb00327c8, 0xbf597fc7, 0xc6e00bf3, 0xd5a79147, 0x06ca6351, 0x14292967,
	0x27b70a85, 0x2e1b2138, 0x4d2c6dfc, 0x53380d13, 0x650a7354, 0x766a0abb, 0x81c2c92e, 0x92722c85,
	0xa2bfe8a1, 0xa81a664b, 0xc24b8b70, 0xc76c51a3, 0xd192e819, 0xd6990624, 0xf40e3585, 0x106aa070,
	0x19a4c116, 0x1e376c08, 0x2748774c, 0x34b0bcb5, 0x391c0cb3, 0x4ed8aa4a, 0x5b9cca4f, 0x682e6ff3,
	0x748f82ee, 0x78a5636f, 0x84c87814, 0x8cc70208, 0x90befffa, 0xa4506ceb, 0xbef9a3f7, 0xc67178f2,
}

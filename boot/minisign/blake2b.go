package minisign

import (
	"encoding/binary"
	"math/bits"
)

// BLAKE2b of RFC 7693 without a key, with a digest of 64 bytes. The standard
// library does not have it, and nothing else is linked into the stage.
const (
	digestSize = 64
	blockSize  = 128
	rounds     = 12
)

var iv = [8]uint64{
	0x6a09e667f3bcc908, 0xbb67ae8584caa73b, 0x3c6ef372fe94f82b, 0xa54ff53a5f1d36f1,
	0x510e527fade682d1, 0x9b05688c2b3e6c1f, 0x1f83d9abfb41bd6b, 0x5be0cd19137e2179,
}

// sigma says which word of the block goes where in each round; the last two
// rounds repeat the first two.
var sigma = [10][16]uint8{
	{0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15},
	{14, 10, 4, 8, 9, 15, 13, 6, 1, 12, 0, 2, 11, 7, 5, 3},
	{11, 8, 12, 0, 5, 2, 15, 13, 10, 14, 3, 6, 7, 1, 9, 4},
	{7, 9, 3, 1, 13, 12, 11, 14, 2, 6, 5, 10, 4, 0, 15, 8},
	{9, 0, 5, 7, 2, 4, 10, 15, 14, 1, 11, 12, 6, 8, 3, 13},
	{2, 12, 6, 10, 0, 11, 8, 3, 4, 13, 7, 5, 15, 14, 1, 9},
	{12, 5, 1, 15, 14, 13, 4, 10, 0, 7, 6, 3, 9, 2, 8, 11},
	{13, 11, 7, 14, 12, 1, 3, 9, 5, 0, 15, 4, 8, 6, 2, 10},
	{6, 15, 14, 9, 11, 3, 0, 8, 12, 2, 13, 7, 1, 4, 10, 5},
	{10, 2, 8, 4, 7, 6, 1, 5, 15, 11, 9, 14, 3, 12, 13, 0},
}

// lanes are the words that are mixed with each other: columns, then diagonals.
var lanes = [8][4]int{
	{0, 4, 8, 12}, {1, 5, 9, 13}, {2, 6, 10, 14}, {3, 7, 11, 15},
	{0, 5, 10, 15}, {1, 6, 11, 12}, {2, 7, 8, 13}, {3, 4, 9, 14},
}

// blake2b returns the digest of b.
func blake2b(b []byte) [digestSize]byte {
	h := iv
	h[0] ^= 1<<24 | 1<<16 | digestSize // depth and fanout of 1, no key
	total := uint64(len(b))
	for done := uint64(0); ; {
		var block [blockSize]byte
		n := copy(block[:], b)
		b, done = b[n:], done+uint64(n)
		compress(&h, &block, done, done == total)
		if done == total {
			break
		}
	}
	var digest [digestSize]byte
	for i, word := range h {
		binary.LittleEndian.PutUint64(digest[8*i:], word)
	}
	return digest
}

// compress mixes a block into the state. done is the number of bytes up to its
// end; more than 2^64 of them do not exist here.
func compress(h *[8]uint64, block *[blockSize]byte, done uint64, last bool) {
	var v, m [16]uint64
	copy(v[:8], h[:])
	copy(v[8:], iv[:])
	v[12] ^= done
	if last {
		v[14] = ^v[14]
	}
	for i := range m {
		m[i] = binary.LittleEndian.Uint64(block[8*i:])
	}
	for round := range rounds {
		s := &sigma[round%len(sigma)]
		for i, l := range lanes {
			x, y := m[s[2*i]], m[s[2*i+1]]
			a, b, c, d := v[l[0]], v[l[1]], v[l[2]], v[l[3]]
			a += b + x
			d = bits.RotateLeft64(d^a, -32)
			c += d
			b = bits.RotateLeft64(b^c, -24)
			a += b + y
			d = bits.RotateLeft64(d^a, -16)
			c += d
			b = bits.RotateLeft64(b^c, -63)
			v[l[0]], v[l[1]], v[l[2]], v[l[3]] = a, b, c, d
		}
	}
	for i := range h {
		h[i] ^= v[i] ^ v[i+8]
	}
}

package kernel

import "math/bits"

// rng is the generator of random numbers, ChaCha20 with fast key erasure: the first half of a block
// replaces the key, the second half is given out. The key is the SHA-256 of all that
// there is: what the loader gave, what the processor gives (RDSEED, RDRAND), and
// the jitter of the time stamp counter around port accesses. It is as good as the
// best of them.
type rng struct {
	key  [5]uint64 // key and counter
	pool sha256    // what the next key is made of
}

// Samples of each kind that a key is made of. A word of RDSEED has full entropy;
// jitter is counted as a bit a sample at most.
const (
	samples      = 64 // of jitter, for the first key
	samplesAgain = 8  // for each further one
	hardware     = 8  // words of RDSEED, and as many of RDRAND
	patience     = 16 // tries for each
)

// gather writes n samples of jitter and what the processor gives into the pool.
func (r *rng) gather(n int) {
	p := &r.pool
	p.write(tsc())
	for range n {
		in8(pitChannel)
		p.write(tsc())
	}
	_, _, c, _ := cpuid(1, 0)
	top, _, _, _ := cpuid(0, 0)
	b := uint32(0)
	if top >= 7 {
		_, b, _, _ = cpuid(7, 0)
	}
	for range hardware {
		if b&(1<<18) != 0 {
			for range patience {
				if v, ok := rdseed(); ok {
					p.write(v)
					break
				}
			}
		}
		if c&(1<<30) != 0 {
			for range patience {
				if v, ok := rdrand(); ok {
					p.write(v)
					break
				}
			}
		}
	}
}

// seedRandom makes the first key from the pool, into which the loader's seed went,
// and what the machine has.
func (r *rng) seed() {
	r.gather(samples)
	r.rekey()
}

// reseed makes a new key from the old one and what the machine has now.
func (r *rng) reseed() {
	r.pool.reset()
	for i := range 4 {
		r.pool.write(r.key[i])
	}
	r.gather(samplesAgain)
	r.rekey()
}

// rekey makes the pool's hash the key.
func (r *rng) rekey() {
	p := &r.pool
	p.sum()
	for i := range 4 {
		r.key[i] = uint64(p.h[2*i]) | uint64(p.h[2*i+1])<<32
	}
	p.reset()
	r.churn()
}

// churn replaces the key and returns 32 fresh bytes.
func (r *rng) churn() (out [4]uint64) {
	var s, x [16]uint32
	s[0], s[1], s[2], s[3] = 0x61707865, 0x3320646e, 0x79622d32, 0x6b206574
	for i := range 4 {
		s[4+2*i], s[5+2*i] = uint32(r.key[i]), uint32(r.key[i]>>32)
	}
	r.key[4]++
	s[12], s[13] = uint32(r.key[4]), uint32(r.key[4]>>32)
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
		r.key[i] = uint64(x[2*i]) | uint64(x[2*i+1])<<32
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

// Reseed makes a new key from the old one and what the machine has now.
func Reseed() {
	enabled := disableInterrupts()
	mach.rng.reseed()
	if enabled {
		enableInterrupts()
	}
}

// FillRandom fills n bytes at virtual address a. Kernel code uses it;
// programs have Random of package amd64.
func FillRandom(a, n uintptr) {
	m := mach
	for n > 0 {
		enabled := disableInterrupts()
		m.rng.key[0] ^= tsc()
		block := m.rng.churn()
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

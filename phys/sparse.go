package phys

import "sync"

// Sparse is RAM for tests: pages of zeros that take memory once they are
// touched. A request within one chunk of 2 MiB is a window on the chunk; one
// that crosses chunks is refused with [ErrNotRAM], as no structure that Ferry
// reads is larger than that.
//
// It is safe for use by several goroutines, the bytes themselves are not.
type Sparse struct {
	ram    Ranges
	mu     sync.Mutex
	chunks map[Addr]*[sparseChunk]byte
}

const sparseChunk = 2 << 20

// NewSparse returns zeroed RAM at the given ranges.
func NewSparse(ram ...Range) *Sparse {
	return &Sparse{ram: NewRanges(ram...), chunks: make(map[Addr]*[sparseChunk]byte)}
}

// View implements [Memory].
func (s *Sparse) View(a Addr, n uint64) ([]byte, error) {
	if err := check(s.ram, a, n); err != nil {
		return nil, err
	}
	base := AlignDown(a, sparseChunk)
	off := uint64(a - base)
	if off+n > sparseChunk {
		return nil, &Error{Object: "sparse memory", Addr: a, Found: "a request across a 2 MiB boundary",
			Want: "one inside a chunk", Err: ErrNotRAM}
	}
	s.mu.Lock()
	c := s.chunks[base]
	if c == nil {
		c = new([sparseChunk]byte)
		s.chunks[base] = c
	}
	s.mu.Unlock()
	return c[off : off+n : off+n], nil
}

// Edit implements [Memory].
func (s *Sparse) Edit(a Addr, n uint64) ([]byte, error) { return s.View(a, n) }

// RAM implements [Memory].
func (s *Sparse) RAM() Ranges { return s.ram }

package luo

import (
	"fmt"

	"ferry/phys"
)

// run is a stretch of records that follow each other in one block: their number
// in the upper 12 bits, the address of the first in the lower 52, which hold every
// address of x86-64.
type run uint64

const (
	runShift = 52
	maxRun   = 1<<(64-runShift) - 1 // records
)

// newRun returns the run of n records at a, 0 to maxRun.
func newRun(a phys.Addr, n int) (run, error) {
	if a>>runShift != 0 {
		return 0, &phys.Error{Object: "records", Addr: a, Found: "more than 52 bits", Want: "an address of x86-64", Err: phys.ErrNotRAM}
	}
	return run(a) | run(n)<<runShift, nil
}

func (r run) addr() phys.Addr { return phys.Addr(r & (1<<runShift - 1)) }
func (r run) len() int        { return int(r >> runShift) }

// runs is a list of the runs of one kind of record. It grows by chunks: it takes
// from the heap what was added and at most one chunk more, and never copies.
type runs struct {
	size   int // of a record in bytes
	n      int
	chunks []*[chunkRuns]run
}

const chunkRuns = 1024 // 8 KiB

func (l *runs) add(r run) {
	if l.n%chunkRuns == 0 {
		l.chunks = append(l.chunks, new([chunkRuns]run))
	}
	l.n++
	*l.at(l.n - 1) = r
}

// at returns run i, which the list must have.
func (l *runs) at(i int) *run { return &l.chunks[i/chunkRuns][i%chunkRuns] }

// append adds the n records at a.
func (l *runs) append(a phys.Addr, n int) error {
	for n > 0 {
		part := min(n, maxRun)
		r, err := newRun(a, part)
		if err != nil {
			return err
		}
		l.add(r)
		a, n = a+phys.Addr(part*l.size), n-part
	}
	return nil
}

// stretches returns how many stretches of memory runs [from, end) are: a run that is
// full goes on in the next if that follows it.
func (l *runs) stretches(from, end int) (n int) {
	var next phys.Addr // where the run before goes on if it does
	for i := from; i < end; i++ {
		r := *l.at(i)
		if i == from || r.addr() != next {
			n++
		}
		if next = 0; r.len() == maxRun {
			next = r.addr() + phys.Addr(maxRun*l.size)
		}
	}
	return n
}

// find returns the address of record n of runs [from, end), 0 if they have fewer.
func (l *runs) find(from, end, n int) phys.Addr {
	for i := from; i < end; i++ {
		r := *l.at(i)
		if n < r.len() {
			return r.addr() + phys.Addr(n*l.size)
		}
		n -= r.len()
	}
	return 0
}

// blocks is a list of naturally aligned blocks: of each its address and, in the
// bits of a page's offset, its order.
type blocks []uint64

func (l *blocks) add(b phys.Block) { *l = append(*l, uint64(b.Addr)|uint64(b.Order)) }

func (l blocks) at(i int) phys.Block {
	const low = phys.PageSize - 1
	return phys.Block{Addr: phys.Addr(l[i] &^ low), Order: phys.Order(l[i] & low)}
}

// memory holds the records of a state: that of a handover, or an [arena].
type memory interface {
	View(a phys.Addr, n uint64) ([]byte, error)
}

// cursor is a position between two records of a list.
type cursor struct {
	mem    memory
	list   *runs
	i, end int       // runs to come
	rest   []byte    // records to come of the run before
	pos    phys.Addr // of rest
	at     phys.Addr // of the record that next returned last; of the run if err is set
	err    error     // why mem did not give a run that the state has
}

// sessionRecords returns a cursor before the first session.
func (st *State) sessionRecords() cursor {
	return cursor{mem: st.mem, list: &st.sessions, end: st.sessions.n}
}

// records returns a cursor before the first file.
func (s Session) records() cursor {
	return cursor{mem: s.st.mem, list: &s.st.files, i: int(s.st.first[s.Index]), end: int(s.st.first[s.Index+1])}
}

// stretch returns the records that are left of the current run, none behind the
// last one and if memory fails.
func (c *cursor) stretch() []byte {
	for len(c.rest) == 0 && c.i < c.end && c.err == nil {
		r := *c.list.at(c.i)
		c.i++
		c.pos = r.addr()
		if c.rest, c.err = c.mem.View(c.pos, uint64(r.len()*c.list.size)); c.err != nil {
			c.at = c.pos
		}
	}
	return c.rest
}

// skip steps over n bytes of the stretch.
func (c *cursor) skip(n int) { c.rest, c.pos = c.rest[n:], c.pos+phys.Addr(n) }

// next returns a window on the next record and steps over it, nil behind the last
// one and if memory fails.
func (c *cursor) next() []byte {
	if len(c.stretch()) == 0 {
		return nil
	}
	size := c.list.size
	rec := c.rest[:size:size]
	c.at = c.pos
	c.skip(size)
	return rec
}

// arena is memory on the heap for the records of a state built by New. Its
// addresses count bytes from its beginning.
type arena struct {
	chunks [][]byte // chunkBytes each
	used   int      // of the last one
}

const chunkBytes = 60 << 10

// take returns n bytes of zeros and their address. Bytes taken one after another
// mostly follow each other.
func (m *arena) take(n int) (phys.Addr, []byte) {
	if len(m.chunks) == 0 || m.used+n > chunkBytes {
		m.chunks, m.used = append(m.chunks, make([]byte, chunkBytes)), 0
	}
	last, at := len(m.chunks)-1, m.used
	m.used += n
	return phys.Addr(last*chunkBytes + at), m.chunks[last][at:m.used:m.used]
}

// View implements [memory] for what is in one chunk.
func (m *arena) View(a phys.Addr, n uint64) ([]byte, error) {
	chunk, at := uint64(a)/chunkBytes, uint64(a)%chunkBytes
	if chunk >= uint64(len(m.chunks)) || n > chunkBytes-at {
		return nil, fmt.Errorf("luo: %d bytes at %v of a state built by New: %w", n, a, phys.ErrNotRAM)
	}
	return m.chunks[chunk][at : at+n : at+n], nil
}

// append takes room for one more record of the list and returns it. It begins a
// new run if apart is set, and if it does not follow the record before.
func (m *arena) append(l *runs, apart bool) []byte {
	a, rec := m.take(l.size)
	if l.n > 0 && !apart {
		r := l.at(l.n - 1)
		end := r.addr() + phys.Addr(r.len()*l.size)
		if end == a && a%chunkBytes != 0 && r.len() < maxRun {
			*r += 1 << runShift
			return rec
		}
	}
	l.add(run(a) | 1<<runShift)
	return rec
}

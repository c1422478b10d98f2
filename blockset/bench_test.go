package blockset_test

import (
	"encoding/binary"
	"testing"
	"time"

	"ferry/blockset"
	"ferry/blockset/blocktest"
	"ferry/own"
	"ferry/phys"
	"ferry/phys/phystest"
)

// A million records of 64 bytes: two chains, since one holds 630,000.
const (
	million   = 1000000
	benchSize = million * 64
)

// memcpy runs a copy of the same bytes beside each round of a benchmark, so that
// the ratio is of one run on one machine.
type memcpy struct {
	from, to   []byte
	work, copy time.Duration
}

func newMemcpy(n int) *memcpy {
	m := &memcpy{from: make([]byte, n), to: make([]byte, n)}
	for i := range m.from {
		m.from[i] = byte(i)
	}
	copy(m.to, m.from)
	return m
}

// round times work and one copy.
func (m *memcpy) round(work func()) {
	start := time.Now()
	work()
	mid := time.Now()
	copy(m.to, m.from)
	m.work, m.copy = m.work+mid.Sub(start), m.copy+time.Since(mid)
}

func (m *memcpy) report(b *testing.B) {
	b.ReportMetric(float64(m.work.Nanoseconds())/float64(b.N), "ns/op") // without the copy
	b.ReportMetric(float64(m.work)/float64(m.copy), "x-memcpy")
	b.ReportMetric(float64(m.copy.Nanoseconds())/float64(b.N)/1e6, "ms-memcpy")
}

func benchPages(b *testing.B) *blocktest.Pages {
	r := phys.Range{Start: base, End: base + 96<<20}
	return blocktest.New(phystest.New(b, r), r)
}

func BenchmarkRestoreMillionEntries(b *testing.B) {
	pages := benchPages(b)
	l := layout(b, 64)
	recs := make([]byte, benchSize/2)
	heads := [2]phys.Addr{write(b, pages, l, recs).Head(), write(b, pages, l, recs).Head()}
	m := newMemcpy(benchSize)
	b.ReportAllocs()
	var sum uint64
	for b.Loop() {
		m.round(func() {
			chk := own.NewLedger(pages.Mem, pages, scratch)
			n := 0
			for _, head := range heads {
				s, err := blockset.Restore(chk, l, head, nil)
				if err != nil {
					b.Fatal(err)
				}
				it := s.Iter()
				for e := it.Next(); e != nil; e = it.Next() {
					sum += binary.LittleEndian.Uint64(e[56:])
					n++
				}
			}
			if n != million {
				b.Fatalf("%d records", n)
			}
		})
	}
	m.report(b)
	_ = sum
}

func BenchmarkWriteMillionEntries(b *testing.B) {
	pages := benchPages(b)
	free := pages.Free
	l := layout(b, 64)
	recs := make([]byte, benchSize/2)
	m := newMemcpy(benchSize)
	b.ReportAllocs()
	for b.Loop() {
		pages.Free = free
		m.round(func() {
			for range 2 {
				s := blockset.New(l, pages)
				if err := s.Append(recs); err != nil {
					b.Fatal(err)
				}
			}
		})
	}
	m.report(b)
}

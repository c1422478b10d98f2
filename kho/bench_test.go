package kho_test

import (
	"math/rand/v2"
	"testing"
	"time"

	"ferry/kho"
	"ferry/phys"
	"ferry/phys/phystest"
)

// handoverOf commits a handover of the given blocks plus what it needs itself.
func handoverOf(tb testing.TB, mem phys.Memory, blocks func(preserve func(phys.Block))) kho.Data {
	tb.Helper()
	d := draftFrom(tb, mem)
	blocks(func(b phys.Block) {
		if err := d.Preserve(b); err != nil {
			tb.Fatal(err)
		}
	})
	data, err := d.Commit()
	if err != nil {
		tb.Fatal(err)
	}
	return data
}

// draftFrom begins a handover in mem with a scratch area of 4 MiB at the start of
// its first range, and one at the end of its last range: half of it, 1 GiB at most.
func draftFrom(tb testing.TB, mem phys.Memory) *kho.Draft {
	tb.Helper()
	start := mem.RAM()[0].Start
	last := mem.RAM()[len(mem.RAM())-1]
	half := phys.AlignDown(last.End-phys.Addr(min(last.Size()/2, 1<<30)), 4<<20)
	areas := []kho.ScratchArea{{Addr: start, Size: 4 << 20}, {Addr: half, Size: uint64(last.End - half)}, {Addr: start}}
	d, err := kho.New(mem, kho.V4, mem.RAM(), start, areas, nil)
	if err != nil {
		tb.Fatal(err)
	}
	return d
}

const million = 1_000_000

// mixes are ways to preserve a million blocks in 64 GiB.
var mixes = []struct {
	name string
	fill func(preserve func(phys.Block))
}{
	{"dense", func(preserve func(phys.Block)) {
		for i := range million {
			preserve(phys.Block{Addr: 0x2_0000_0000 + phys.Addr(i)<<12})
		}
	}},
	{"scattered", func(preserve func(phys.Block)) {
		r := rand.New(rand.NewPCG(1, 2))
		for _, i := range r.Perm(15 << 20)[:million] {
			preserve(phys.Block{Addr: 0x2000_0000 + phys.Addr(i)<<12})
		}
	}},
	{"orders", func(preserve func(phys.Block)) {
		// 2 MiB of each: order 9, 2 of order 8, ... 256 of order 1, 512 of order 0.
		a := phys.Addr(0x2000_0000)
		for n := 0; n < million; {
			for o := phys.Order(0); o < 10; o++ {
				for range 1 << (9 - o) {
					preserve(phys.Block{Addr: a, Order: o})
					a += phys.Addr(o.Bytes())
					n++
				}
			}
		}
	}},
	{"interleaved", func(preserve func(phys.Block)) {
		// Every word of the leaf of order 0 and of order 1 holds blocks.
		for i := range phys.Addr(million / 2) {
			preserve(phys.Block{Addr: 0x2000_0000 + i<<14})
			preserve(phys.Block{Addr: 0x2000_2000 + i<<14, Order: 1})
		}
	}},
}

func BenchmarkOpenAndWalkMillion(b *testing.B) {
	for _, mix := range mixes {
		b.Run(mix.name, func(b *testing.B) {
			mem := phystest.NewSparse(b, phys.Range{Start: 0x1000_0000, End: 0x10_0000_0000})
			data := handoverOf(b, mem, mix.fill)
			h, err := kho.Open(mem, data, nil)
			if err != nil {
				b.Fatal(err)
			}
			nodes := h.Map().Nodes()
			copied := make([]byte, phys.PageSize*len(nodes))
			var copying time.Duration
			b.ReportAllocs()
			for b.Loop() {
				h, err := kho.Open(mem, data, nil)
				if err != nil {
					b.Fatal(err)
				}
				var n, sum uint64
				err = h.Map().Walk(func(k phys.Block) error { n++; sum += uint64(k.Addr); return nil })
				if err != nil || n < million {
					b.Fatal(n, err)
				}
				b.StopTimer()
				start := time.Now()
				for i, p := range nodes {
					page, _ := mem.View(p.Addr(), phys.PageSize)
					copy(copied[i*phys.PageSize:], page)
				}
				copying += time.Since(start)
				b.StartTimer()
			}
			b.ReportMetric(float64(b.Elapsed())/float64(copying), "x-memcpy")
			b.ReportMetric(float64(len(nodes)), "nodes")
			b.ReportMetric(float64(b.Elapsed().Microseconds())/1000/float64(b.N), "ms/million")
		})
	}
}

func BenchmarkDraft20000Pages(b *testing.B) {
	for _, mix := range mixes {
		b.Run(mix.name, func(b *testing.B) {
			mem := phystest.NewSparse(b, phys.Range{Start: 0x1000_0000, End: 0x10_0000_0000})
			h, err := kho.Open(mem, handoverOf(b, mem, mix.fill), nil)
			if err != nil {
				b.Fatal(err)
			}
			var stats kho.Stats
			for b.Loop() {
				d, err := h.Draft(kho.V4, nil)
				if err != nil {
					b.Fatal(err)
				}
				for range 20000 {
					if _, _, err := d.Alloc(); err != nil {
						b.Fatal(err)
					}
				}
				if _, err := d.Commit(); err != nil {
					b.Fatal(err)
				}
				stats = d.Stats()
			}
			b.ReportMetric(float64(stats.Nodes), "new-nodes")
			b.ReportMetric(float64(stats.NodesKept), "kept-nodes")
		})
	}
}

func BenchmarkQueries(b *testing.B) {
	mem := phystest.NewSparse(b, phys.Range{Start: 0x1000_0000, End: 0x10_0000_0000})
	h, err := kho.Open(mem, handoverOf(b, mem, mixes[2].fill), nil)
	if err != nil {
		b.Fatal(err)
	}
	a := phys.Addr(0x2000_0000)
	b.Run("Preserved", func(b *testing.B) {
		for b.Loop() {
			a += phys.PageSize
			h.Map().Preserved(phys.Block{Addr: a})
		}
	})
	b.Run("Head", func(b *testing.B) {
		for b.Loop() {
			a += phys.PageSize
			h.Map().Head(a)
		}
	})
	b.Run("Find", func(b *testing.B) {
		for b.Loop() {
			a += phys.PageSize
			h.Map().Find(a)
		}
	})
}

// BenchmarkConvert takes a million blocks from one format to another: what is
// spent follows the bitmaps.
func BenchmarkConvert(b *testing.B) {
	type way struct{ from, to *kho.Format }
	ways := []way{{kho.V3, kho.V4}}
	for _, f := range lists {
		ways = append(ways, way{f, kho.V4}, way{kho.V4, f})
	}
	for _, c := range ways {
		for _, mix := range mixes {
			b.Run(c.from.String()+" to "+c.to.String()+"/"+mix.name, func(b *testing.B) {
				mem := phystest.NewSparse(b, phys.Range{Start: 0x1000_0000, End: 0x10_0000_0000})
				d, err := handoverFrom(b, mem, mix.fill).Draft(c.from, nil)
				if err != nil {
					b.Fatal(err)
				}
				h := commitAndOpen(b, mem, d)
				var stats kho.Stats
				b.ReportAllocs()
				for b.Loop() {
					d, err := h.Draft(c.to, nil)
					if err == nil {
						_, err = d.Commit()
					}
					if err != nil {
						b.Fatal(err)
					}
					stats = d.Stats()
				}
				b.ReportMetric(float64(stats.Nodes), "new-nodes")
				b.ReportMetric(float64(stats.NodesKept), "kept-nodes")
			})
		}
	}
}

// BenchmarkOpenList is the walk and the proof of a million blocks in a list.
func BenchmarkOpenList(b *testing.B) {
	for _, format := range lists {
		for _, mix := range mixes {
			b.Run(format.String()+"/"+mix.name, func(b *testing.B) {
				mem := phystest.NewSparse(b, phys.Range{Start: 0x1000_0000, End: 0x10_0000_0000})
				d, err := handoverFrom(b, mem, mix.fill).Draft(format, nil)
				if err != nil {
					b.Fatal(err)
				}
				data, err := d.Commit()
				if err != nil {
					b.Fatal(err)
				}
				b.ReportAllocs()
				for b.Loop() {
					h, err := kho.OpenAs(mem, data, format)
					if err != nil {
						b.Fatal(err)
					}
					n := 0
					h.Map().Walk(func(phys.Block) error { n++; return nil })
					if n < million {
						b.Fatal(n)
					}
				}
				b.ReportMetric(float64(b.Elapsed().Microseconds())/1000/float64(b.N), "ms/million")
			})
		}
	}
}

func handoverFrom(b *testing.B, mem phys.Memory, fill func(preserve func(phys.Block))) *kho.Handover {
	h, err := kho.Open(mem, handoverOf(b, mem, fill), nil)
	if err != nil {
		b.Fatal(err)
	}
	return h
}

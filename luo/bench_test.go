package luo

import (
	"errors"
	"testing"
	"time"
)

const million = 1000000

// ratio reports how long work takes against a copy of size bytes, run in turns
// with it.
func ratio(b *testing.B, size int, work func()) {
	from, to := make([]byte, size), make([]byte, size)
	for i := range from {
		from[i] = byte(i)
	}
	copy(to, from)
	var worked, copied time.Duration
	b.ReportAllocs()
	for b.Loop() {
		start := time.Now()
		work()
		mid := time.Now()
		copy(to, from)
		worked, copied = worked+mid.Sub(start), copied+time.Since(mid)
	}
	b.ReportMetric(float64(worked.Nanoseconds())/float64(b.N), "ns/op") // without the copy
	b.ReportMetric(float64(worked)/float64(copied), "x-memcpy")
	b.ReportMetric(float64(copied.Nanoseconds())/float64(b.N)/1e6, "ms-memcpy")
}

// BenchmarkRestoreMillionFiles proves and reads a million files with all that is
// proved of them: strings, counts, tokens.
func BenchmarkRestoreMillionFiles(b *testing.B) {
	for _, order := range []string{"rising", "unordered"} {
		b.Run(order+"-tokens", func(b *testing.B) {
			h := commit(b, sessions(b, 2, million/2, order == "rising"), handoverMachine(b, 128<<20))
			ratio(b, million*fileSize, func() {
				st, err := Restore(h, h.Ledger())
				if err != nil || st.Files() != million {
					b.Fatalf("%v", err)
				}
			})
		})
	}
}

// BenchmarkSerializeMillionFiles writes a million files into new pages and takes
// the old ones out of the map, all but the commit.
func BenchmarkSerializeMillionFiles(b *testing.B) {
	h := commit(b, sessions(b, 2, million/2, true), handoverMachine(b, 256<<20))
	st, err := Restore(h, h.Ledger())
	if err != nil {
		b.Fatal(err)
	}
	ratio(b, million*fileSize, func() {
		d, err := h.Draft(nil, nil)
		if err == nil {
			err = Serialize(st, d, Options{Format: V5})
		}
		if err != nil {
			b.Fatal(err)
		}
	})
}

// BenchmarkRestoreHalfAMillionSessions proves and reads all sessions that a
// handover can hold, and their names to be unique.
func BenchmarkRestoreHalfAMillionSessions(b *testing.B) {
	n := sessionLayout.Max()
	h := commit(b, sessions(b, n, 0, true), handoverMachine(b, 128<<20))
	ratio(b, n*sessionSize, func() {
		st, err := Restore(h, h.Ledger())
		if err != nil || st.Len() != n {
			b.Fatalf("%v", err)
		}
	})
}

// BenchmarkSerializeHalfAMillionSessions writes sessions without files again, and
// compares them with themselves.
func BenchmarkSerializeHalfAMillionSessions(b *testing.B) {
	n := sessionLayout.Max()
	h := commit(b, sessions(b, n, 0, true), handoverMachine(b, 256<<20))
	st, err := Restore(h, h.Ledger())
	if err != nil {
		b.Fatal(err)
	}
	ratio(b, n*sessionSize, func() {
		d, err := h.Draft(nil, nil)
		if err == nil {
			err = errors.Join(Serialize(st, d, Options{Format: V5}), st.Diff(st, nil))
		}
		if err != nil {
			b.Fatal(err)
		}
	})
}

// BenchmarkTranslateMillionFiles takes a million files from the form in blocks of
// one series to that of another, and between blocks and arrays: restoring them and
// writing them again, all but the commit.
func BenchmarkTranslateMillionFiles(b *testing.B) {
	type crossing struct {
		from, to        *Format
		sessions, files int
	}
	var all []crossing
	for _, f := range Formats() {
		n := 2
		if !isChain(f) {
			n = 20
		}
		if f != V5 {
			all = append(all, crossing{f, V5, n, million / n}, crossing{V5, f, n, million / n})
		}
	}
	for _, tt := range all {
		b.Run(tt.from.String()+"-to-"+tt.to.String(), func(b *testing.B) {
			d := handoverMachine(b, 512<<20)
			h := commitAs(b, sessions(b, tt.sessions, tt.files, true), d, Options{Format: tt.from, BeyondLimits: true})
			ratio(b, million*fileSize, func() {
				st := restored(b, h)
				d, err := h.Draft(nil, nil)
				if err == nil {
					err = Serialize(st, d, Options{Format: tt.to, BeyondLimits: true})
				}
				if err != nil || st.Files() != million {
					b.Fatal(st.Files(), err)
				}
			})
		})
	}
}

// BenchmarkRewriteMillionFiles gives a million files another handler and other
// data on their way.
func BenchmarkRewriteMillionFiles(b *testing.B) {
	h := commit(b, sessions(b, 2, million/2, true), handoverMachine(b, 256<<20))
	st := restored(b, h)
	ratio(b, million*fileSize, func() {
		d, err := h.Draft(nil, nil)
		if err == nil {
			err = Serialize(st, d, Options{Format: V5, Rewrite: func(_ Session, f File) (string, uint64, error) {
				return "memfd-v1", f.Data + 1, nil
			}})
		}
		if err != nil {
			b.Fatal(err)
		}
	})
}

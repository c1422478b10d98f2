package luo

import (
	"bytes"
	"testing"

	"ferry/own"
	"ferry/phys/phystest"
)

// TestWhatArraysHoldDoesNotCount fills the largest arrays that there are with
// records of every sort of nonsense: reading them takes what the package documents
// for so many, and little for what is wrong.
func TestWhatArraysHoldDoesNotCount(t *testing.T) {
	sessions, files := 52428, 65536
	if phystest.OnMetal { // where so many take a while
		sessions, files = 5000, 9000
	}
	for _, tt := range []struct {
		name            string
		sessions, files int
		fill            func(i int, rec []byte)
	}{
		{"sessions of nothing", sessions, 0, func(i int, rec []byte) { clear(rec) }},
		{"sessions of names without end", sessions, 0, func(i int, rec []byte) { copy(rec, bytes.Repeat([]byte{0xff}, 64)) }},
		{"sessions of one name", sessions, 0, func(i int, rec []byte) { copy(rec, "vm\x00\x00\x00\x00\x00\x00\x00") }},
		{"sessions of files that lie nowhere", sessions, 0, func(i int, rec []byte) { put(rec, 64, uint64(i)<<40|8); put(rec, 72, 1<<63) }},
		{"files of nothing", 1, files, func(i int, rec []byte) { clear(rec) }},
		{"files of handlers without end", 1, files, func(i int, rec []byte) { copy(rec, bytes.Repeat([]byte{0xff}, 48)) }},
		{"files of one token", 1, files, func(i int, rec []byte) { put(rec, 56, 7) }},
		{"files of as many handlers", 1, files, func(i int, rec []byte) {
			copy(rec, bytes.Repeat([]byte{1 + byte(i%251), 1 + byte(i/251%251), 1 + byte(i/63001)}, 15))
		}},
	} {
		mem, d := machine(t)
		serializeAs(t, V1, many(t, tt.sessions, tt.files), d)
		st := restore(t, mem, d)
		l := &st.sessions
		if tt.files > 0 {
			l = &st.files
		}
		i := 0
		for n := range l.n {
			r := *l.at(n)
			b, err := mem.Edit(r.addr(), uint64(r.len()*l.size))
			if err != nil {
				t.Fatal(err)
			}
			for ; len(b) > 0; b, i = b[l.size:], i+1 {
				tt.fill(i, b[:l.size])
			}
		}
		t.Run(tt.name, func(t *testing.T) {
			limit := uint64(64<<10 + 12*tt.sessions + 8*tt.files)
			phystest.Bounded(t, limit, func() { restoreFrom(own.NewLedger(mem, d, scratch), d, d.root, d.size) })
		})
	}
}

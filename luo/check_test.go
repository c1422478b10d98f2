package luo

import (
	"maps"
	"math/rand/v2"
	"testing"
)

func TestRepeatsFindsWhatRepeatsAndNothingElse(t *testing.T) {
	rnd := rand.New(rand.NewPCG(1, 2))
	var r repeats
	for _, n := range []int{0, 1, 2, 16, 17, 300, 5000, 100000} {
		for _, step := range []uint64{1, 1 << 40, 0x9e3779b97f4a7c15} {
			r.keys = r.keys[:0]
			want := make(map[uint64]bool)
			for i := range uint64(n) {
				r.keys = append(r.keys, i*step)
				if rnd.IntN(n) < 5 && i > 0 {
					r.keys = append(r.keys, i*step)
					want[i*step] = true
				}
			}
			rnd.Shuffle(len(r.keys), func(i, j int) { r.keys[i], r.keys[j] = r.keys[j], r.keys[i] })
			got := make(map[uint64]bool)
			r.find(func(k uint64) bool {
				got[k] = true
				return true
			})
			if !maps.Equal(got, want) {
				t.Errorf("%d keys in steps of %#x: found %v, want %v", n, step, got, want)
			}
		}
	}
}

func TestRepeatsStopsWhenItIsTold(t *testing.T) {
	r := repeats{keys: make([]uint64, 100000)} // all alike
	calls := 0
	r.find(func(uint64) bool {
		calls++
		return false
	})
	if calls != 1 {
		t.Errorf("%d calls, want one", calls)
	}
}

func TestZerosSeesEveryByte(t *testing.T) {
	b := make([]byte, 21)
	if !zeros(b) || !zeros(nil) {
		t.Error("zeros are taken for something else")
	}
	for i := range b {
		b[i] = 1
		if zeros(b) {
			t.Errorf("byte %d is not seen", i)
		}
		b[i] = 0
	}
}

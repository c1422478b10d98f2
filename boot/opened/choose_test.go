package opened_test

import (
	"math/rand/v2"
	"testing"

	"ferry/boot/opened"
	"ferry/boot/opened/openedtest"
	"ferry/phys"
)

const mib = 1 << 20

// kernel is one that takes 6 MiB, in steps of 2.
func kernel(t *testing.T) *opened.Kernel {
	t.Helper()
	return parse(t, openedtest.Part())
}

func TestPlacesAreAllThatFit(t *testing.T) {
	k := kernel(t)
	for _, c := range []struct {
		name string
		free []phys.Range
		want []phys.Addr
	}{
		{"none", nil, nil},
		{"one byte too small", []phys.Range{{Start: 32 * mib, End: 38*mib - 1}}, nil},
		{"just one", []phys.Range{{Start: 32 * mib, End: 38 * mib}}, []phys.Addr{32 * mib}},
		{"just one, off its alignment", []phys.Range{{Start: 32*mib + 1, End: 41 * mib}}, []phys.Addr{34 * mib}},
		{"off its alignment, too small", []phys.Range{{Start: 32*mib + 1, End: 40*mib - 1}}, nil},
		{"several pieces", []phys.Range{{Start: 64 * mib, End: 75 * mib}, {Start: 32 * mib, End: 33 * mib}, {}, {Start: 40 * mib, End: 46 * mib}},
			[]phys.Addr{64 * mib, 66 * mib, 68 * mib, 40 * mib}},
		{"at the end of physical memory", []phys.Range{{Start: opened.MaxAddr - 6*mib, End: opened.MaxAddr + 64*mib}}, []phys.Addr{opened.MaxAddr - 6*mib}},
		{"beyond it", []phys.Range{{Start: opened.MaxAddr, End: opened.MaxAddr + 64*mib}}, nil},
		{"the last addresses of all", []phys.Range{{Start: ^phys.Addr(0) - 1, End: ^phys.Addr(0)}}, nil},
	} {
		t.Run(c.name, func(t *testing.T) {
			if n := k.Places(c.free); n != uint64(len(c.want)) {
				t.Errorf("%d places, want %d", n, len(c.want))
			}
			for i, want := range c.want {
				if got := k.Place(c.free, uint64(i)); got != (phys.Range{Start: want, End: want + 6*mib}) {
					t.Errorf("place %d is %v, want %v", i, got, want)
				}
			}
		})
	}
}

func TestSlidesFillTheVirtualMemory(t *testing.T) {
	k := kernel(t)
	// From 16 MiB in 1 GiB, 6 MiB that go up to its end.
	if n := k.Slides(); n != 1+(1024-16-6)/2 {
		t.Errorf("%d slides", n)
	}
	fixed := parse(t, openedtest.Part(func(i *opened.Image) { i.Space, i.Wide, i.Narrow = 512*mib, nil, nil }))
	if fixed.Slides() != 1 || fixed.Randomised() || !k.Randomised() {
		t.Errorf("a kernel that does not move has %d slides", fixed.Slides())
	}
}

// even wants the counts to be those of choices of equal weight: chi-square with k-1
// degrees of freedom, six standard deviations at most from its mean.
func even(t *testing.T, what string, counts []int, draws int) {
	t.Helper()
	want := float64(draws) / float64(len(counts))
	sum := 0.0
	for i, n := range counts {
		if n == 0 {
			t.Errorf("%s %d of %d was never chosen in %d draws", what, i, len(counts), draws)
		}
		sum += (float64(n) - want) * (float64(n) - want) / want
	}
	freedom := float64(len(counts) - 1)
	if d := (sum - freedom) * (sum - freedom) / (2 * freedom); d > 36 {
		t.Errorf("%s: chi-square %.1f with %.0f degrees of freedom", what, sum, freedom)
	}
}

func TestChoicesAreEvenAndIndependent(t *testing.T) {
	k := kernel(t)
	// 39 places in three pieces, of which one has a single one.
	free := []phys.Range{{Start: 100 * mib, End: 150 * mib}, {Start: 33 * mib, End: 40 * mib}, {Start: 1 << 32, End: 1<<32 + 35*mib}}
	places, slides := k.Places(free), k.Slides()
	if places != 23+1+15 {
		t.Fatalf("%d places", places)
	}
	r := rand.NewChaCha8([32]byte{3})
	const draws = 200_000
	atPlace, atSlide := make([]int, places), make([]int, slides)
	const halves = 4 // quarters of the slides
	both := make([]int, places*halves)
	number := map[phys.Addr]int{}
	for i := range places {
		number[k.Place(free, i).Start] = int(i)
	}
	for range draws {
		at, slide := k.Choose(free, func(b []byte) { r.Read(b) })
		n, ok := number[at.Start]
		if !ok || slide%k.Alignment != 0 || slide/k.Alignment >= slides {
			t.Fatalf("chosen %v and %#x", at, slide)
		}
		atPlace[n]++
		atSlide[slide/k.Alignment]++
		both[n*halves+int(slide/k.Alignment*halves/slides)]++
	}
	even(t, "place", atPlace, draws)
	even(t, "slide", atSlide, draws)
	even(t, "place and quarter of the slides", both, draws)
}

func TestNoPlaceIsNoChoice(t *testing.T) {
	at, slide := kernel(t).Choose([]phys.Range{{Start: 32 * mib, End: 37 * mib}}, func([]byte) { t.Error("a choice was made") })
	if !at.Empty() || slide != 0 {
		t.Errorf("chosen %v and %#x", at, slide)
	}
}

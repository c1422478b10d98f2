//go:build linux && !metal

package kho_test

import (
	"errors"
	"fmt"
	"math/rand/v2"
	"slices"
	"testing"

	"github.com/google/go-cmp/cmp"

	"ferry/kho"
	"ferry/kho/khotest"
	"ferry/phys"
)

// fates counts what became of lists, under no claim, the right one and the wrong one.
type fates struct{ read, alike, refused [3]int }

func (f fates) String() string {
	s := ""
	for i, claim := range []string{"no claim", "right", "wrong"} {
		s += fmt.Sprintf("  %s: %d read, %d alike, %d refused", claim, f.read[i], f.alike[i], f.refused[i])
	}
	return s
}

type kind struct {
	name string
	how  traits
}

// of returns what list number i of the kind has as format.
func (k kind) of(format *kho.Format, i int) traits {
	how := k.how
	how.size, how.fragmented = sizeOf(format), i/len(kinds)%2 == 1
	return how
}

// kinds are what the lists of the two formats are made of, from what kernels do to
// what is hardest to tell apart.
var kinds = []kind{
	{"nothing but its device tree", traits{}},
	{"reserved memory", traits{region: true}},
	{"the test of handovers", traits{region: true, test: true}},
	{"few blocks of somebody", traits{named: true, blocks: 12}},
	{"many blocks of somebody", traits{named: true, region: true, blocks: 600}},
	{"nothing, tight", traits{tight: true}},
	{"reserved memory, tight", traits{tight: true, region: true}},
	{"one block of nobody, tight", traits{tight: true, blocks: 1}},
	{"few blocks of somebody, tight", traits{tight: true, named: true, region: true, blocks: 6}},
	{"many blocks of somebody, tight", traits{tight: true, named: true, region: true, blocks: 300}},
}

// TestAListIsReadAsItsKernelWroteItOrRefused lays 10,000 lists of each format in fresh
// and in fragmented memory of 1 and 6 GiB, and claims nothing, what is right, and
// what is wrong. What is read is what the kernel preserved, all of it and no more.
func TestAListIsReadAsItsKernelWroteItOrRefused(t *testing.T) {
	for i, format := range lists {
		t.Run(format.String(), func(t *testing.T) {
			tellApart(t, format, lists[1-i])
		})
	}
}

func tellApart(t *testing.T, format, other *kho.Format) {
	const lists = 10_000
	sites := []*site{newSite(t, false), newSite(t, true)}
	of := make([]fates, len(kinds))
	for i := range lists {
		k := i % len(kinds)
		l := sites[i/len(kinds)/2%2].write(t, rand.New(rand.NewPCG(uint64(i), sizeOf(format))), kinds[k].of(format, i))
		for j, claim := range []*kho.Format{nil, format, other} {
			h, err := kho.Open(l.mem, l.data, claim)
			what := fmt.Sprintf("list %d (%s), claim %v", i, kinds[k].name, claim)
			switch {
			case errors.Is(err, kho.ErrAmbiguous):
				of[k].refused[j]++
				continue
			case err != nil:
				t.Fatalf("%s: %v", what, err)
			case !slices.Contains(h.Formats(), format):
				t.Errorf("%s: read as %v", what, h.Format())
			case len(h.Formats()) > 1:
				of[k].alike[j]++
			default:
				of[k].read[j]++
			}
			l.same(what, h)
		}
		l.clear()
	}
	for k, f := range of {
		t.Logf("%-32s%v", kinds[k].name, f)
		if f.read[2] > 0 {
			t.Errorf("%s: %d lists were read although the claim was wrong and made a difference", kinds[k].name, f.read[2])
		}
		// What kernels do is hardly ever in doubt if nobody says anything wrong of it.
		if n := lists / len(kinds); !kinds[k].how.tight && f.refused[1] > n/50 {
			t.Errorf("%s: %d of %d refused although the claim was right", kinds[k].name, f.refused[1], n)
		}
	}
}

// same proves that h preserves what was written.
func (l *written) same(what string, h *kho.Handover) {
	if n := h.Map().Count(); n != uint64(len(l.blocks)) {
		l.Errorf("%s: %d blocks, want %d", what, n, len(l.blocks))
	}
	for b := range l.blocks {
		if !h.Map().Preserved(b) {
			l.Fatalf("%s: %v is lost", what, b)
		}
	}
}

// TestOneBitMakesNoOtherKindOfList flips one bit of each list: of its chunks, its
// bitmaps, or its device tree. Without a claim and with the right one it is then read
// as its kernel wrote it, or refused.
func TestOneBitMakesNoOtherKindOfList(t *testing.T) {
	for _, format := range lists {
		t.Run(format.String(), func(t *testing.T) {
			flipBits(t, format)
		})
	}
}

func flipBits(t *testing.T, format *kho.Format) {
	sites := []*site{newSite(t, false), newSite(t, true)}
	read, refused := 0, 0
	for i := range 1000 {
		k := i % len(kinds)
		r := rand.New(rand.NewPCG(uint64(i), sizeOf(format)+1))
		l := sites[i/len(kinds)/2%2].write(t, r, kinds[k].of(format, i))
		for range 30 {
			at, bit := l.somewhere(), byte(1)<<r.IntN(8)
			l.edit(at, 1)[0] ^= bit
			for _, claim := range []*kho.Format{nil, format} {
				h, err := kho.Open(l.mem, l.data, claim)
				if err != nil {
					refused++
					continue
				}
				if read++; !slices.Contains(h.Formats(), format) {
					t.Errorf("list %d (%s), bit %#x at %v, claim %v: read as %v", i, kinds[k].name, bit, at, claim, h.Format())
				}
			}
			l.edit(at, 1)[0] ^= bit
		}
		l.clear()
	}
	if t.Logf("%d read, %d refused", read, refused); read == 0 || refused == 0 {
		t.Error("all fare alike")
	}
}

// somewhere returns a byte of the list or of its device tree.
func (l *written) somewhere() phys.Addr {
	switch l.IntN(3) {
	case 0:
		return l.words[l.IntN(len(l.words))] + phys.Addr(l.IntN(16))
	case 1:
		r := l.bits[l.IntN(len(l.bits))]
		return r.Start + phys.Addr(l.Uint64N(r.Size()))
	}
	return l.data.FDT + phys.Addr(l.IntN(400))
}

// TestRealListsAreReadAsTheirKernelWroteThem: those of Linux 6.17.13 and 6.18.15, with
// what lay around their bitmaps.
func TestRealListsAreReadAsTheirKernelWroteThem(t *testing.T) {
	seen := map[string]int{}
	khotest.Lists(t, func(t *testing.T, l *khotest.List) {
		right, wrong := kho.V1Small, kho.V1
		if l.Large {
			right, wrong = wrong, right
		}
		want := make(map[phys.Block]bool)
		for _, b := range l.Blocks {
			want[b.Block] = true
		}
		for _, claim := range []*kho.Format{nil, right, wrong} {
			h, err := kho.Open(l.Memory, l.Data, claim)
			switch {
			case errors.Is(err, kho.ErrAmbiguous):
				seen["refused"]++
				continue
			case err != nil:
				t.Fatal(err)
			case !slices.Contains(h.Formats(), right):
				t.Errorf("claim %v: read as %v", claim, h.Format())
			case len(h.Formats()) > 1:
				seen["alike"]++
			case claim == wrong:
				t.Errorf("claim %v: taken, though it is wrong", claim)
			}
			if diff := cmp.Diff(want, members(t, h.Map())); diff != "" {
				t.Errorf("claim %v: preserved (-by the kernel +read):\n%s", claim, diff)
			}
			seen[h.Format().String()]++
		}
	})
	for _, what := range []string{kho.V1.String(), kho.V1Small.String(), "alike", "refused"} {
		if seen[what] == 0 {
			t.Errorf("no list is %s", what)
		}
	}
}

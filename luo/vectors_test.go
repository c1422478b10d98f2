package luo

import (
	"bytes"
	"fmt"
	"testing"

	"github.com/google/go-cmp/cmp"

	"ferry/fdt"
	"ferry/kho"
	"ferry/kho/khotest"
	"ferry/phys"
)

// handovers are what real kernels left, with what an independent program found in
// them.
var handovers = []struct {
	release string
	kho     *kho.Format
	format  *Format
	flbs    int
	memfd   string
}{
	{"6.19.14", kho.V1, V1, 0, "memfd-v1"},
	{"7.0.13", kho.V1, V1FLB, 3, "memfd-v1"},
	{"7.1.13", kho.V3, V1FLB, 3, "memfd-v2"},
	{"7.3.4", kho.V4, V5, 3, "memfd-v2"},
}

// khoOf returns a format of the handover that goes with f.
func khoOf(f *Format) *kho.Format {
	if k := map[*Format]*kho.Format{V1: kho.V1, V5: kho.V4}[f]; k != nil {
		return k
	}
	return kho.V3
}

// openAs opens a handover that may leave open which it is.
func openAs(t testing.TB, mem phys.Memory, data kho.Data, f *kho.Format) (*kho.Handover, *State) {
	t.Helper()
	h, err := kho.Open(mem, data, f)
	if err != nil {
		t.Fatal(err)
	}
	if h.Format() != f {
		t.Fatalf("a handover in %v, want %v", h.Format(), f)
	}
	return h, restored(t, h)
}

func TestRealStatesAreReadAndCrossToEveryFormatAndBack(t *testing.T) {
	for _, v := range handovers {
		vector := khotest.Linux(t, v.release)
		incoming := make(map[phys.Addr][]byte)
		for _, a := range vector.Pages {
			page, err := vector.Memory.View(a, phys.PageSize)
			if err != nil {
				t.Fatal(err)
			}
			incoming[a] = bytes.Clone(page)
		}
		h, st := openAs(t, vector.Memory, vector.Data, v.kho)
		want := modelOf(st)
		checkVector(t, vector, st, v.format, v.flbs, v.memfd)
		for _, f := range Formats() {
			t.Run(fmt.Sprintf("%s to %v", v.release, f), func(t *testing.T) {
				there, first := cross(t, h, st, khoOf(f), f)
				back, again := cross(t, there, first, v.kho, v.format)
				if f.HoldsFLBs() {
					if diff := cmp.Diff(want, modelOf(again)); diff != "" {
						t.Errorf("(-before +after):\n%s", diff)
					}
				}
				n := h.Map().Count()
				if _, ok := back.Subtree(kho.MetadataName); !ok {
					if _, ok := h.Subtree(kho.MetadataName); ok {
						n-- // dropped on the way
					}
				}
				if got := back.Map().Count(); got != n {
					t.Errorf("%d blocks preserved, %d before", got, n)
				}
			})
		}
		for a, was := range incoming {
			if now, _ := vector.Memory.View(a, phys.PageSize); !bytes.Equal(was, now) {
				t.Errorf("Linux %s: page %v of the incoming handover was written to", v.release, a)
			}
		}
	}
}

// cross writes st, the state of h, in f and reads it back.
func cross(t testing.TB, h *kho.Handover, st *State, k *kho.Format, f *Format) (*kho.Handover, *State) {
	t.Helper()
	d, err := h.Draft(k, nil)
	if err != nil {
		t.Fatal(err)
	}
	if err := Serialize(st, d, Options{Format: f, BeyondLimits: true}); err != nil {
		t.Fatal(err)
	}
	if s, ok := h.Subtree(kho.MetadataName); ok && k == kho.V1 { // those kernels would read a tree
		d.DropSubtree(kho.MetadataName)
		if err := d.Retire(phys.Block{Addr: s.Data}); err != nil {
			t.Fatal(err)
		}
	}
	data, err := d.Commit()
	if err != nil {
		t.Fatal(err)
	}
	next, out := openAs(t, h.Memory(), data, k)
	if out.Format() != f {
		t.Fatalf("a state in %v, want %v", out.Format(), f)
	}
	if err := out.Diff(st, nil); err != nil {
		t.Error(err)
	}
	return next, out
}

// checkVector holds a state against what was found in it.
func checkVector(t *testing.T, v *khotest.Vector, st *State, f *Format, flbs int, memfd string) {
	t.Helper()
	if st.Format() != f || len(st.flbs) != flbs*flbSize || st.NoFLBs() != (flbs == 0) || st.Number == 0 {
		t.Errorf("%v with %d bytes of FLBs, number %d, want %v with %d FLBs", st.Format(), len(st.flbs), st.Number, f, flbs)
	}
	left := make(map[string]int)
	for _, b := range v.Blocks {
		left[b.Role]++
	}
	role := func(b phys.Block, want string) {
		t.Helper()
		for _, other := range v.Blocks {
			if other.Block == b && other.Role == want {
				left[want]--
				return
			}
		}
		t.Errorf("%v is no %q of the vector", b, want)
	}
	if !isChain(f) {
		role(phys.Block{Addr: st.root}, "luo fdt")
		role(st.arrays.at(0), "sess array")
		for i := 1; i < len(st.arrays); i++ {
			role(st.arrays.at(i), "file array")
		}
	} else {
		role(phys.Block{Addr: st.root}, "luo_ser")
		for _, l := range []*runs{&st.sessions, &st.files} {
			for i := range l.n {
				role(phys.Block{Addr: l.at(i).addr().Page()}, "block")
			}
		}
	}
	if flbs > 0 {
		role(phys.Block{Addr: st.flbPage}, "flb")
	}
	for _, s := range all(st.Sessions()) {
		for _, f := range all(s.Files()) {
			if role(phys.Block{Addr: phys.Addr(f.Data)}, "memfd"); string(f.Handler) != memfd {
				t.Errorf("session %q: handler %q, want %q", s.Name, f.Handler, memfd)
			}
		}
	}
	for _, what := range []string{"luo fdt", "sess array", "file array", "luo_ser", "block", "flb", "memfd"} {
		if left[what] != 0 {
			t.Errorf("%d blocks of the vector that are %q were not read", left[what], what)
		}
	}
}

// TestTreesAreThoseOfLinux writes the trees of real kernels again. Linux leaves 8
// bytes more before the structure block; the rest is equal, byte for byte.
func TestTreesAreThoseOfLinux(t *testing.T) {
	for _, v := range handovers {
		if isChain(v.format) {
			continue
		}
		vector := khotest.Linux(t, v.release)
		_, st := openAs(t, vector.Memory, vector.Data, v.kho)
		want, err := vector.Memory.View(st.root, phys.PageSize)
		if err != nil {
			t.Fatal(err)
		}
		theirs, err := fdt.Parse(st.root, want)
		if err != nil {
			t.Fatal(err)
		}
		page := make([]byte, phys.PageSize)
		n, err := v.format.form.(*tree).write(page, v.format.compatible, st.Number, st.arrays.at(0).Addr, st.flbPage)
		if err != nil {
			t.Fatal(err)
		}
		const ours, linux = 0x38, 0x40 // where the structure block begins
		if a, b := page[ours:n], want[linux:theirs.Size()]; !bytes.Equal(a, b) {
			t.Errorf("Linux %s: got\n%s\nwant\n%s", v.release, dump(a), dump(b))
		}
	}
}

// TestCutRootsOfRealStatesAreRefused cuts the roots of real states short: whatever is
// left is refused, never followed.
func TestCutRootsOfRealStatesAreRefused(t *testing.T) {
	for _, v := range handovers {
		vector := khotest.Linux(t, v.release)
		h, st := openAs(t, vector.Memory, vector.Data, v.kho)
		page, err := vector.Memory.Edit(st.root, phys.PageSize)
		if err != nil {
			t.Fatal(err)
		}
		whole := bytes.Clone(page)
		s, _ := h.Subtree(Subtree)
		for cut := range int(s.Size) {
			if bytes.Equal(whole[cut:s.Size], make([]byte, int(s.Size)-cut)) {
				continue
			}
			clear(page[cut:])
			if _, err := restoreFrom(h.Ledger(), h.Map(), s.Data, s.Size); err == nil {
				// A cut may leave a pointer of 0, which stands for nothing.
				if !isChain(v.format) {
					t.Errorf("Linux %s: a root of %d bytes of %d is accepted", v.release, cut, s.Size)
				}
			}
			copy(page, whole)
		}
	}
}

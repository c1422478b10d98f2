package fdt_test

import (
	"errors"
	"fmt"
	"math/rand/v2"
	"testing"

	"github.com/google/go-cmp/cmp"

	"ferry/fdt"
)

// grow writes a random tree and returns how [lines] should list it.
func grow(r *rand.Rand, w *fdt.Writer, name string, depth int) []string {
	in := fmt.Sprintf("%*s", 2*depth, "")
	w.Begin(name)
	out := []string{in + "/" + name}
	for i := range r.IntN(4) {
		v := make([]byte, r.IntN(12))
		for j := range v {
			v[j] = byte(r.Uint32())
		}
		p := fmt.Sprintf("p%d", i)
		w.Property(p, v)
		out = append(out, fmt.Sprintf("%s  %s = %q", in, p, v))
	}
	for i := range r.IntN(4) {
		if depth < 4 {
			out = append(out, grow(r, w, fmt.Sprintf("child-%d@%d", i, depth), depth+1)...)
		}
	}
	w.End()
	return out
}

func TestWhatIsWrittenIsRead(t *testing.T) {
	for seed := range uint64(300) {
		page := make([]byte, 8192)
		w := fdt.NewWriter(page)
		want := grow(rand.New(rand.NewPCG(seed, 1)), w, "", 0)
		n, err := w.Finish()
		if errors.Is(err, fdt.ErrFull) {
			continue
		}
		if err != nil {
			t.Fatal(err)
		}
		tree, err := fdt.Parse(base, page[:n])
		if err != nil {
			t.Fatalf("seed %d: %v", seed, err)
		}
		if diff := cmp.Diff(want, lines(tree.Root(), 0)); diff != "" {
			t.Fatalf("seed %d (-written +read):\n%s", seed, diff)
		}
	}
}

func TestWriterSaysWhenATreeDoesNotFit(t *testing.T) {
	write := func(room int) (int, error) {
		w := fdt.NewWriter(make([]byte, room))
		w.Begin("")
		w.String("compatible", "kho-v4")
		w.End()
		return w.Finish()
	}
	size, err := write(4096)
	if err != nil {
		t.Fatal(err)
	}
	for room := range size {
		if _, err := write(room); !errors.Is(err, fdt.ErrFull) {
			t.Fatalf("%d bytes of room for %d: %v, want %v", room, size, err, fdt.ErrFull)
		}
	}
	if n, err := write(size); n != size || err != nil {
		t.Errorf("exact room: %d, %v, want %d", n, err, size)
	}
}

func TestWriterRefusesWhatIsNoTree(t *testing.T) {
	for name, write := range map[string]func(w *fdt.Writer){
		"nothing":                 func(w *fdt.Writer) {},
		"node left open":          func(w *fdt.Writer) { w.Begin("") },
		"end too many":            func(w *fdt.Writer) { w.Begin(""); w.End(); w.End() },
		"two roots":               func(w *fdt.Writer) { w.Begin(""); w.End(); w.Begin(""); w.End() },
		"root with a name":        func(w *fdt.Writer) { w.Begin("root"); w.End() },
		"child without name":      func(w *fdt.Writer) { w.Begin(""); w.Begin(""); w.End(); w.End() },
		"property without node":   func(w *fdt.Writer) { w.Uint64("p", 1) },
		"property after children": func(w *fdt.Writer) { w.Begin(""); w.Begin("a"); w.End(); w.Uint64("p", 1); w.End() },
		"property without name":   func(w *fdt.Writer) { w.Begin(""); w.Property("", nil); w.End() },
	} {
		w := fdt.NewWriter(make([]byte, 4096))
		write(w)
		if _, err := w.Finish(); !errors.Is(err, fdt.ErrStructure) {
			t.Errorf("%s: %v, want %v", name, err, fdt.ErrStructure)
		}
	}
}

// TestNamesMayHaveASlash: libfdt compares names whole, and Linux makes nodes of what
// somebody wrote on its command line (reserve_mem=1M:4096:a/b).
func TestNamesMayHaveASlash(t *testing.T) {
	page := make([]byte, 4096)
	w := fdt.NewWriter(page)
	w.Begin("")
	w.Begin("a/b")
	w.Uint64("size", 7)
	w.End()
	w.End()
	n, err := w.Finish()
	if err != nil {
		t.Fatal(err)
	}
	tree, err := fdt.Parse(0x1000, page[:n])
	if err != nil {
		t.Fatal(err)
	}
	node, ok := tree.Root().Child("a/b")
	if size, err := node.Uint64("size"); !ok || size != 7 || err != nil {
		t.Errorf("%v, %d, %v", ok, size, err)
	}
}

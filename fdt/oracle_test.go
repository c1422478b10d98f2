//go:build !metal

package fdt_test

import (
	"bytes"
	"fmt"
	"io/fs"
	"math/rand/v2"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/u-root/u-root/pkg/dt"

	"ferry/fdt"
)

// linesOf is [lines] for a tree that u-root read.
func linesOf(n *dt.Node, depth int) []string {
	in := strings.Repeat("  ", depth)
	out := []string{fmt.Sprintf("%s/%s", in, n.Name)}
	for _, p := range n.Properties {
		out = append(out, fmt.Sprintf("%s  %s = %q", in, p.Name, p.Value))
	}
	for _, c := range n.Children {
		out = append(out, linesOf(c, depth+1)...)
	}
	return out
}

func TestRealTreesReadAsAnotherReaderReadsThem(t *testing.T) {
	names, err := fs.Glob(files, "testdata/*.dtb")
	if err != nil || len(names) == 0 {
		t.Fatal("no trees", err)
	}
	for _, name := range names {
		b := file(t, strings.TrimPrefix(name, "testdata/"))
		oracle, err := dt.ReadFDT(bytes.NewReader(b))
		if err != nil {
			t.Fatal(name, err)
		}
		tree, err := fdt.Parse(base, b)
		if err != nil {
			t.Fatal(name, err)
		}
		if diff := cmp.Diff(linesOf(oracle.RootNode, 0), lines(tree.Root(), 0)); diff != "" {
			t.Errorf("%s (-oracle +read):\n%s", name, diff)
		}
	}
}

func TestAnotherReaderReadsWhatIsWritten(t *testing.T) {
	for seed := range uint64(100) {
		page := make([]byte, 16384)
		w := fdt.NewWriter(page, "p0") // the other reader wants some strings
		want := grow(rand.New(rand.NewPCG(seed, 2)), w, "", 0)
		n, err := w.Finish()
		if err != nil {
			t.Fatal(err)
		}
		oracle, err := dt.ReadFDT(bytes.NewReader(page[:n]))
		if err != nil {
			t.Fatalf("seed %d: %v", seed, err)
		}
		if diff := cmp.Diff(want, linesOf(oracle.RootNode, 0)); diff != "" {
			t.Fatalf("seed %d (-written +oracle):\n%s", seed, diff)
		}
		if len(oracle.ReserveEntries) != 0 || oracle.Header.LastCompVersion != 16 || oracle.Header.Version != 17 {
			t.Fatalf("header %+v, reservations %v", oracle.Header, oracle.ReserveEntries)
		}
	}
}

func TestWhatAnotherWriterWritesIsRead(t *testing.T) {
	for _, name := range []string{"sample.dtb", "linux-7.3.4-kho.dtb"} {
		oracle, err := dt.ReadFDT(bytes.NewReader(file(t, name)))
		if err != nil {
			t.Fatal(err)
		}
		var out bytes.Buffer
		if _, err := oracle.Write(&out); err != nil {
			t.Fatal(err)
		}
		tree, err := fdt.Parse(base, out.Bytes())
		if err != nil {
			t.Fatal(name, err)
		}
		if diff := cmp.Diff(linesOf(oracle.RootNode, 0), lines(tree.Root(), 0)); diff != "" {
			t.Errorf("%s (-oracle +read):\n%s", name, diff)
		}
	}
}

package fdt_test

import (
	"bytes"
	"errors"
	"io/fs"
	"strings"
	"testing"

	"ferry/fdt"
	"ferry/phys"
)

// FuzzParse feeds hostile trees: every accessor must work on what is accepted
// and take next to nothing from the heap, and writing it again must give a tree
// that reads the same. The tree is data, or one of those that are bulky with data
// at its beginning.
func FuzzParse(f *testing.F) {
	names, _ := fs.Glob(files, "testdata/*.dtb")
	for _, name := range names {
		b := file(f, strings.TrimPrefix(name, "testdata/"))
		f.Add(byte(0), b)
		f.Add(byte(0), b[:len(b)/2])
	}
	var bulks [][]byte
	for _, c := range bulky(f) {
		bulks = append(bulks, c.b)
		f.Add(byte(len(bulks)), []byte{})
	}
	f.Fuzz(func(t *testing.T, kind byte, data []byte) {
		b := data
		if n := int(kind) % (len(bulks) + 1); n > 0 {
			b = bytes.Clone(bulks[n-1])
			copy(b, data)
		}
		bounded(t, b)
		tree, err := fdt.Parse(base, b)
		if err != nil {
			var e *phys.Error
			if !errors.As(err, &e) {
				t.Fatalf("%v: no place named", err)
			}
			return
		}
		if len(b) > 64<<10 {
			return // too much to write out
		}
		before := lines(tree.Root(), 0)
		out := make([]byte, 16*len(b)+4096)
		w := fdt.NewWriter(out)
		rewrite(w, tree.Root())
		n, err := w.Finish()
		if err != nil {
			t.Fatal(err)
		}
		again, err := fdt.Parse(base, out[:n])
		if err != nil {
			t.Fatal(err)
		}
		if got := lines(again.Root(), 0); strings.Join(got, "\n") != strings.Join(before, "\n") {
			t.Fatalf("written again:\n%s\nwas:\n%s", strings.Join(got, "\n"), strings.Join(before, "\n"))
		}
	})
}

func rewrite(w *fdt.Writer, n fdt.Node) {
	w.Begin(string(n.Name()))
	for p := range n.Properties() {
		w.Property(string(p.Name), bytes.Clone(p.Value))
	}
	for c := range n.Children() {
		rewrite(w, c)
	}
	w.End()
}

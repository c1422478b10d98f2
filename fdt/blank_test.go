package fdt_test

import (
	"bytes"
	"testing"

	"ferry/fdt"
)

// TestBlankTakesOutOneNode: whichever node is taken out, the others and the root stay
// what they are, and the tree parses.
func TestBlankTakesOutOneNode(t *testing.T) {
	b := make([]byte, 4096)
	w := fdt.NewWriter(b)
	w.Begin("")
	w.String("compatible", "kho-v4")
	for _, name := range []string{"one", "two", "three"} {
		w.Begin(name)
		w.Uint64("preserved-data", 1<<40)
		w.Begin("inner")
		w.String("compatible", name)
		w.End()
		w.End()
	}
	w.End()
	if _, err := w.Finish(); err != nil {
		t.Fatal(err)
	}
	tree, err := fdt.Parse(0, b)
	if err != nil {
		t.Fatal(err)
	}
	for n := range tree.Root().Children() {
		left := bytes.Clone(b)
		n.Blank(left)
		without, err := fdt.Parse(0, left)
		if err != nil {
			t.Fatalf("without %v: %v", n, err)
		}
		var names []string
		for c := range without.Root().Children() {
			names = append(names, string(c.Name()))
			inner, ok := c.Child("inner")
			if has, err := inner.HasString("compatible", string(c.Name())); !ok || !has || err != nil {
				t.Errorf("without %v: %v is not what it was", n, c)
			}
		}
		if _, there := without.Root().Child(string(n.Name())); there || len(names) != 2 {
			t.Errorf("without %v there are %q", n, names)
		}
		if has, err := without.Root().HasString("compatible", "kho-v4"); !has || err != nil {
			t.Errorf("without %v the root has lost its string: %v", n, err)
		}
	}
}

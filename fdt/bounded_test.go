package fdt_test

import (
	"bytes"
	"encoding/binary"
	"errors"
	"fmt"
	"strings"
	"testing"

	"ferry/fdt"
	"ferry/phys"
	"ferry/phys/phystest"
)

// bulk is the size of the largest sub-tree of a handover.
const bulk = 4 << 20

type bulkyTree struct {
	name string
	b    []byte
}

// bulky are trees of 4 MiB of which one thing is as large as can be.
func bulky(tb testing.TB) []bulkyTree {
	tb.Helper()
	tree := func(body func(w *fdt.Writer)) []byte {
		b := make([]byte, bulk)
		w := fdt.NewWriter(b)
		w.Begin("")
		body(w)
		w.End()
		n, err := w.Finish()
		if err != nil {
			tb.Fatal(err)
		}
		return b[:n]
	}
	compatible := func(c byte) []byte {
		return tree(func(w *fdt.Writer) { w.Property("compatible", bytes.Repeat([]byte{c}, bulk-4096)) })
	}
	long := strings.Repeat("n", bulk/2-4096)
	many := "\x00\x00\x00\x01\x00\x00\x00\x00" // of properties that share a name
	many += strings.Repeat("\x00\x00\x00\x03\x00\x00\x00\x00\x00\x00\x00\x00", bulk/2/12) + end + finish
	shared := treeOf(many)
	shared = append(shared[:len(shared)-2], long...)
	binary.BigEndian.PutUint32(shared[4:], uint32(len(shared)+1))
	binary.BigEndian.PutUint32(shared[32:], uint32(len(long)+1))
	return []bulkyTree{
		{"empty strings", compatible(0)},
		{"a text without end", compatible(0xff)},
		{"a long node name", tree(func(w *fdt.Writer) {
			for range 2 {
				w.Begin(long)
				w.End()
			}
		})},
		{"a long property name", tree(func(w *fdt.Writer) { w.Property(long, nil); w.Property("p", nil); w.Property("p", nil) })},
		{"a long name of many properties", append(shared, 0)},
		{"a root with a name", treeOf(begin + long + "\x00\x00\x00\x00" + end + finish)},
		{"many nodes", treeOf(begin + "\x00\x00\x00\x00" + strings.Repeat(begin+"a\x00\x00\x00"+end, bulk/12) + end + finish)},
	}
}

// bounded fails the test if parsing b, or anything that can be asked of the tree
// then, takes more than a page from the heap: what is found wrong is the only
// thing that is allocated.
func bounded(t *testing.T, b []byte) {
	var tree *fdt.Tree
	phystest.Bounded(t, phys.PageSize, func() { tree, _ = fdt.Parse(base, b) })
	if tree == nil {
		return
	}
	phystest.Bounded(t, phys.PageSize, func() { walk(tree.Root()) })
	root := tree.Root()
	asked := []fdt.Node{root}
	for c := range root.Children() {
		if asked = append(asked, c); len(asked) == 3 {
			break
		}
	}
	for _, n := range asked {
		phystest.Bounded(t, phys.PageSize, func() { n.Unique() })
		phystest.Bounded(t, phys.PageSize, func() { n.Uint64("compatible") })
		phystest.Bounded(t, phys.PageSize, func() { n.HasString("compatible", "kho-v4") })
		phystest.Bounded(t, phys.PageSize, func() { n.Child("none"); n.Property("none") })
		phystest.Bounded(t, phys.PageSize, func() {
			if list, err := n.Strings("compatible"); err == nil {
				phys.QuoteList(list)
			}
		})
		phystest.Bounded(t, phys.PageSize, func() { _ = n.String() })
	}
}

// walk visits all of n.
func walk(n fdt.Node) {
	for p := range n.Properties() {
		_ = p
		break // the names of all are looked at elsewhere: they may be long
	}
	for c := range n.Children() {
		walk(c)
	}
}

func TestBulkyTreesCostAPage(t *testing.T) {
	for _, c := range bulky(t) {
		t.Run(c.name, func(t *testing.T) { bounded(t, c.b) })
	}
}

func TestErrorsQuoteForeignTextClipped(t *testing.T) {
	all := map[string][]byte{}
	for _, c := range bulky(t) {
		all[c.name] = c.b
	}
	parse := func(name string) fdt.Node {
		tree, err := fdt.Parse(base, all[name])
		if err != nil {
			t.Fatal(name, err)
		}
		return tree.Root()
	}
	_, text := parse("a text without end").Strings("compatible")
	_, name := fdt.Parse(base, all["a root with a name"])
	named := parse("a long node name")
	node, _ := named.Child(strings.Repeat("n", bulk/2-4096))
	_, missing := node.Uint64("size")
	for _, c := range []struct {
		err  error
		want string
	}{
		{text, `root node property "compatible" 0x1234504c: "\xff`},
		{name, `: node name "nnn`},
		{named.Unique(), `: a second node "n`},
		{missing, `"... (2093056 bytes) property "size" 0x12345044: no such property`},
		{parse("a long property name").Unique(), `: a second property "p"`},
	} {
		if c.err == nil || !strings.Contains(c.err.Error(), c.want) || len(c.err.Error()) > 1024 {
			t.Errorf("%.2000v, want %s", c.err, c.want)
		}
	}
}

func TestUniqueComparesAsManyNamesAsItSays(t *testing.T) {
	for n, want := range map[int]error{1024: nil, 1025: fdt.ErrStructure} {
		for kind, add := range map[string]func(w *fdt.Writer, name string){
			"properties": func(w *fdt.Writer, name string) { w.Property(name, nil) },
			"nodes":      func(w *fdt.Writer, name string) { w.Begin(name); w.End() },
		} {
			b := make([]byte, 64<<10)
			w := fdt.NewWriter(b)
			w.Begin("")
			for i := range n {
				add(w, fmt.Sprintf("n%d", i))
			}
			w.End()
			if _, err := w.Finish(); err != nil {
				t.Fatal(err)
			}
			tree, err := fdt.Parse(base, b)
			if err != nil {
				t.Fatal(err)
			}
			if err := tree.Root().Unique(); !errors.Is(err, want) {
				t.Errorf("%d %s: %v, want %v", n, kind, err, want)
			}
		}
	}
}

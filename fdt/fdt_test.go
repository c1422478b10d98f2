package fdt_test

import (
	"bytes"
	"embed"
	"encoding/binary"
	"encoding/hex"
	"errors"
	"fmt"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"ferry/fdt"
	"ferry/phys"
)

//go:embed testdata/*.dtb
var files embed.FS

const base = phys.Addr(0x1234_5000) // where the trees of the tests lie

func file(tb testing.TB, name string) []byte {
	tb.Helper()
	b, err := files.ReadFile("testdata/" + name)
	if err != nil {
		tb.Fatal(err)
	}
	return b
}

// lines lists a tree as text: a line for a node, indented by its depth, and one
// for each of its properties.
func lines(n fdt.Node, depth int) []string {
	in := strings.Repeat("  ", depth)
	out := []string{fmt.Sprintf("%s/%s", in, n.Name())}
	for p := range n.Properties() {
		out = append(out, fmt.Sprintf("%s  %s = %q", in, p.Name, p.Value))
	}
	for c := range n.Children() {
		out = append(out, lines(c, depth+1)...)
	}
	return out
}

func TestParseReadsRealTrees(t *testing.T) {
	for _, c := range []struct {
		file string
		want []string
	}{
		{"linux-7.3.4-kho.dtb", []string{
			"/",
			`  compatible = "kho-v4\x00"`,
			`  preserved-memory-map = "\x00\xa0\x8e\x00\x00\x00\x00\x00"`,
			"  /memblock",
			`    blob-size = "\xce\x00\x00\x00\x00\x00\x00\x00"`,
			`    preserved-data = "\x00\xf0\x82\x00\x00\x00\x00\x00"`,
			"  /LUO",
			`    blob-size = " \x00\x00\x00\x00\x00\x00\x00"`,
			"    preserved-data = " + fmt.Sprintf("%q", "\x00\xd0\x82\x00\x00\x00\x00\x00"),
			"  /kexec-metadata",
			`    blob-size = "I\x00\x00\x00\x00\x00\x00\x00"`,
			`    preserved-data = "\x00\x10\x8f\x00\x00\x00\x00\x00"`,
		}},
		{"linux-7.3.4-memblock.dtb", []string{
			"/",
			`  compatible = "memblock-v1\x00"`,
			"  /foo",
			`    compatible = "reserve-mem-v1\x00"`,
			`    start = "\x00\x00\x90>\x00\x00\x00\x00"`,
			`    size = "\x00\x00\x10\x00\x00\x00\x00\x00"`,
		}},
		{"linux-6.19.14-luo.dtb", []string{
			"/",
			`  compatible = "luo-v1\x00"`,
			`  liveupdate-number = "\x01\x00\x00\x00\x00\x00\x00\x00"`,
			"  /luo-session",
			`    compatible = "luo-session-v2\x00"`,
			`    luo-session-header = "\x00\x00\x91\x00\x00\x00\x00\x00"`,
		}},
		{"sample.dtb", []string{
			"/",
			`  compatible = "ferry,sample\x00second\x00"`,
			`  number = "\x88wfUD3\"\x11"`,
			`  flag = ""`,
			`  odd = "\x01\x02\x03"`,
			"  /first",
			`    text = "a\x00"`,
			"    /inner@1",
			"      /deep",
			`        value = "\x124Vx"`,
			"    /last",
			"  /second",
		}},
	} {
		t.Run(c.file, func(t *testing.T) {
			b := file(t, c.file)
			tree, err := fdt.Parse(base, append(bytes.Clone(b), "what follows on the page"...))
			if err != nil {
				t.Fatal(err)
			}
			if tree.Size() != len(b) {
				t.Errorf("size %d, want %d", tree.Size(), len(b))
			}
			if diff := cmp.Diff(c.want, lines(tree.Root(), 0)); diff != "" {
				t.Errorf("tree (-want +got):\n%s", diff)
			}
			for n := range tree.Root().Children() {
				if err := n.Unique(); err != nil {
					t.Error(err)
				}
			}
		})
	}
}

func TestNodeLooksUpByExactName(t *testing.T) {
	tree, err := fdt.Parse(base, file(t, "sample.dtb"))
	if err != nil {
		t.Fatal(err)
	}
	root := tree.Root()
	for name, want := range map[string]bool{"first": true, "second": true, "deep": false, "inner@1": false, "sec": false, "": false} {
		if n, ok := root.Child(name); ok != want || ok && string(n.Name()) != name {
			t.Errorf("Child(%q) found %v, want %v", name, ok, want)
		}
	}
	first, _ := root.Child("first")
	if _, ok := first.Child("inner"); ok {
		t.Error(`Child("inner") found the node "inner@1"`)
	}
	if v, err := root.Uint64("number"); err != nil || v != 0x1122334455667788 {
		t.Errorf("Uint64 = %#x, %v, want the little-endian number", v, err)
	}
	for _, name := range []string{"compatible", "flag", "odd", "none"} {
		if _, err := root.Uint64(name); !errors.Is(err, fdt.ErrProperty) {
			t.Errorf("Uint64(%q): %v, want an error", name, err)
		}
	}
	if list, err := root.Strings("compatible"); err != nil || phys.QuoteList(list) != `["ferry,sample" "second"]` {
		t.Errorf("Strings: %v", err)
	} else {
		for range list {
			break // leaving early is allowed
		}
	}
	for s, want := range map[string]bool{"ferry,sample": true, "second": true, "ferry": false, "": false} {
		if ok, err := root.HasString("compatible", s); ok != want || err != nil {
			t.Errorf("HasString(%q) = %v, %v", s, ok, err)
		}
	}
	for _, name := range []string{"number", "flag", "none"} {
		if _, err := root.Strings(name); !errors.Is(err, fdt.ErrProperty) {
			t.Errorf("Strings(%q): %v, want an error", name, err)
		}
		if _, err := root.HasString(name, ""); !errors.Is(err, fdt.ErrProperty) {
			t.Errorf("HasString(%q): %v, want an error", name, err)
		}
	}
	p, ok := root.Property("odd")
	if at := p.Addr - base; !ok || at >= phys.Addr(tree.Size()) || file(t, "sample.dtb")[at] != 1 {
		t.Errorf("address of a value: %s", p.Addr)
	}
}

func TestLookupsDoNotAllocate(t *testing.T) {
	tree, err := fdt.Parse(base, file(t, "linux-7.3.4-kho.dtb"))
	if err != nil {
		t.Fatal(err)
	}
	if n := testing.AllocsPerRun(100, func() {
		luo, _ := tree.Root().Child("LUO")
		luo.Uint64("blob-size")
	}); n > 0 {
		t.Errorf("%v allocations in a look-up", n)
	}
}

// example is the tree of the format's description: kho-v4 with two sub-trees.
const example = "d00dfeed0000011d00000038000000e4" + "00000028000000110000001000000000" +
	"00000039000000ac0000000000000000" + "00000000000000000000000100000000" +
	"0000000300000007000000156b686f2d" + "76340000000000030000000800000000" +
	"0060452301000000000000014c554f00" + "00000003000000080000002f20000000" +
	"00000000000000030000000800000020" + "00804523010000000000000200000001" +
	"6b657865632d6d657461646174610000" + "00000003000000080000002f49000000" +
	"00000000000000030000000800000020" + "00704523010000000000000200000002" +
	"00000009"

func TestWriterWritesTheExampleByteForByte(t *testing.T) {
	want, err := hex.DecodeString(example)
	if err != nil {
		t.Fatal(err)
	}
	want = append(want, "preserved-memory-map\x00compatible\x00preserved-data\x00blob-size\x00"...)
	page := bytes.Repeat([]byte{0xee}, 4096)
	w := fdt.NewWriter(page, "preserved-memory-map", "compatible", "preserved-data", "blob-size")
	w.Begin("")
	w.String("compatible", "kho-v4")
	w.Address("preserved-memory-map", 0x123456000)
	for _, s := range []struct {
		name string
		addr phys.Addr
		size uint64
	}{{"LUO", 0x123458000, 32}, {"kexec-metadata", 0x123457000, 73}} {
		w.Begin(s.name)
		w.Uint64("blob-size", s.size)
		w.Address("preserved-data", s.addr)
		w.End()
	}
	w.End()
	n, err := w.Finish()
	if err != nil || n != len(want) {
		t.Fatalf("%d bytes, %v, want %d", n, err, len(want))
	}
	if diff := cmp.Diff(hex.Dump(want), hex.Dump(page[:n])); diff != "" {
		t.Errorf("bytes (-want +got):\n%s", diff)
	}
	if bytes.ContainsFunc(page[n:], func(r rune) bool { return r != 0 }) {
		t.Error("bytes after the tree are not zero")
	}
}

func TestParseRefuses(t *testing.T) {
	u32 := binary.BigEndian.PutUint32
	good := file(t, "sample.dtb")
	structure := binary.BigEndian.Uint32(good[8:])
	size := binary.BigEndian.Uint32(good[36:])
	second := phys.Addr(bytes.LastIndex(good, []byte("second\x00\x00"))) // the node
	flag := phys.Addr(bytes.Index(good, []byte{0, 0, 0, 3, 0, 0, 0, 0})) // the property without value
	for _, c := range []struct {
		name   string
		damage func(b []byte) []byte
		rule   error
		at     phys.Addr // offset that the error names
	}{
		{"nothing", func(b []byte) []byte { return nil }, fdt.ErrHeader, 0},
		{"half a header", func(b []byte) []byte { return b[:39] }, fdt.ErrHeader, 0},
		{"another magic", func(b []byte) []byte { b[3] = 0xee; return b }, fdt.ErrHeader, 0},
		{"total size over the memory", func(b []byte) []byte { u32(b[4:], uint32(len(b))+1); return b }, fdt.ErrHeader, 4},
		{"total size under the header", func(b []byte) []byte { u32(b[4:], 39); return b }, fdt.ErrHeader, 4},
		{"total size 2^32-1", func(b []byte) []byte { u32(b[4:], ^uint32(0)); return b }, fdt.ErrHeader, 4},
		{"truncated", func(b []byte) []byte { return b[:len(b)-1] }, fdt.ErrHeader, 4},
		{"version 16", func(b []byte) []byte { u32(b[20:], 16); return b }, fdt.ErrHeader, 20},
		{"last compatible version 18", func(b []byte) []byte { u32(b[20:], 18); u32(b[24:], 18); return b }, fdt.ErrHeader, 24},
		{"reservations unaligned", func(b []byte) []byte { u32(b[16:], 44); return b }, fdt.ErrHeader, 16},
		{"reservations in the header", func(b []byte) []byte { u32(b[16:], 32); return b }, fdt.ErrHeader, 16},
		{"reservations outside", func(b []byte) []byte { u32(b[16:], ^uint32(7)); return b }, fdt.ErrHeader, 16},
		{"reservations without end", func(b []byte) []byte {
			for i := 40; i < len(b); i++ {
				b[i] = 1
			}
			return b
		}, fdt.ErrHeader, 16},
		{"structure unaligned", func(b []byte) []byte { u32(b[8:], structure+2); return b }, fdt.ErrHeader, 8},
		{"structure in the header", func(b []byte) []byte { u32(b[8:], 36); return b }, fdt.ErrHeader, 8},
		{"structure outside", func(b []byte) []byte { u32(b[36:], ^uint32(3)); return b }, fdt.ErrHeader, 8},
		{"strings outside", func(b []byte) []byte { u32(b[32:], 4096); return b }, fdt.ErrHeader, 12},
		{"strings without end", func(b []byte) []byte { u32(b[32:], 3); return b }, fdt.ErrStructure, phys.Addr(structure) + 8 + 8},
		{"structure of no bytes", func(b []byte) []byte { u32(b[36:], 0); return b }, fdt.ErrStructure, phys.Addr(structure)},
		{"structure cut before its end", func(b []byte) []byte { u32(b[36:], size-4); return b }, fdt.ErrStructure, phys.Addr(structure + size - 4)},
		{"root with a name", func(b []byte) []byte { b[structure+4] = 'x'; return b }, fdt.ErrStructure, phys.Addr(structure)},
		{"unknown token", func(b []byte) []byte { u32(b[structure:], 5); return b }, fdt.ErrStructure, phys.Addr(structure)},
		{"empty structure", func(b []byte) []byte { u32(b[structure:], 9); return b }, fdt.ErrStructure, phys.Addr(structure)},
		{"property before the root", func(b []byte) []byte { u32(b[structure:], 3); return b }, fdt.ErrStructure, phys.Addr(structure)},
		{"end before the root", func(b []byte) []byte { u32(b[structure:], 2); return b }, fdt.ErrStructure, phys.Addr(structure)},
		{"property longer than the tree", func(b []byte) []byte { u32(b[flag+4:], size); return b }, fdt.ErrStructure, flag},
		{"property of 2^32-1 bytes", func(b []byte) []byte { u32(b[flag+4:], ^uint32(0)); return b }, fdt.ErrStructure, flag},
		{"property name outside", func(b []byte) []byte { u32(b[flag+8:], 4096); return b }, fdt.ErrStructure, flag + 8},
		{"reservations unaligned, and zero", func(b []byte) []byte {
			n := uint32(len(b))
			b = append(b, make([]byte, 64)...)
			u32(b[4:], n+64)
			u32(b[16:], (n+7)&^7+4)
			return b
		}, fdt.ErrHeader, 16},
		{"structure of half a word more", func(b []byte) []byte { u32(b[36:], size+1); return b }, fdt.ErrHeader, 8},
		{"property name between two", func(b []byte) []byte {
			u32(b[flag+8:], uint32(bytes.IndexByte(b[binary.BigEndian.Uint32(b[12:]):], 0)))
			return b
		}, fdt.ErrStructure, flag + 8},
		{"property name empty", func(b []byte) []byte { u32(b[flag+8:], binary.BigEndian.Uint32(b[32:])-1); return b }, fdt.ErrStructure, flag + 8},
		{"node without name", func(b []byte) []byte { b[second] = 0; return b }, fdt.ErrStructure, second - 4},
		{"tree ends inside a node", func(b []byte) []byte { u32(b[structure+size-8:], 9); return b }, fdt.ErrStructure, phys.Addr(structure + size - 8)},
		{"second root", func(b []byte) []byte { u32(b[structure+size-4:], 1); return b }, fdt.ErrStructure, phys.Addr(structure + size - 4)},
	} {
		t.Run(c.name, func(t *testing.T) {
			b := c.damage(bytes.Clone(good))
			tree, err := fdt.Parse(base, b)
			var e *phys.Error
			if !errors.Is(err, c.rule) || !errors.As(err, &e) || tree != nil {
				t.Fatalf("got %v, want %v", err, c.rule)
			}
			if e.Addr != base+c.at {
				t.Errorf("%v: names offset %#x, want %#x", err, uint64(e.Addr-base), uint64(c.at))
			}
		})
	}
	if _, err := fdt.Parse(base+4, good); !errors.Is(err, fdt.ErrHeader) {
		t.Errorf("unaligned address: %v, want %v", err, fdt.ErrHeader)
	}
}

func TestParseRefusesPropertiesAfterChildren(t *testing.T) {
	b := file(t, "sample.dtb")
	// Close "second" before it begins: the tokens of its node become a child
	// that ends, followed by a property.
	at := bytes.Index(b, []byte("last"))
	binary.BigEndian.PutUint32(b[at+8:], 2)  // ends "last"
	binary.BigEndian.PutUint32(b[at+12:], 3) // was the end of "first"
	if _, err := fdt.Parse(base, b); !errors.Is(err, fdt.ErrStructure) || !strings.Contains(err.Error(), "out of place") {
		t.Errorf("got %v, want a property out of place", err)
	}
}

func TestUniqueRefusesDuplicates(t *testing.T) {
	for name, write := range map[string]func(w *fdt.Writer){
		"property": func(w *fdt.Writer) { w.Uint64("same", 1); w.Uint64("other", 2); w.Uint64("same", 3) },
		"node": func(w *fdt.Writer) {
			for _, n := range []string{"same", "other", "same"} {
				w.Begin(n)
				w.End()
			}
		},
	} {
		page := make([]byte, 4096)
		w := fdt.NewWriter(page)
		w.Begin("")
		write(w)
		w.End()
		if _, err := w.Finish(); err != nil {
			t.Fatal(err)
		}
		tree, err := fdt.Parse(base, page)
		if err != nil {
			t.Fatal(err)
		}
		if err := tree.Root().Unique(); !errors.Is(err, fdt.ErrDuplicate) || !strings.Contains(err.Error(), `second `+name+` "same"`) {
			t.Errorf("%s: got %v, want a duplicate", name, err)
		}
	}
}

// Words of a structure block, and a property "p" of one byte.
const (
	begin, end  = "\x00\x00\x00\x01", "\x00\x00\x00\x02"
	nop, finish = "\x00\x00\x00\x04", "\x00\x00\x00\x09"
	property    = "\x00\x00\x00\x03\x00\x00\x00\x01\x00\x00\x00\x00v\x00\x00\x00"
)

// treeOf wraps a structure block into a tree.
func treeOf(structure string) []byte {
	b := make([]byte, 56)
	for i, v := range []int{0xd00dfeed, 56 + len(structure) + 2, 56, 56 + len(structure), 40, 17, 16, 0, 2, len(structure)} {
		binary.BigEndian.PutUint32(b[4*i:], uint32(v))
	}
	return append(append(b, structure...), "p\x00"...)
}

func TestParseRefusesASecondRoot(t *testing.T) {
	const root = begin + "\x00\x00\x00\x00" + property + end
	if _, err := fdt.Parse(base, treeOf(root+finish)); err != nil {
		t.Error(err)
	}
	if _, err := fdt.Parse(base, treeOf(root+root+finish)); !errors.Is(err, fdt.ErrStructure) {
		t.Errorf("got %v, want %v", err, fdt.ErrStructure)
	}
}

func TestParseRefusesANameWithoutEnd(t *testing.T) {
	for _, name := range []string{"", "xxxx"} {
		if _, err := fdt.Parse(base, treeOf(begin+"\x00\x00\x00\x00"+begin+name)); !errors.Is(err, fdt.ErrStructure) {
			t.Errorf("got %v, want %v", err, fdt.ErrStructure)
		}
	}
}

func TestMissingPropertiesAreSaidToBeMissing(t *testing.T) {
	tree, err := fdt.Parse(base, file(t, "sample.dtb"))
	if err != nil {
		t.Fatal(err)
	}
	_, err = tree.Root().Uint64("none")
	_, err2 := tree.Root().Strings("none")
	for _, err := range []error{err, err2} {
		if !errors.Is(err, fdt.ErrProperty) || !strings.Contains(err.Error(), "no such property") {
			t.Errorf("got %v", err)
		}
	}
}

func TestParseRefusesAPropertyCutAnywhere(t *testing.T) {
	const root = begin + "\x00\x00\x00\x00"
	for n := 4; n <= len(property); n += 4 {
		if _, err := fdt.Parse(base, treeOf(root+property[:n])); !errors.Is(err, fdt.ErrStructure) {
			t.Errorf("after %d bytes: %v, want %v", n, err, fdt.ErrStructure)
		}
	}
}

func TestParsePassesOverFillers(t *testing.T) {
	structure := nop + begin + "\x00\x00\x00\x00" + nop + property + nop + begin + "abc\x00" + nop + end + nop + begin + "d\x00\x00\x00" + property + end + end + nop + finish
	tree, err := fdt.Parse(base, treeOf(structure))
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff([]string{"/", `  p = "v"`, "  /abc", "  /d", `    p = "v"`}, lines(tree.Root(), 0)); diff != "" {
		t.Errorf("tree (-want +got):\n%s", diff)
	}
	for range tree.Root().Properties() {
		break // leaving early is allowed
	}
	for range tree.Root().Children() {
		break
	}
}

func TestParseRefusesTooManyLevels(t *testing.T) {
	for levels, want := range map[int]error{fdt.MaxDepth: nil, fdt.MaxDepth + 1: fdt.ErrStructure, 200: fdt.ErrStructure} {
		page := make([]byte, 4096)
		w := fdt.NewWriter(page)
		for i := range levels {
			w.Begin(strings.Repeat("n", min(i, 1)))
		}
		for range levels {
			w.End()
		}
		if _, err := w.Finish(); err != nil {
			t.Fatal(err)
		}
		if _, err := fdt.Parse(base, page); !errors.Is(err, want) {
			t.Errorf("%d levels: %v, want %v", levels, err, want)
		}
	}
}

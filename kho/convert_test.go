package kho_test

import (
	"encoding/binary"
	"strconv"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"ferry/fdt"
	"ferry/kho"
	"ferry/phys"
)

func TestAListOfMoreBitmapsThanRAMHasWindowsIsRefusedEarly(t *testing.T) {
	for _, format := range lists {
		f := fixtureAs(t, format)
		binary.LittleEndian.PutUint32(f.edit(f.root()+12, 4), 255)
		for i := phys.Addr(1); i < 255; i++ {
			copy(f.edit(f.root()+16+16*i, 16), f.edit(f.root()+16, 16))
		}
		_, err := kho.Open(f.mem, f.data, format)
		refusedAs(t, err, kho.ErrMap, f.root(), "chunk")
		if err == nil || !strings.Contains(err.Error(), "one for each window of RAM") {
			t.Errorf("%v: %v", format, err)
		}
	}
}

// TestOrdersThatAreRetiredLeaveNoElements where an index is written anew.
func TestOrdersThatAreRetiredLeaveNoElements(t *testing.T) {
	for _, format := range lists {
		f := fixtureAs(t, format)
		_, d := f.draft()
		f.check(d.Retire(phys.Block{Addr: hugeBlock, Order: 9}))
		var err error
		f.data, err = d.Commit()
		f.check(err)
		if diff := cmp.Diff(f.open().Map().Nodes(), d.Map().Nodes()); diff != "" {
			t.Errorf("%v: nodes (-read +draft):\n%s", format, diff)
		}
		for chunk := f.root(); chunk != 0; chunk = phys.Addr(f.word(chunk)) {
			if o := binary.LittleEndian.Uint32(f.edit(chunk+8, 4)); o == 9 {
				t.Errorf("%v: a chunk of order 9 at %v", format, chunk)
			}
		}
	}
}

// TestPropertiesOfSubtreesMeanTheSameInEveryFormat: what a node has beside what
// its format asks for is carried, unless the other format would read it.
func TestPropertiesOfSubtreesMeanTheSameInEveryFormat(t *testing.T) {
	const odd = phys.Addr(0x5eed)
	for _, c := range []struct {
		from, to *kho.Format
		want     []string
	}{
		{kho.V1, kho.V4, []string{"preserved-data = blob", "blob-size = 48", "flavour = odd", "empty = "}},
		{kho.V1, lists[len(lists)-1], []string{"flavour = odd", "preserved-data = odd", "blob-size = odd", "fdt = blob", "empty = "}},
		{kho.V4, kho.V1, []string{"fdt = blob", "flavour = odd", "empty = "}},
		{kho.V4, kho.V3, []string{"flavour = odd", "preserved-data = blob", "blob-size = 48", "fdt = odd", "empty = "}},
	} {
		f := fixtureAs(t, kho.V1) // for a thing that is a device tree
		if c.from == kho.V4 {
			next, _ := cross(t, f.open(), kho.V4)
			f.data, f.hint = next.Data(), kho.V4
		}
		size := uint64(binary.BigEndian.Uint32(f.edit(f.blob, 8)[4:]))
		root := f.root()
		w := fdt.NewWriter(f.edit(f.data.FDT, phys.PageSize))
		w.Begin("")
		w.String("compatible", c.from.Compatible())
		w.Address("preserved-memory-map", root)
		w.Begin("thing")
		w.Address("flavour", odd)
		if c.from == kho.V1 {
			w.Address("preserved-data", odd)
			w.Address("blob-size", odd)
			w.Address("fdt", f.blob)
		} else {
			w.Address("preserved-data", f.blob)
			w.Uint64("blob-size", size)
			w.Address("fdt", odd)
		}
		w.Property("empty", nil)
		w.End()
		w.End()
		_, err := w.Finish()
		f.check(err)
		next, _ := cross(t, f.open(), c.to)
		f.data = next.Data()
		var got []string
		for _, line := range describe(t, f) {
			if rest, ok := strings.CutPrefix(line, "/thing: "); ok {
				got = append(got, rest)
			}
		}
		text := map[string]string{"blob": strconv.Quote(le(uint64(f.blob))), "odd": strconv.Quote(le(uint64(odd))), "48": strconv.Quote(le(size)), "": `""`}
		for i, line := range c.want {
			name, value, _ := strings.Cut(line, " = ")
			c.want[i] = name + " = " + text[value]
		}
		if diff := cmp.Diff(c.want, got); diff != "" {
			t.Errorf("%v to %v (-want +got):\n%s", c.from, c.to, diff)
		}
		if version := describe(t, f)[0]; !strings.Contains(version, c.to.Compatible()) {
			t.Errorf("%v to %v: %s", c.from, c.to, version)
		}
	}
}

package kho

import (
	"encoding/binary"
	"errors"
	"fmt"
	"strings"
	"testing"

	"ferry/fdt"
	"ferry/phys"
	"ferry/phys/phystest"
)

// features is a property of 24 bytes of feature bits, of which the second word may hold
// those of known alone.
func features(known uint64) rootProperty {
	return rootProperty{"features", binary.LittleEndian.AppendUint64(make([]byte, 8, 24), known)[:24], func(_ fdt.Node, p fdt.Property) bool {
		return len(p.Value) == 24 && binary.LittleEndian.Uint64(p.Value[8:])&^known == 0
	}}
}

// formatsToCome are what a later kernel may do with the root node: rename its
// properties, add some, and be known by feature bits instead of a version string.
func formatsToCome() (renamed, added, bits *Format) {
	a, b, c := *V4, *V4, *V4
	a.name, a.root, a.mapProperty, a.pointerProperty = "renamed", version("kho-v9"), "memory-map", "at"
	b.name, b.root = "added", append(version("kho-v8"), features(3))
	c.name, c.root, c.mapProperty = "bits", []rootProperty{features(7), {"flavour", []byte("x"), func(_ fdt.Node, p fdt.Property) bool { return string(p.Value) == "x" }}}, "map"
	return &a, &b, &c
}

// rootOf lists the properties of the root node of a handover, values but that of the map.
func rootOf(t *testing.T, h *Handover) string {
	t.Helper()
	var all []string
	for p := range h.tree.Root().Properties() {
		value := strings.TrimRight(string(p.Value), "\x00")
		if string(p.Name) == h.format.mapProperty {
			value = "map"
		}
		all = append(all, fmt.Sprintf("%s=%q", p.Name, value))
	}
	return strings.Join(all, " ")
}

// TestAFormatMayAddDropAndRenameRootProperties takes a handover, with properties that
// nobody knows, to formats of other root nodes and back.
func TestAFormatMayAddDropAndRenameRootProperties(t *testing.T) {
	renamed, added, bits := formatsToCome()
	three, seven := `features="\x00\x00\x00\x00\x00\x00\x00\x00\x03"`, `features="\x00\x00\x00\x00\x00\x00\x00\x00\a"`
	want := map[*Format]string{
		V4:      `compatible="kho-v4" preserved-memory-map="map" vendor="v"`,
		V3:      `compatible="kho-v3" preserved-memory-map="map" vendor="v"`,
		renamed: `compatible="kho-v9" memory-map="map" vendor="v"`,
		added:   `compatible="kho-v8" preserved-memory-map="map" vendor="v" ` + three,
		bits:    `map="map" vendor="v" ` + seven + ` flavour="x"`,
	}
	for a, first := range want {
		for b, there := range want {
			h := handoverAs(t, a, "vendor", "v")
			if got := rootOf(t, h); !samePropertiesAs(got, first) {
				t.Errorf("a handover in %v has %s, want %s", a, got, first)
			}
			next := crossTo(t, h, b)
			if got := rootOf(t, next); !samePropertiesAs(got, there) {
				t.Errorf("%v to %v: the root has %s, want %s", a, b, got, there)
			}
			back := crossTo(t, next, a)
			if got := rootOf(t, back); !samePropertiesAs(got, first) {
				t.Errorf("%v to %v and back: the root has %s, want %s", a, b, got, first)
			}
			if s, ok := back.Subtree("thing"); !ok || s.Size != 8 || back.Map().Count() != h.Map().Count() {
				t.Errorf("%v to %v and back: %v, %d blocks of %d", a, b, ok, back.Map().Count(), h.Map().Count())
			}
		}
	}
}

// samePropertiesAs compares lists of properties, whatever their order.
func samePropertiesAs(a, b string) bool {
	count := make(map[string]int)
	for _, p := range strings.Fields(a) {
		count[p]++
	}
	for _, p := range strings.Fields(b) {
		count[p]--
	}
	for _, n := range count {
		if n != 0 {
			return false
		}
	}
	return true
}

// TestWhatTheOtherFormatWouldReadIsLeftOut: a property that means nothing in one format
// does not come to mean something in the next.
func TestWhatTheOtherFormatWouldReadIsLeftOut(t *testing.T) {
	_, added, bits := formatsToCome()
	for _, name := range []string{"features", "map"} {
		h := handoverAs(t, V4, name, "stray")
		next := crossTo(t, h, bits)
		if got := rootOf(t, next); strings.Contains(got, "stray") {
			t.Errorf("%s of another meaning is carried: %s", name, got)
		}
	}
	h := handoverAs(t, V4, "features", "stray")
	if got := rootOf(t, crossTo(t, h, added)); strings.Contains(got, "stray") || !strings.Contains(got, "features=") {
		t.Errorf("features of another meaning are carried: %s", got)
	}
}

// TestUnknownFeatureBitsAreNoKnownFormat: a bit that readers must understand.
func TestUnknownFeatureBitsAreNoKnownFormat(t *testing.T) {
	_, _, bits := formatsToCome()
	more := *bits
	more.root = append([]rootProperty{features(15)}, bits.root[1:]...)
	h := handoverAs(t, &more, "vendor", "v")
	if _, err := OpenAs(h.mem, h.Data(), bits); err == nil || !errors.Is(err, fdt.ErrProperty) && !errors.Is(err, ErrVersion) {
		t.Errorf("required bits 15 of known 7: %v", err)
	}
	less := *bits
	less.root = append([]rootProperty{features(5)}, bits.root[1:]...)
	h = handoverAs(t, &less, "vendor", "v")
	if h, err := OpenAs(h.mem, h.Data(), bits); err != nil || h.Format() != bits {
		t.Errorf("required bits 5 of known 7: %v", err)
	}
	if _, err := Open(h.mem, h.Data(), nil); err == nil {
		t.Error("a format that nobody asked for is read")
	}
}

// handoverAs returns a handover in f with a sub-tree of 8 bytes and one more property
// of the root node.
func handoverAs(t *testing.T, f *Format, name, value string) *Handover {
	t.Helper()
	ram := phys.Range{Start: 0x1000_0000, End: 0x1200_0000}
	mem := phystest.NewSparse(t, ram)
	areas := []ScratchArea{{Addr: ram.Start, Size: 4 << 20}, {Addr: ram.Start + 4<<20, Size: 12 << 20}, {Addr: ram.Start + 16<<20, Size: 4 << 20}}
	d, err := New(mem, f, phys.NewRanges(ram), ram.Start, areas, nil)
	if err != nil {
		t.Fatal(err)
	}
	d.root = append(d.root, carried{name, []byte(value)})
	at, page, err := d.Alloc()
	if err != nil {
		t.Fatal(err)
	}
	copy(page, "contents")
	if err := d.SetSubtree("thing", at, 8); err != nil {
		t.Fatal(err)
	}
	return reopened(t, d, f)
}

func crossTo(t *testing.T, h *Handover, f *Format) *Handover {
	t.Helper()
	d, err := h.Draft(f, nil)
	if err != nil {
		t.Fatal(err)
	}
	return reopened(t, d, f)
}

func reopened(t *testing.T, d *Draft, f *Format) *Handover {
	t.Helper()
	data, err := d.Commit()
	if err != nil {
		t.Fatal(err)
	}
	h, err := OpenAs(d.mem, data, f)
	if err != nil {
		t.Fatalf("written as %v: %v", f, err)
	}
	return h
}

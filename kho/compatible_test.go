package kho_test

import (
	"errors"
	"slices"
	"strings"
	"testing"

	"ferry/fdt"
	"ferry/kho"
	"ferry/phys"
)

func TestVersionStringsAreTakenApart(t *testing.T) {
	for _, c := range []struct {
		text, base string
		components []string
	}{
		{"kho-v4", "kho-v4", nil},
		{"luo-v5", "luo-v5", nil},
		{"luo-session-v2", "luo-session-v2", nil},
		{"reserve-mem-v1", "reserve-mem-v1", nil},
		{"liveupdate-test-flb-v0", "liveupdate-test-flb-v0", nil},
		{"luo-v4-kho-block-v1", "luo-v4", []string{"kho-block-v1"}},
		{"luo-v3-kho-block-v1", "luo-v3", []string{"kho-block-v1"}},
		{"luo-v5;block-v1", "luo-v5", []string{"block-v1"}},
		{"memfd-v2;vmalloc-v1", "memfd-v2", []string{"vmalloc-v1"}},
		{"kho-v4;radix-v1;vmalloc-v1", "kho-v4", []string{"radix-v1", "vmalloc-v1"}},
		{"luo-v4-kho-block-v1;radix-v1", "luo-v4", []string{"kho-block-v1", "radix-v1"}},
		{"kvm_vm_luo_v1", "kvm_vm_luo_v1", nil},
		{"intel-vt-v2x", "intel-vt-v2x", nil},
		{"kho-v12", "kho-v12", nil},
		{"kho-v", "kho-v", nil},
		{"kho-v4;", "kho-v4", []string{""}},
		{"memfd", "memfd", nil},
		{"", "", nil},
	} {
		base, components := kho.ParseCompatible(c.text)
		if base != c.base || !slices.Equal(components, c.components) {
			t.Errorf("%q: %q %q, want %q %q", c.text, base, components, c.base, c.components)
		}
	}
}

// versioned writes the fixture's root device tree again with another version.
func (f *fixture) versioned(compatible string) {
	f.Helper()
	root := f.root()
	w := fdt.NewWriter(f.edit(f.data.FDT, phys.PageSize))
	w.Begin("")
	w.Property("compatible", []byte(compatible+"\x00"))
	w.Address("preserved-memory-map", root)
	w.End()
	_, err := w.Finish()
	f.check(err)
}

func TestUnknownVersionsAreRefusedByNameWithWhatIsKnown(t *testing.T) {
	for text, known := range map[string]string{
		"kho-v9":                     "want kho-v4 or kho-v3 or kho-v1",
		"kho-v2":                     "kho-v2 is the radix tree while it was developed",
		"kho-v4;radix-v1;vmalloc-v1": "kho-v4;radix-v1;vmalloc-v1 is the layout of kho-v4 with its components named",
		"kho-v4;radix-v2":            "kho-v4;radix-v2 is kho-v4 made of radix-v2, which no release wrote",
		"kho-v5;a-v1;b-v1":           "kho-v5;a-v1;b-v1 is kho-v5 made of a-v1 and b-v1",
		"kho-v4 ":                    `"kho-v4 "`,
		"kho-v40":                    `"kho-v40"`,
		"":                           `compatible [""]`,
		"kho-v4\x00kho-v1":           "versions of one layout",
	} {
		f := newFixture(t)
		f.versioned(text)
		_, err := kho.Open(f.mem, f.data, kho.V4)
		refusedAs(t, err, kho.ErrVersion, f.data.FDT+56+4, "root node")
		if err == nil || !strings.Contains(err.Error(), known) || !strings.Contains(err.Error(), strings.Split(text, "\x00")[0]) {
			t.Errorf("%q: got %v, want it to say %q", text, err, known)
		}
	}
}

func TestAListOfVersionsIsReadAsTheNewestOneKnown(t *testing.T) {
	for text, want := range map[string]*kho.Format{
		"kho-v3":                 kho.V3,
		"kho-v3\x00kho-v4":       kho.V4,
		"kho-v9\x00kho-v3":       kho.V3,
		"kho-v2\x00\x00kho-v4":   kho.V4,
		"kho-v4;x-v1\x00kho-v4":  kho.V4,
		"kho-v3\x00kho-v4;x-v1":  kho.V3,
		"kho-v3\x00kho-v3\x00no": kho.V3,
	} {
		f := newFixture(t)
		f.versioned(text)
		h, err := kho.Open(f.mem, f.data, nil)
		if err != nil || h.Format() != want || h.Compatible() != want.Compatible() {
			t.Errorf("%q: %v, want %v", text, err, want)
		}
	}
	f := newFixture(t)
	f.versioned("kho-v3\x00kho-v4")
	if h, err := kho.Open(f.mem, f.data, kho.V3); err != nil || h.Format() != kho.V3 {
		t.Errorf("a hint among two is not followed: %v", err)
	}
	f.versioned("kho-v4")
	if h, err := kho.Open(f.mem, f.data, kho.V1); err != nil || h.Format() != kho.V4 {
		t.Errorf("a hint against memory is followed: %v", err)
	}
}

func TestFormatsAreNamedApart(t *testing.T) {
	seen := make(map[string]bool)
	for _, f := range kho.Formats() {
		if seen[f.String()] || !strings.HasPrefix(f.String(), f.Compatible()) {
			t.Errorf("%v of %q: named twice, or without its version", f, f.Compatible())
		}
		seen[f.String()] = true
	}
	if len(seen) != len(kho.Formats()) || kho.V1.MaxRestore() != 10 || lists[len(lists)-1].MaxRestore() != 10 || kho.V3.MaxRestore() != 18 || kho.V4.MaxRestore() <= 18 {
		t.Errorf("%d formats, or orders that are not theirs", len(seen))
	}
	if errors.Is(kho.ErrAmbiguous, kho.ErrVersion) {
		t.Error("unknown and ambiguous are one")
	}
}

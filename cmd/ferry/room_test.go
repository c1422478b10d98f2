package main

import (
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"ferry/boot"
	"ferry/phys"
)

func TestPlaceGoesTopDownInTheFirstAreaThatFits(t *testing.T) {
	areas := []phys.Range{
		{Start: 0x10000000, End: 0x10400000},   // 4 MiB
		{Start: 0x10000000, End: 0x10000000},   // empty
		{Start: 0x120000000, End: 0x124000000}, // 64 MiB, above 4 GiB
	}
	got, err := place(areas, []need{
		{"table", 0x10001, 0x10000, 0},
		{"image", 32 * mib, 2 * mib, mib},
		{"small", 100, phys.PageSize, 0},
		{"high only", 0x1000, phys.PageSize, 0x10400000},
	})
	if err != nil {
		t.Fatal(err)
	}
	want := []phys.Range{
		{Start: 0x103e0000, End: 0x103f1000},
		{Start: 0x122000000, End: 0x124000000},
		{Start: 0x103ff000, End: 0x10400000},
		{Start: 0x121fff000, End: 0x122000000},
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("places (-want +got):\n%s", diff)
	}
}

func TestPlaceNeverOverlapsAndNeverLeavesTheArea(t *testing.T) {
	area := phys.Range{Start: 0x10000000, End: 0x10000000 + 96*mib}
	stage, kernel := &boot.Kernel{InitSize: 64 * mib, Alignment: 2 * mib}, &boot.Kernel{InitSize: 11*mib + 1, Alignment: 2 * mib}
	for payload := uint64(1); payload < 40*mib; payload += 1234567 {
		got, err := place([]phys.Range{area}, needs(stage, kernel, payload))
		if err != nil {
			if free := area.Size() - 64*mib - 12*mib - payload; free < area.Size() && free > 6*mib {
				t.Errorf("payload of %d bytes: %v, with %d bytes to spare", payload, err, free)
			}
			continue
		}
		for i, a := range got {
			if !area.Contains(a) {
				t.Errorf("payload of %d bytes: place %d %v leaves the area", payload, i, a)
			}
			for _, b := range got[:i] {
				if a.Overlaps(b) {
					t.Errorf("payload of %d bytes: %v and %v overlap", payload, a, b)
				}
			}
		}
	}
}

func TestPlaceSaysWhatDoesNotFitAndWhatTheHostHas(t *testing.T) {
	area := phys.Range{Start: 0x10000000, End: 0x10000000 + 48*mib}
	_, err := place([]phys.Range{area}, needs(&boot.Kernel{InitSize: 64 * mib, Alignment: 2 * mib}, &boot.Kernel{InitSize: 11 * mib, Alignment: mib}, mib))
	for _, want := range []string{"stage of 64 MiB", "48 MiB at 0x10000000", "kho_scratch=64M,0,192M"} {
		if err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("error %v, want one with %q", err, want)
		}
	}
	if _, err := place(nil, []need{{"x", 1, 1, 0}}); err == nil || !strings.Contains(err.Error(), "has none") {
		t.Errorf("error %v, want one with %q", err, "has none")
	}
}

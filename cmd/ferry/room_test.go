package main

import (
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"ferry/boot"
	"ferry/boot/payload"
	"ferry/phys"
)

func TestPlaceGoesTopDownInTheFirstAreaThatFits(t *testing.T) {
	areas := []phys.Range{
		{Start: 0x10000000, End: 0x10400000},   // 4 MiB
		{Start: 0x10000000, End: 0x10000000},   // empty
		{Start: 0x120000000, End: 0x124000000}, // 64 MiB, above 4 GiB
	}
	got, err := place(areas, []need{
		{name: "table", size: 0x10001, align: 0x10000},
		{name: "image", size: 32 * mib, align: 2 * mib, min: mib},
		{name: "small", size: 100, align: phys.PageSize},
		{name: "high only", size: 0x1000, align: phys.PageSize, min: 0x10400000},
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
	stage := &boot.Kernel{InitSize: 64 * mib, Alignment: 2 * mib}
	kernel := &boot.Kernel{InitSize: 11*mib + 1, Alignment: 2 * mib, Relocatable: true, Above4G: true}
	for payload := uint64(1); payload < 40*mib; payload += 1234567 {
		got, err := place([]phys.Range{area}, needs(stage, kernel, payload, 0))
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
	stage := &boot.Kernel{InitSize: 64 * mib, Alignment: 2 * mib}
	kernel := &boot.Kernel{InitSize: 11 * mib, Alignment: mib, Relocatable: true, Above4G: true}
	_, err := place([]phys.Range{area}, needs(stage, kernel, mib, 0))
	for _, want := range []string{"stage of 64 MiB", "48 MiB at 0x10000000", "for example kho_scratch=64M,0,192M, at least kho_scratch=32M,0,80M"} {
		if err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("error %v, want one with %q", err, want)
		}
	}
	if _, err := place(nil, []need{{name: "x", size: 1, align: 1}}); err == nil || !strings.Contains(err.Error(), "has none") {
		t.Errorf("error %v, want one with %q", err, "has none")
	}
}

// The least area that is advised is enough, and 4 MiB less are not.
func TestTheLeastScratchIsEnough(t *testing.T) {
	stage := &boot.Kernel{InitSize: 64 * mib, Alignment: 2 * mib, PrefAddress: 16 * mib}
	for _, kernel := range []*boot.Kernel{
		{InitSize: 11 * mib, Alignment: 2 * mib, Relocatable: true, Above4G: true},
		{InitSize: 61*mib + 1, Alignment: 16 * mib, Relocatable: true, Above4G: true},
		{InitSize: 14 * mib, Alignment: 2 * mib, Relocatable: true},
	} {
		for payload := uint64(1); payload < 900*mib; payload += 123456789 {
			needs := needs(stage, kernel, payload, 0)
			n, ok := least(needs)
			if !ok {
				t.Fatalf("payload of %d bytes: none", payload)
			}
			for _, start := range []phys.Addr{0x10000000, 0x10400000, 0x10c00000} {
				area, _ := phys.Span(start, n*mib)
				if _, err := place([]phys.Range{area}, needs); err != nil {
					t.Errorf("payload of %d bytes, %d MiB at %v: %v", payload, n, start, err)
				}
			}
			area, _ := phys.Span(0x10400000, (n-4)*mib)
			if _, err := place([]phys.Range{area}, needs); err == nil {
				t.Errorf("payload of %d bytes: %d MiB are enough, too", payload, n-4)
			}
		}
	}
	if n, ok := least([]need{{name: "x", size: mib, align: mib, min: mib, fixed: true}}); ok {
		t.Errorf("%d MiB for what must be at an address outside", n)
	}
}

// A kernel that cannot be anywhere in scratch: the host has a low area and a larger one above 4 GiB.
func TestPlaceKeepsTheNextKernelsOwnLimits(t *testing.T) {
	low := func(n uint64) phys.Range { return phys.Range{Start: 0x90000000, End: phys.Addr(0x90000000 + n*mib)} }
	high := phys.Range{Start: 0x200000000, End: 0x200000000 + 256*mib}
	ample := phys.Range{Start: 0x40000000, End: 0x40000000 + 256*mib}
	kernel := func(edit func(k *boot.Kernel)) *boot.Kernel {
		k := &boot.Kernel{InitSize: 11 * mib, Alignment: 2 * mib, PrefAddress: 16 * mib, Relocatable: true, Above4G: true,
			InitrdMax: 0x7fffffff}
		edit(k)
		return k
	}
	below4G := func(k *boot.Kernel) { k.Above4G = false }
	onPage := payload.File{Data: make([]byte, 20*mib), Offset: 4096}
	tests := []struct {
		name   string
		areas  []phys.Range
		kernel *boot.Kernel
		initrd payload.File
		copied bool
		want   []string // in the error, none for success
	}{
		{"anywhere", []phys.Range{low(8), high}, kernel(func(*boot.Kernel) {}), onPage, false, nil},
		{"kernel below 4 GiB", []phys.Range{low(20), high}, kernel(below4G), payload.File{}, false, nil},
		{"kernel below 4 GiB, no room there", []phys.Range{low(8), high}, kernel(below4G), payload.File{}, false,
			[]string{"next kernel of 11 MiB below 0x100000000", "loaded above 4 GiB", "kho_scratch=192M,0,64M"}},
		{"zero page below 4 GiB, no room there", []phys.Range{high, low(11)}, kernel(below4G), payload.File{}, false,
			[]string{"its zero page and command line of 64 KiB below 0x100000000"}},
		{"initrd above its limit, no room below", []phys.Range{low(20), high}, kernel(below4G), onPage, true,
			[]string{"copy of its initrd of 20 MiB below 0x80000000"}},
		{"initrd above its limit, room below", []phys.Range{low(20), high, {Start: 0x70000000, End: 0x70000000 + 24*mib}},
			kernel(below4G), onPage, true, nil},
		{"initrd below its limit", []phys.Range{ample}, kernel(below4G), onPage, false, nil},
		{"initrd off its page", []phys.Range{high}, kernel(func(*boot.Kernel) {}), payload.File{Data: onPage.Data, Offset: 4100}, true, nil},
		{"not relocatable, outside scratch", []phys.Range{high}, kernel(func(k *boot.Kernel) { k.Relocatable = false }), onPage, false,
			[]string{"next kernel of 11 MiB at exactly 0x1000000", "relocatable"}},
		{"not relocatable, inside scratch", []phys.Range{ample}, kernel(func(k *boot.Kernel) {
			k.Relocatable, k.PrefAddress = false, 0x40000000
		}), onPage, false, nil},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			stage := &boot.Kernel{InitSize: 64 * mib, Alignment: 2 * mib, PrefAddress: 16 * mib}
			places, err := placeAll(tt.areas, needs(stage, tt.kernel, 24*mib, 0), tt.kernel, tt.initrd)
			for _, want := range tt.want {
				if err == nil || !strings.Contains(err.Error(), want) {
					t.Errorf("error %v, want one with %q", err, want)
				}
			}
			if len(tt.want) > 0 {
				return
			}
			if err != nil {
				t.Fatal(err)
			}
			copied := false
			for _, p := range places {
				copied = copied || p.need.name == "copy of its initrd"
				if p.need.limit != 0 && p.at.End > p.need.limit {
					t.Errorf("%s at %v, want it below %v", p.need.name, p.at, p.need.limit)
				}
			}
			if copied != tt.copied {
				t.Errorf("initrd copied: %v, want %v", copied, tt.copied)
			}
		})
	}
}

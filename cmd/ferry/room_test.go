package main

import (
	"encoding/binary"
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
	got, err := place(areas, []boot.Need{
		{What: "table", Size: 0x10001, Align: 0x10000},
		{What: "image", Size: 32 * mib, Align: 2 * mib, Low: mib},
		{What: "small", Size: 100, Align: phys.PageSize},
		{What: "high only", Size: 0x1000, Align: phys.PageSize, Low: 0x10400000},
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
		got, err := place([]phys.Range{area}, needs(stage, kernel, payload, 0, 0))
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
	_, err := place([]phys.Range{area}, needs(stage, kernel, mib, 0, 0))
	for _, want := range []string{"stage of 64 MiB", "48 MiB at 0x10000000", "for example kho_scratch=64M,0,192M, at least kho_scratch=32M,0,80M"} {
		if err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("error %v, want one with %q", err, want)
		}
	}
	if _, err := place(nil, []boot.Need{{What: "x", Size: 1, Align: 1}}); err == nil || !strings.Contains(err.Error(), "has none") {
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
			all := needs(stage, kernel, payload, 0, 0)
			n, ok := least(all)
			if !ok {
				t.Fatalf("payload of %d bytes: none", payload)
			}
			for _, start := range []phys.Addr{0x10000000, 0x10400000, 0x10c00000} {
				area, _ := phys.Span(start, n*mib)
				if _, err := place([]phys.Range{area}, all); err != nil {
					t.Errorf("payload of %d bytes, %d MiB at %v: %v", payload, n, start, err)
				}
			}
			area, _ := phys.Span(0x10400000, (n-4)*mib)
			if _, err := place([]phys.Range{area}, all); err == nil {
				t.Errorf("payload of %d bytes: %d MiB are enough, too", payload, n-4)
			}
		}
	}
	if n, ok := least([]boot.Need{{What: "x", Size: mib, Align: mib, Low: mib, Fixed: true}}); ok {
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
			places, err := placeAll(tt.areas, stage, tt.kernel, 24*mib, 0, tt.initrd)
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
				copied = copied || p.What == "copy of its initrd"
				if p.Limit != 0 && p.at.End > p.Limit {
					t.Errorf("%s at %v, want it below %v", p.What, p.at, p.Limit)
				}
			}
			if copied != tt.copied {
				t.Errorf("initrd copied: %v, want %v", copied, tt.copied)
			}
		})
	}
}

// What ferry load prints is where the stage puts the next kernel, as long as nothing is left to chance.
func TestLoadFindsThePlacesThatTheStageFinds(t *testing.T) {
	high := phys.Range{Start: 0x200000000, End: 0x200000000 + 256*mib}
	le := binary.LittleEndian
	for name, tt := range map[string]struct {
		areas  []phys.Range
		image  []byte
		initrd uint64 // bytes
		offset uint64 // in the payload
	}{
		"one area":        {[]phys.Range{high}, bzImage(), 5 * mib, 4096},
		"initrd copied":   {[]phys.Range{high}, bzImage(), 5*mib + 1, 4100},
		"no initrd":       {[]phys.Range{high}, bzImage(), 0, 4096},
		"two areas":       {[]phys.Range{{Start: 0x70000000, End: 0x70800000}, high}, bzImage(), 5 * mib, 4100},
		"areas descend":   {[]phys.Range{high, {Start: 0x70000000, End: 0x78000000}}, bzImage(), 5 * mib, 4100},
		"areas overlap":   {[]phys.Range{{Start: 0x70000000, End: 0x78000000}, {Start: 0x74000000, End: 0x90000000}}, bzImage(), 5 * mib, 4096},
		"below 4 GiB":     {[]phys.Range{high, {Start: 0x60000000, End: 0x6c000000}}, bzImage(func(b []byte) { b[0x236] &^= 2; le.PutUint32(b[0x22c:], 0x7fffffff) }), 5 * mib, 4096},
		"at one address":  {[]phys.Range{high}, bzImage(func(b []byte) { b[0x234] = 0; le.PutUint64(b[0x258:], 0x201234000) }), 5 * mib, 4096},
		"a large machine": {[]phys.Range{{Start: 1 << 40, End: 1<<40 + 512*mib}}, bzImage(func(b []byte) { le.PutUint64(b[0x258:], 1<<40+2*mib) }), 50 * mib, 4096},
	} {
		t.Run(name, func(t *testing.T) {
			kernel, err := boot.ParseKernel(tt.image)
			if err != nil {
				t.Fatal(err)
			}
			stage := &boot.Kernel{InitSize: 64 * mib, Alignment: 2 * mib, PrefAddress: 16 * mib}
			initrd := payload.File{Data: make([]byte, tt.initrd), Offset: tt.offset}
			places, err := placeAll(tt.areas, stage, kernel, 64*mib, 4*mib, initrd)
			if err != nil {
				t.Fatal(err)
			}
			machine := &boot.Params{}
			for _, a := range tt.areas {
				machine.E820 = append(machine.E820, boot.Entry{Range: a, Type: boot.E820RAM})
			}
			next := boot.Next{Kernel: boot.Part{Bytes: tt.image}, KHO: new([boot.KHOSize]byte), Scratch: tt.areas}
			want := map[string]phys.Range{}
			for _, p := range places {
				switch p.What {
				case nextName, copyName:
					want[p.What] = p.at
				case payloadName:
					next.Initrd = boot.Part{Bytes: initrd.Data, At: p.at.Start + phys.Addr(tt.offset)}
					next.Occupied = next.Occupied.Add(p.at)
				case blockName:
				default:
					next.Occupied = next.Occupied.Add(p.at)
				}
			}
			plan, err := machine.Place(next)
			if err != nil {
				t.Fatal(err)
			}
			got := map[string]phys.Range{nextName: plan.Kernel}
			if tt.initrd > 0 && !plan.InitrdInPlace {
				got[copyName] = phys.Range{Start: plan.Initrd.Start, End: plan.Initrd.Start + want[copyName].End - want[copyName].Start}
			}
			if d := cmp.Diff(want, got); d != "" {
				t.Errorf("(-ferry load +stage):\n%s", d)
			}
		})
	}
}

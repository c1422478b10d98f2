package kho_test

import (
	"encoding/binary"
	"testing"

	"github.com/google/go-cmp/cmp"

	"ferry/kho"
	"ferry/phys"
)

// putNode writes a node of the setup_data list with the payload d.
func putNode(f *fixture, at phys.Addr, d kho.Data) []byte {
	b := binary.LittleEndian.AppendUint64(nil, 0x1234)
	b = binary.LittleEndian.AppendUint32(b, kho.SetupType)
	b = binary.LittleEndian.AppendUint32(b, kho.DataSize)
	b = d.Append(b)
	w := f.edit(at, uint64(len(b)))
	copy(w, b)
	return w
}

// searched is the part of the fixture's memory that is searched: all of it would take
// an emulated machine a minute.
type searched struct{ phys.Memory }

func (searched) RAM() phys.Ranges {
	return phys.NewRanges(phys.Range{Start: scratch0, End: scratch0 + 4<<20}, phys.Range{Start: scratch2, End: scratch2 + 1<<20},
		phys.Range{Start: ramEnd - 1<<20, End: ramEnd}, phys.Range{Start: poolArea.Start, End: poolArea.Start + 4<<20}, phys.Range{Start: poolArea.End - 1<<20, End: poolArea.End})
}

func find(f *fixture) []kho.Data { return kho.Find(searched{f.mem}) }

// TestFindFindsEveryHandover wherever its node lies: at any alignment, over the edges
// of the windows that are looked at, at both ends of RAM, and in every format.
func TestFindFindsEveryHandover(t *testing.T) {
	for _, format := range kho.Formats() {
		t.Run(format.String(), func(t *testing.T) { findEvery(t, format) })
	}
}

func findEvery(t *testing.T, format *kho.Format) {
	const size = 16 + kho.DataSize
	f := fixtureAs(t, format)
	if found := find(f); len(found) != 0 {
		t.Fatalf("%v: %v without a node", format, found)
	}
	for _, at := range []phys.Addr{scratch0 + 0x1000, scratch0 + 0x2001, scratch0 + 1<<20 - 8, scratch0 + 2<<20 - 47, scratch0 + 3<<20 - 1, ramEnd - size, poolArea.Start, poolArea.End - size} {
		w := putNode(f, at, f.data)
		if diff := cmp.Diff([]kho.Data{f.data}, find(f)); diff != "" {
			t.Errorf("%v: a node at %v (-want +got):\n%s", format, at, diff)
		}
		clear(w)
	}
	putNode(f, scratch0+0x3000, f.data)
	putNode(f, scratch2+0x3000, f.data) // a copy
	_, d := f.draft()
	next, err := d.Commit()
	f.check(err)
	putNode(f, scratch2, next)
	found := find(f)
	if diff := cmp.Diff([]kho.Data{f.data, next}, found); diff != "" {
		t.Errorf("%v: two handovers (-want +got):\n%s", format, diff)
	}
	for _, d := range found {
		if _, err := kho.Open(f.mem, d, format); err != nil {
			t.Errorf("%v: %+v: %v", format, d, err)
		}
	}
}

func TestFindTakesNothingElseForAHandover(t *testing.T) {
	for name, change := range map[string]func(w []byte, d *kho.Data){
		"another type":                func(w []byte, _ *kho.Data) { w[8] = 9 },
		"another length":              func(w []byte, _ *kho.Data) { w[12] = 33 },
		"a device tree of two pages":  func(_ []byte, d *kho.Data) { d.FDTSize *= 2 },
		"a device tree between pages": func(_ []byte, d *kho.Data) { d.FDT += 8 },
		"no device tree":              func(_ []byte, d *kho.Data) { d.FDT = scratch2 },
		"a device tree outside RAM":   func(_ []byte, d *kho.Data) { d.FDT = ramEnd },
		"a table outside RAM":         func(_ []byte, d *kho.Data) { d.Scratch = ramEnd },
		"a table of two entries":      func(_ []byte, d *kho.Data) { d.ScratchSize = 32 },
	} {
		t.Run(name, func(t *testing.T) {
			f := newFixture(t)
			d := f.data
			change(make([]byte, 48), &d)
			w := putNode(f, scratch0+0x1000, d)
			change(w, &d)
			if found := find(f); len(found) != 0 {
				t.Errorf("found %+v", found)
			}
		})
	}
}

func TestFindTakesNoUnknownVersion(t *testing.T) {
	f := newFixture(t)
	putNode(f, scratch0+0x1000, f.data)
	copy(f.edit(f.data.FDT, phys.PageSize)[lastIndex(f.edit(f.data.FDT, phys.PageSize), "kho-v4"):], "kho-v9")
	if found := find(f); len(found) != 0 {
		t.Errorf("an unknown version: %+v", found)
	}
}

// TestFindIsBounded: memory full of nodes costs no more than a few thousand looks.
func TestFindIsBounded(t *testing.T) {
	f := newFixture(t)
	for i := range phys.Addr(2 << 20 / 48) {
		d := f.data
		d.Scratch = scratch2 + 16*i%(1<<20)
		putNode(f, poolArea.Start+48*i, d)
	}
	if found := find(f); len(found) != 64 {
		t.Errorf("%d payloads, want 64", len(found))
	}
}

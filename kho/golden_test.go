package kho_test

import (
	"slices"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"

	"ferry/kho"
	"ferry/kho/khotest"
	"ferry/phys"
)

func TestOpenReadsTheHandoverOfLinux734(t *testing.T) {
	v := khotest.Linux734(t)
	h, err := kho.Open(v.Memory, v.Data, nil)
	if err != nil {
		t.Fatal(err)
	}
	want := make(map[phys.Block]bool)
	for _, b := range v.Blocks {
		want[b.Block] = true
	}
	if diff := cmp.Diff(want, members(t, h.Map())); diff != "" || len(want) != 1573 {
		t.Errorf("preserved blocks (-oracle +read):\n%s", diff)
	}
	if h.Compatible() != "kho-v4" {
		t.Errorf("compatible %q", h.Compatible())
	}
	if diff := cmp.Diff([]kho.ScratchArea{{Addr: 0x3a00_0000, Size: 0x440_0000}, {Addr: 0x3e40_0000}, {Addr: 0x2d40_0000, Size: 0xcc0_0000}}, h.Table()); diff != "" {
		t.Errorf("scratch table (-want +got):\n%s", diff)
	}
	if diff := cmp.Diff(phys.Ranges{{Start: 0x2d40_0000, End: 0x3e40_0000}}, h.Scratch()); diff != "" {
		t.Errorf("scratch (-want +got):\n%s", diff)
	}
	if diff := cmp.Diff([]kho.Subtree{{Name: "memblock", Data: 0x82f000, Size: 206, FDT: true}, {Name: "LUO", Data: 0x82d000, Size: 32},
		{Name: "kexec-metadata", Data: 0x8f1000, Size: 73}}, h.Subtrees(), cmpopts.IgnoreUnexported(kho.Subtree{})); diff != "" {
		t.Errorf("sub-trees (-want +got):\n%s", diff)
	}
}

func TestMapNodesOfLinux734AreThePagesThatAreLeft(t *testing.T) {
	v := khotest.Linux734(t)
	h, err := kho.Open(v.Memory, v.Data, nil)
	if err != nil {
		t.Fatal(err)
	}
	var want []phys.PFN
	for _, a := range v.Pages {
		_, scratch := h.Scratch().Overlaps(phys.Block{Addr: a}.Range())
		if !scratch && !slices.ContainsFunc(v.Blocks, func(b khotest.Block) bool { return b.Addr == a }) {
			want = append(want, a.PFN())
		}
	}
	if diff := cmp.Diff(want, h.Map().Nodes()); diff != "" {
		t.Errorf("nodes (-pages of structure that are not preserved +read):\n%s", diff)
	}
}

func TestObjectsOfLinux734(t *testing.T) {
	v := khotest.Linux734(t)
	h, err := kho.Open(v.Memory, v.Data, nil)
	if err != nil {
		t.Fatal(err)
	}
	m, ok, err := h.Metadata()
	if diff := cmp.Diff(kho.Metadata{Release: "7.3.4", Count: 1}, m); diff != "" || !ok || err != nil {
		t.Errorf("metadata %v %v (-want +got):\n%s", ok, err, diff)
	}
	regions, err := h.Reserved()
	if diff := cmp.Diff([]kho.Region{{Name: "foo", Range: phys.Range{Start: 0x3e90_0000, End: 0x3ea0_0000}}}, regions); diff != "" || err != nil {
		t.Errorf("reserved memory, %v (-want +got):\n%s", err, diff)
	}
}

func TestEveryVmallocAreaOfLinux734IsProved(t *testing.T) {
	v := khotest.Linux734(t)
	h, err := kho.Open(v.Memory, v.Data, nil)
	if err != nil {
		t.Fatal(err)
	}
	role := make(map[phys.Addr]string)
	for _, b := range v.Blocks {
		role[b.Addr] = b.Role
	}
	areas := 0
	for _, b := range v.Blocks {
		if b.Role != "memfd" {
			continue
		}
		page, err := v.Memory.View(b.Addr, phys.PageSize)
		if err != nil {
			t.Fatal(err)
		}
		area, err := kho.OpenVmalloc(h.Ledger().As("area", b.Addr+32), b.Addr+32, kho.ParseVmalloc(page[32:]))
		if err != nil {
			t.Fatal(err)
		}
		areas++
		if area.Len() != 1 || role[area.Block(0).Addr] != "memfd array data" || len(area.Chunks()) != 1 || role[area.Chunks()[0]] != "memfd array chunk" {
			t.Errorf("memfd %v: %d blocks, chunks %v", b.Addr, area.Len(), area.Chunks())
		}
	}
	if areas != 260 {
		t.Errorf("%d areas, want 260", areas)
	}
}

func TestADraftOfLinux734KeepsWhatItDoesNotChange(t *testing.T) {
	v := khotest.Linux734(t)
	h, err := kho.Open(v.Memory, v.Data, nil)
	if err != nil {
		t.Fatal(err)
	}
	d, err := h.Draft(kho.V4, nil)
	if err != nil {
		t.Fatal(err)
	}
	data, err := d.Commit()
	if err != nil {
		t.Fatal(err)
	}
	next, err := kho.Open(v.Memory, data, nil)
	if err != nil {
		t.Fatal(err)
	}
	want, got := members(t, h.Map()), members(t, next.Map())
	delete(want, phys.Block{Addr: h.Data().FDT})
	delete(got, phys.Block{Addr: data.FDT})
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("preserved (-incoming +outgoing):\n%s", diff)
	}
	if diff := cmp.Diff(h.Subtrees(), next.Subtrees(), cmpopts.IgnoreUnexported(kho.Subtree{})); diff != "" {
		t.Errorf("sub-trees (-incoming +outgoing):\n%s", diff)
	}
	if data.FDTSize != phys.PageSize || !d.Pool().Contains(phys.Block{Addr: data.Scratch}.Range()) {
		t.Errorf("payload %+v, pool %v", data, d.Pool())
	}
}

package kho_test

import (
	"testing"

	"github.com/google/go-cmp/cmp"

	"ferry/kho"
	"ferry/kho/khotest"
	"ferry/phys"
)

func TestOpenReadsTheHandoverOfLinux734(t *testing.T) {
	v := khotest.Linux734(t)
	h, err := kho.Open(v.Memory, v.Data)
	if err != nil {
		t.Fatal(err)
	}
	var got []phys.Block
	h.Map.Walk(func(b phys.Block) error { got = append(got, b); return nil })
	t.Log(len(got), h.Compatible, h.Subtrees, h.Scratch, h.Map.Nodes())
	want := map[phys.Block]bool{}
	for _, b := range v.Blocks {
		want[b.Block] = true
	}
	have := map[phys.Block]bool{}
	for _, b := range got {
		have[b] = true
	}
	if d := cmp.Diff(want, have); d != "" {
		t.Errorf("preserved blocks (-oracle +read):\n%s", d)
	}
}

package damage

import (
	"bytes"
	"strings"
	"testing"

	"ferry/internal/oracle/standin"
	"ferry/kho"
	"ferry/luo"
	"ferry/phys"
	"ferry/phys/phystest"
)

func produce(t *testing.T) (phys.Memory, kho.Data) {
	t.Helper()
	ram := phys.Range{Start: 0x10000000, End: 0x20000000}
	scratch := []phys.Range{
		{Start: 0x10000000, End: 0x14000000}, {Start: 0x10000000, End: 0x10000000}, {Start: 0x20000000, End: 0x20000000},
	}
	mem := phystest.New(t, ram)
	h, err := standin.Produce(mem, phys.NewRanges(phys.Range{Start: 0x14000000, End: 0x20000000}), standin.F, standin.Shape{Sessions: 60, Files: 3})
	if err != nil {
		t.Fatal(err)
	}
	size, err := standin.Scratch(mem, scratch[0].Start, scratch)
	if err != nil {
		t.Fatal(err)
	}
	return mem, kho.Data{FDT: h.FDT, FDTSize: phys.PageSize, Scratch: scratch[0].Start, ScratchSize: size}
}

// read is what the stage does with a handover.
func read(mem phys.Memory, data kho.Data) error {
	h, err := kho.Open(mem, data, nil)
	if err != nil {
		return err
	}
	_, err = luo.Restore(h, h.Ledger())
	return err
}

func TestUndamagedHandoverIsRead(t *testing.T) {
	mem, data := produce(t)
	if err := read(mem, data); err != nil {
		t.Error(err)
	}
}

func TestEveryDamageIsNoticedAndNamed(t *testing.T) {
	for _, d := range All {
		t.Run(d.Name, func(t *testing.T) {
			mem, data := produce(t)
			at, err := Do(mem, data, d.Name)
			if err != nil {
				t.Fatal(err)
			}
			err = read(mem, data)
			page := at.String()[:len(at.String())-3] // an error may name the field
			if err == nil || !strings.Contains(err.Error(), page) {
				t.Errorf("error %v, want one that names an address in the page of %v", err, at)
			}
		})
	}
}

func TestUnknownDamageChangesNothing(t *testing.T) {
	mem, data := produce(t)
	before := bytes.Clone(view(t, mem, data.FDT))
	if _, err := Do(mem, data, "no such damage"); err == nil {
		t.Error("no error")
	}
	if !bytes.Equal(before, view(t, mem, data.FDT)) {
		t.Error("the tree changed")
	}
}

func view(t *testing.T, mem phys.Memory, a phys.Addr) []byte {
	t.Helper()
	b, err := mem.View(a, phys.PageSize)
	if err != nil {
		t.Fatal(err)
	}
	return b
}

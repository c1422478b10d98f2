package crossing

import (
	"bytes"
	"fmt"
	"strings"
	"testing"

	"ferry/internal/oracle/standin"
	"ferry/kho"
	"ferry/phys"
)

// TestBadMetadataIsPassedOver breaks what the kernel before says of itself: each is a
// warning that names the place, what was there and what should be. The next kernel gets
// it as it is, and ignores it, as Linux does (kho_kexec_metadata_init).
func TestBadMetadataIsPassedOver(t *testing.T) {
	// property returns where a value of the device tree is, found by what it holds
	// alone.
	property := func(m *machine, value uint64) phys.Addr {
		at := bytes.Index(m.edit(m.fdt, phys.PageSize), le.AppendUint64(nil, value))
		if at < 0 {
			t.Fatalf("the device tree does not hold %#x", value)
		}
		return m.fdt + phys.Addr(at)
	}
	for name, tt := range map[string]struct {
		damage func(m *machine, s kho.Subtree) (at phys.Addr)
		found  string
	}{
		"a version nobody knows": {func(m *machine, s kho.Subtree) phys.Addr { m.edit(s.Data, 1)[0] = 3; return s.Data }, "version 3, want 1"},
		"no version":             {func(m *machine, s kho.Subtree) phys.Addr { m.edit(s.Data, 1)[0] = 0; return s.Data }, "version 0, want 1"},
		"a release without end": {func(m *machine, s kho.Subtree) phys.Addr {
			copy(m.edit(s.Data+4, 65), strings.Repeat("7", 65))
			return s.Data + 4
		}, "a release without end, want a zero-terminated string"},
		"a byte too short": {func(m *machine, s kho.Subtree) phys.Addr {
			at := property(m, 73)
			m.edit(at, 1)[0]--
			return at
		}, "72 bytes at %v, want 73 or more"},
		"the pointer a byte on": {func(m *machine, s kho.Subtree) phys.Addr {
			m.edit(property(m, uint64(s.Data)), 1)[0]++
			return s.Data + 1
		}, "version 922746880, want 1"},
		"the pointer half a page on": {func(m *machine, s kho.Subtree) phys.Addr {
			m.edit(property(m, uint64(s.Data))+1, 1)[0] ^= 8
			return s.Data + 0x800
		}, "version 0, want 1"},
	} {
		for _, g := range []*standin.Generation{standin.E, standin.EPrime, standin.F} {
			t.Run(g.Name+"/"+name, func(t *testing.T) {
				m := newMachineOf(t, g, standin.Shape{Sessions: 1, Files: 1, Plain: true}, "")
				m.next(g.Name, g.Name)
				h, err := kho.Open(m.Memory, m.payload(), nil)
				if err != nil {
					t.Fatal(err)
				}
				s, ok := h.Subtree(kho.MetadataName)
				if !ok {
					t.Fatal("no metadata")
				}
				at, found := tt.damage(m, s), strings.ReplaceAll(tt.found, "%v", s.Data.String())
				raw := bytes.Clone(m.edit(nodesAt+16, kho.DataSize))
				jump, err := Run(&m.Machine)
				if err != nil {
					t.Fatal(err)
				}
				want := fmt.Sprintf("ferry: warning: kho: sub-tree: kexec-metadata %v: %s (damaged, or of a newer kernel than this image knows); Linux ignores it\n", at, found)
				if log := m.log.String(); !strings.Contains(log, want) || strings.Count(log, "warning: ") != 1 || strings.Contains(log, "error: ") {
					t.Errorf("the report says\n%swant alone\n%s", log, want)
				}
				a := m.arrive(jump)
				if bytes.Equal(a.kho, raw) {
					t.Error("the untouched handover arrived")
				}
				next, err := kho.Open(m.Memory, kho.Data{FDT: phys.Addr(le.Uint64(a.kho)), FDTSize: phys.PageSize, Scratch: phys.Addr(le.Uint64(a.kho[16:])), ScratchSize: le.Uint64(a.kho[24:])}, nil)
				if err != nil {
					t.Fatal(err)
				}
				was, _ := h.Subtree(kho.MetadataName)
				if now, ok := next.Subtree(kho.MetadataName); !ok || now.Data.Page() != was.Data.Page() {
					t.Errorf("the metadata is %v at %v, was at %v", ok, now.Data, was.Data)
				}
			})
		}
	}
}

// TestMetadataOfAListIsReadAsWell: no release with such a map writes metadata,
// and nothing in its tree says how large it is; what has the name may be some.
func TestMetadataOfAListIsReadAsWell(t *testing.T) {
	for version, odd := range map[byte]bool{1: false, 2: true} {
		m := newMachineOf(t, standin.D, standin.Shape{Sessions: 1, Files: 1, Plain: true}, "")
		h, err := kho.Open(m.Memory, m.payload(), kho.V1)
		if err != nil {
			t.Fatal(err)
		}
		d, err := h.Draft(kho.V1, phys.NewRanges(phys.Block{Addr: cmdlineAt}.Range()))
		if err != nil {
			t.Fatal(err)
		}
		a, page, err := d.Alloc()
		if err != nil {
			t.Fatal(err)
		}
		n, err := kho.PutReserved(page, nil) // for the draft, which names trees alone
		if err == nil {
			err = d.SetSubtree(kho.MetadataName, a, uint64(n))
		}
		if err != nil {
			t.Fatal(err)
		}
		data, err := d.Commit()
		if err != nil {
			t.Fatal(err)
		}
		copy(m.edit(nodesAt+16, kho.DataSize), data.Append(nil))
		kho.Metadata{Release: "7.0.99-odd"}.Put(page)
		page[0] = version
		m.next("E", "D")
		if _, err := Run(&m.Machine); err != nil {
			t.Fatal(err)
		}
		log := m.log.String()
		if want := fmt.Sprintf("kexec-metadata %v: version 2, want 1", a); strings.Contains(log, want) != odd {
			t.Errorf("version %d: the report says\n%s", version, log)
		}
		if strings.Contains(log, `from "7.0.99-odd"`) == odd {
			t.Errorf("version %d: the report names the kernel, or does not:\n%s", version, log)
		}
	}
}

package boot_test

import (
	"bytes"
	"encoding/binary"
	"errors"
	"hash/crc32"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"ferry/boot"
	"ferry/phys"
)

func TestZeroPageHasTheHeaderOfTheImageAndTheRestAsItCame(t *testing.T) {
	m := newMachine(t)
	for i := range m.page[:0x1e8] {
		m.page[i] = byte(i) | 1
	}
	m.put32(0xc8, 0)
	m.initrd(payloadAt, 4096)
	m.page[0x1ef] = 0xff // a careless loader
	m.put32(0x23c, 0)
	for i := 0x26c; i < 0x290; i++ {
		m.page[i] = 0xff // the header that came in was longer
	}
	copy(m.page[0xd00:], "EDD")
	m.put32(0x290, 0x12345678)
	old := bytes.Clone(m.page)
	n := m.next(t)
	n.Kernel = m.part(payloadAt+0x1000, image(set8(0x211, 0xc1), set64(0x250, 0x5555)))
	plan, _ := m.start(t, n)

	want := bytes.Clone(old)
	clear(want[0x1f1:0x290])
	copy(want[0x1f1:0x26c], head[0x1f1:])
	put := func(off int, v uint64) { binary.LittleEndian.PutUint32(want[off:], uint32(v)) }
	put(0x0c0, 0) // upper halves: everything lies below 4 GiB
	put(0x0c4, 0)
	put(0x0c8, 0)
	put(0x1e4, 0)
	want[0x1ef] = 0
	want[0x210] = 0xd0
	want[0x211] = 1
	put(0x214, uint64(plan.Kernel.Start))
	put(0x218, payloadAt+0x400000)
	put(0x21c, 7000)
	put(0x228, uint64(plan.ZeroPage)+4096)
	got := m.bytes(plan.ZeroPage, 4096)
	copy(want[0x250:0x258], got[0x250:]) // the list: tested below
	for i := range want {
		if got[i] != want[i] {
			t.Errorf("byte %#x is %#x, want %#x", i, got[i], want[i])
		}
	}
}

func TestNextKernelReadsWhatItWasGiven(t *testing.T) {
	m := newMachine(t)
	n := m.next(t)
	plan, p := m.start(t, n)
	if p.Cmdline != n.Cmdline {
		t.Errorf("command line %q", p.Cmdline)
	}
	if got, err := p.KHO(); err != nil || *got != *n.KHO {
		t.Errorf("handover % x, %v", got, err)
	}
	if p.Initrd != n.Initrd.Range() || p.Initrd != plan.Initrd || !plan.InitrdInPlace {
		t.Errorf("initrd at %v, want in place at %v", p.Initrd, n.Initrd.Range())
	}
	if d := cmp.Diff(m.read().E820, p.E820); d != "" {
		t.Errorf("memory map (-old +new):\n%s", d)
	}
}

func TestSetupDataIsCarriedOver(t *testing.T) {
	ext := make([]byte, 20)
	putE820(ext, 0x1_0000_0000, 0x1000, 1)
	type node struct {
		Type uint32
		Data string
	}
	came := []node{{boot.SetupRNGSeed, "used entropy"}, {boot.SetupKHO, strings.Repeat("o", 32)},
		{boot.SetupE820Ext, string(ext)}, {0x4242, "unknown!!"}, {0x4242, ""}, {boot.SetupEFI, "efi"}}
	kept := came[2:]
	kho := [boot.KHOSize]byte{9}
	for _, c := range []struct {
		name string
		kho  *[boot.KHOSize]byte
		seed []byte
		want []node
	}{
		{"rewritten", &kho, []byte("fresh"), append([]node{{boot.SetupRNGSeed, "fresh"}, {boot.SetupKHO, string(kho[:])}}, kept...)},
		{"without handover", nil, []byte("fresh"), append([]node{{boot.SetupRNGSeed, "fresh"}}, kept...)},
		{"without entropy", &kho, nil, append([]node{{boot.SetupKHO, string(kho[:])}}, kept...)},
		{"with neither", nil, nil, kept},
	} {
		t.Run(c.name, func(t *testing.T) {
			m := newMachine(t)
			for _, d := range came {
				m.node(d.Type, []byte(d.Data))
			}
			n := m.next(t)
			n.KHO, n.Seed = c.kho, c.seed
			plan, p := m.start(t, n)
			var got []node
			for _, d := range p.SetupData {
				got = append(got, node{d.Type, string(d.Data)})
				if !plan.Block.Contains(d.Range()) || !d.Addr.Aligned(8) {
					t.Errorf("node at %v is no copy in %v", d.Range(), plan.Block)
				}
			}
			if d := cmp.Diff(c.want, got); d != "" {
				t.Errorf("(-want +got):\n%s", d)
			}
		})
	}
}

func TestWriteChangesNothingOutsideItsPlaces(t *testing.T) {
	m := newMachine(t)
	m.node(7, []byte("some node"))
	n := m.next(t)
	plan, err := m.read().Place(n)
	if err != nil {
		t.Fatal(err)
	}
	// In place means that the initrd is not written to either.
	rest := phys.NewRanges(scratch()...).Sub(plan.Kernel, plan.Block)
	before := m.sum(rest)
	if err := plan.Write(m); err != nil {
		t.Fatal(err)
	}
	if m.sum(rest) != before {
		t.Error("memory outside the plan's places changed")
	}
}

func (m *machine) sum(rs phys.Ranges) (sum uint32) {
	for _, r := range rs {
		sum = crc32.Update(sum, crc32.IEEETable, m.bytes(r.Start, r.Size()))
	}
	return sum
}

func TestNoNodesMeansNoList(t *testing.T) {
	m := newMachine(t)
	n := m.next(t)
	n.KHO, n.Seed = nil, nil
	n.Kernel = m.part(payloadAt+0x1000, image(set64(0x250, nodesAt)))
	if _, p := m.start(t, n); len(p.SetupData) != 0 {
		t.Errorf("%v", p.SetupData)
	}
}

func TestBlockHoldsNodesOfEveryLength(t *testing.T) {
	for size := range 40 {
		m := newMachine(t)
		m.node(5, make([]byte, size%7))
		m.node(5, bytes.Repeat([]byte{1}, 4096-80+size)) // around the end of a page
		n := m.next(t)
		n.Kernel = m.part(payloadAt, small())
		n.KHO, n.Seed, n.Cmdline = nil, nil, "123456789"[:size%8]
		_, p := m.start(t, n)
		if len(p.SetupData) != 2 || len(p.SetupData[0].Data) != size%7 ||
			!bytes.Equal(p.SetupData[1].Data, bytes.Repeat([]byte{1}, 4096-80+size)) {
			t.Errorf("size %d: not what came in", size)
		}
	}
}

func TestInitrdInPlaceIsNotTouched(t *testing.T) {
	m := newMachine(t)
	n := m.next(t)
	plan, err := m.read().Place(n)
	if err != nil {
		t.Fatal(err)
	}
	if err := plan.Write(hole{m.Memory, n.Initrd.Range()}); err != nil {
		t.Error(err)
	}
}

func TestWriteFailsBeforeTheFirstByte(t *testing.T) {
	m := newMachine(t)
	plan, err := m.read().Place(m.next(t))
	if err != nil {
		t.Fatal(err)
	}
	before := bytes.Clone(m.bytes(plan.Kernel.Start, plan.Kernel.Size()))
	err = plan.Write(hole{m.Memory, plan.Block})
	if !errors.Is(err, phys.ErrReadOnly) {
		t.Errorf("error %v", err)
	}
	if !bytes.Equal(before, m.bytes(plan.Kernel.Start, plan.Kernel.Size())) {
		t.Error("the kernel was copied though the zero page cannot be written")
	}
}

type hole struct {
	phys.Memory
	at phys.Range
}

func (h hole) Edit(a phys.Addr, n uint64) ([]byte, error) {
	if r, _ := phys.Span(a, n); r.Overlaps(h.at) {
		return nil, &phys.Error{Object: "memory", Addr: a, Found: "read-only", Err: phys.ErrReadOnly}
	}
	return h.Memory.Edit(a, n)
}

func TestHandChangesTheHandoverAlone(t *testing.T) {
	m := newMachine(t)
	n := m.next(t)
	plan, before := m.start(t, n)
	block := bytes.Clone(m.bytes(plan.Block.Start, plan.Block.Size()))
	other := [boot.KHOSize]byte{4, 5, 6, 31: 7}
	if err := plan.Hand(m, &other); err != nil {
		t.Fatal(err)
	}
	after, err := boot.Read(m, plan.ZeroPage)
	if err != nil {
		t.Fatal(err)
	}
	if got, err := after.KHO(); err != nil || *got != other {
		t.Errorf("handover % x, %v, want % x", got, err, other)
	}
	if err := plan.Hand(m, n.KHO); err != nil {
		t.Fatal(err)
	}
	if !bytes.Equal(m.bytes(plan.Block.Start, plan.Block.Size()), block) || before.Cmdline != after.Cmdline {
		t.Error("more than the handover changed")
	}

	n.KHO = nil
	plan, _ = m.start(t, n)
	if err := plan.Hand(m, &other); !errors.Is(err, boot.ErrSetupData) {
		t.Errorf("a kernel placed without a handover was given one: %v, want %v", err, boot.ErrSetupData)
	}
}

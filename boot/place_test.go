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

// next is a kernel with an initrd on a page of the payload, and a handover.
func (m *machine) next(t *testing.T) boot.Next {
	t.Helper()
	kernel := m.part(payloadAt+0x1000, image())
	initrd := m.part(payloadAt+0x400000, bytes.Repeat([]byte("initrd "), 1000))
	kho := [boot.KHOSize]byte{1, 2, 3, 31: 32}
	return boot.Next{
		Kernel: kernel, Initrd: initrd, Cmdline: "console=ttyS0 kho=on",
		KHO: &kho, Seed: []byte("fresh entropy"), Scratch: scratch(),
		Occupied: phys.NewRanges(phys.Range{Start: stageAt, End: stageEnd}),
	}
}

// part puts bytes into memory.
func (m *machine) part(at phys.Addr, b []byte) boot.Part {
	to := m.bytes(at, uint64(len(b)))
	copy(to, b)
	return boot.Part{Bytes: to, At: at}
}

// start places and writes the next kernel and reads its zero page back.
func (m *machine) start(t *testing.T, n boot.Next) (*boot.Plan, *boot.Params) {
	t.Helper()
	plan, err := m.read().Place(n)
	if err != nil {
		t.Fatal(err)
	}
	if err := plan.Write(m); err != nil {
		t.Fatal(err)
	}
	p, err := boot.Read(m, plan.ZeroPage)
	if err != nil {
		t.Fatal(err)
	}
	return plan, p
}

func TestNextKernelIsCompleteAndAligned(t *testing.T) {
	m := newMachine(t)
	n := m.next(t)
	plan, _ := m.start(t, n)
	code := n.Kernel.Bytes[16384:]
	if !bytes.Equal(m.bytes(plan.Kernel.Start, uint64(len(code))), code) {
		t.Error("the code at the load address is not the image's")
	}
	if !plan.Kernel.Start.Aligned(2<<20) || plan.Kernel.Start < 16<<20 || plan.Kernel.Size() != 0xbbd000 ||
		plan.Entry != plan.Kernel.Start+0x200 || plan.Release != "7.3.4 test" {
		t.Errorf("kernel at %v, entry %v, release %q", plan.Kernel, plan.Entry, plan.Release)
	}
}

func TestEverythingLiesInScratchApartFromTheRest(t *testing.T) {
	m := newMachine(t)
	m.node(7, make([]byte, 100))
	n := m.next(t)
	n.Initrd.At = 0 // a copy must be made
	plan, p := m.start(t, n)
	places := []phys.Range{plan.Kernel, plan.Initrd, plan.Block}
	if !plan.Block.Contains(p.CmdlineAt) || !plan.Block.Contains(p.SetupData[2].Range()) || plan.ZeroPage != plan.Block.Start {
		t.Errorf("zero page %v, command line %v, node %v: not in %v", plan.ZeroPage, p.CmdlineAt, p.SetupData[2].Range(), plan.Block)
	}
	taken := n.Occupied.Add(n.Kernel.Range(), phys.Range{Start: nodesAt, End: m.free},
		phys.Range{Start: zeroPage, End: zeroPage + 4096}, m.read().CmdlineAt)
	for i, r := range places {
		if !phys.NewRanges(scratch()...).Contains(r) {
			t.Errorf("%v is not in scratch", r)
		}
		if o, hit := taken.Overlaps(r); hit {
			t.Errorf("%v overlaps %v", r, o)
		}
		if !r.Start.Aligned(4096) {
			t.Errorf("%v does not start on a page", r)
		}
		for _, s := range places[i+1:] {
			if r.Overlaps(s) {
				t.Errorf("%v overlaps %v", r, s)
			}
		}
	}
}

func TestZeroPageHasTheHeaderOfTheImageAndTheRestAsItCame(t *testing.T) {
	m := newMachine(t)
	for i := range m.page[:0x1e8] {
		m.page[i] = byte(i) | 1
	}
	m.put32(0xc8, 0)
	m.initrd(payloadAt, 4096)
	m.page[0x1ef] = 0xff // a careless loader
	m.put32(0x23c, 0)
	copy(m.page[0xd00:], "EDD")
	m.put32(0x290, 0x12345678)
	old := bytes.Clone(m.page)
	n := m.next(t)
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

// sum is a checksum of memory: on metal there is no room for a copy of it.
func (m *machine) sum(rs phys.Ranges) (sum uint32) {
	for _, r := range rs {
		sum = crc32.Update(sum, crc32.IEEETable, m.bytes(r.Start, r.Size()))
	}
	return sum
}

func TestInitrdIsCopiedUnlessItMayStay(t *testing.T) {
	for _, c := range []struct {
		name    string
		at      phys.Addr
		inPlace bool
		edit    func(n *boot.Next)
	}{
		{"on a page of scratch", payloadAt + 0x400000, true, nil},
		{"inside a page", payloadAt + 0x400004, false, nil},
		{"outside scratch", 0x18000000, false, nil},
		{"half in scratch", 0x24000000 - 4096, false, nil},
		{"any RAM without scratch", 0x18000000, true, func(n *boot.Next) { n.Scratch, n.KHO = nil, nil }},
	} {
		t.Run(c.name, func(t *testing.T) {
			m := newMachine(t)
			n := m.next(t)
			p := m.read() // one case puts the initrd over the zero page
			content := bytes.Repeat([]byte("INITRD! "), 1000)
			n.Initrd = m.part(c.at, content)
			if c.edit != nil {
				c.edit(&n)
			}
			plan, err := p.Place(n)
			if err != nil {
				t.Fatal(err)
			}
			if err := plan.Write(m); err != nil {
				t.Fatal(err)
			}
			if plan.InitrdInPlace != c.inPlace || (plan.Initrd.Start == c.at) != c.inPlace {
				t.Errorf("in place: %v at %v", plan.InitrdInPlace, plan.Initrd)
			}
			if !bytes.Equal(m.bytes(plan.Initrd.Start, plan.Initrd.Size()), content) || !plan.Initrd.Start.Aligned(4096) {
				t.Errorf("the initrd at %v is not what was given", plan.Initrd)
			}
		})
	}
}

func TestNoInitrdLeavesTheFieldsZero(t *testing.T) {
	m := newMachine(t)
	m.initrd(payloadAt, 4096)
	n := m.next(t)
	n.Initrd = boot.Part{}
	if plan, p := m.start(t, n); !p.Initrd.Empty() || !plan.Initrd.Empty() {
		t.Errorf("initrd %v", p.Initrd)
	}
}

func TestPlaceRefuses(t *testing.T) {
	area := func(start, size phys.Addr) []phys.Range { return []phys.Range{{Start: start, End: start + size}} }
	for _, c := range []struct {
		name, want string
		rule       error
		edit       func(m *machine, n *boot.Next)
	}{
		{"no kernel", "no bzImage", boot.ErrKernel, func(m *machine, n *boot.Next) { n.Kernel.Bytes = make([]byte, 4096) }},
		{"five levels", "no5lvl", boot.ErrKernel, func(m *machine, n *boot.Next) {
			n.Kernel = m.part(payloadAt, image(set16(0x236, 3)))
			n.FiveLevel = true
		}},
		{"a handover without scratch", "no place is safe", boot.ErrNoRoom, func(m *machine, n *boot.Next) { n.Scratch = nil }},
		{"long command line", "2048 bytes, the kernel takes 2047", boot.ErrCmdline, func(m *machine, n *boot.Next) { n.Cmdline = strings.Repeat("x", 2048) }},
		{"scratch too small", "the largest free piece is [0x28000000-0x287fffff], 8192 KiB, want 12020 KiB of free scratch",
			boot.ErrNoRoom, func(m *machine, n *boot.Next) { n.Scratch = area(0x28000000, 8<<20) }},
		{"scratch taken", "nothing is free", boot.ErrNoRoom, func(m *machine, n *boot.Next) { n.Scratch = area(stageAt, 16<<20) }},
		{"scratch outside RAM", "nothing is free", boot.ErrNoRoom, func(m *machine, n *boot.Next) { n.Scratch = area(0x80000000, 64<<20) }},
		{"below the preferred address", "at or above 0x2c000000", boot.ErrNoRoom, func(m *machine, n *boot.Next) {
			n.Kernel = m.part(payloadAt, image(set64(0x258, 0x2c000000)))
		}},
		{"fixed address taken", "at exactly 0x23000000", boot.ErrNoRoom, func(m *machine, n *boot.Next) {
			n.Kernel = m.part(payloadAt, image(set8(0x234, 0), set64(0x258, payloadAt)))
		}},
		{"no room for the initrd", "initrd", boot.ErrNoRoom, func(m *machine, n *boot.Next) {
			n.Scratch = area(0x28000000, 12<<20)
			n.Initrd = boot.Part{Bytes: make([]byte, 1<<20)}
		}},
		{"no room for the zero page", "zero page", boot.ErrNoRoom, func(m *machine, n *boot.Next) {
			n.Scratch = area(0x28000000, 0xbbd000)
			n.Initrd = boot.Part{}
		}},
	} {
		t.Run(c.name, func(t *testing.T) {
			m := newMachine(t)
			n := m.next(t)
			c.edit(m, &n)
			_, err := m.read().Place(n)
			var e *phys.Error
			if !errors.As(err, &e) || !errors.Is(err, c.rule) || !strings.Contains(err.Error(), c.want) {
				t.Errorf("error %v, want a *phys.Error with %q", err, c.want)
			}
		})
	}
}

func TestPlaceTakesAFixedAddress(t *testing.T) {
	m := newMachine(t)
	n := m.next(t)
	n.Kernel = m.part(payloadAt, image(set8(0x234, 0), set64(0x258, 0x28100000)))
	n.Initrd = boot.Part{}
	if plan, _ := m.start(t, n); plan.Kernel.Start != 0x28100000 {
		t.Errorf("kernel at %v", plan.Kernel)
	}
}

func TestPlaceKeepsWhatIsReferredTo(t *testing.T) {
	m := newMachine(t)
	ima := binary.LittleEndian.AppendUint64(nil, 0x28000000)
	m.node(boot.SetupIMA, binary.LittleEndian.AppendUint64(ima, 0x3000000)) // 48 of the 64 MiB
	n := m.next(t)
	n.Scratch = scratch()[2:]
	n.Initrd = boot.Part{}
	plan, _ := m.start(t, n)
	for _, r := range plan.Ranges() {
		if r.Start < 0x2b000000 {
			t.Errorf("%v lies in IMA's log", r)
		}
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

// hole is memory of which a part cannot be written.
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

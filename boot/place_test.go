package boot_test

import (
	"bytes"
	"encoding/binary"
	"errors"
	"strings"
	"testing"

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
	dirty := m.bytes(plan.Block.Start, plan.Block.Size()) // memory is never clean
	for i := range dirty {
		dirty[i] = 0xff
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

// sum is a checksum of memory: on metal there is no room for a copy of it.
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
	ima := binary.LittleEndian.AppendUint64(nil, 0x29000000)
	m.node(boot.SetupIMA, binary.LittleEndian.AppendUint64(ima, 0x3000000)) // the upper 48 of 64 MiB
	n := m.next(t)
	n.Scratch = scratch()[2:]
	n.Initrd = boot.Part{}
	plan, _ := m.start(t, n)
	for _, r := range plan.Ranges() {
		if r.End > 0x29000000 {
			t.Errorf("%v lies in IMA's log", r)
		}
	}
}

func TestNothingLiesBelow1MiB(t *testing.T) {
	m := newMachine(t)
	m.e820(0x1000, 0x9e000, 1)
	n := m.next(t)
	n.Kernel = m.part(payloadAt, image(set64(0x258, 0)))
	n.Scratch = append([]phys.Range{{Start: 0x1000, End: 0x9f000}}, scratch()...)
	plan, err := m.read().Place(n)
	if err != nil {
		t.Fatal(err)
	}
	if r := plan.Ranges(); r[0].Start < 1<<20 {
		t.Errorf("%v", r)
	}
}

// hole is memory of which a part cannot be written.

// A tool that asks before there is anything to lose gets the answer that the
// stage would give.
func TestAcceptsRefusesWhatPlaceRefuses(t *testing.T) {
	for _, c := range []struct {
		name      string
		levels    byte // xloadflags
		cmdline   int  // bytes
		fiveLevel bool
		want      error
	}{
		{"all it takes", 0x23, 2047, true, nil},
		{"one byte more", 0x23, 2048, false, boot.ErrCmdline},
		{"four levels on four", 0x03, 10, false, nil},
		{"four levels on five", 0x03, 10, true, boot.ErrKernel},
	} {
		t.Run(c.name, func(t *testing.T) {
			m := newMachine(t)
			n := m.next(t)
			n.Kernel.Bytes[0x236] = c.levels
			n.Cmdline, n.FiveLevel = strings.Repeat("x", c.cmdline), c.fiveLevel
			k, err := boot.ParseKernel(n.Kernel.Bytes)
			if err != nil {
				t.Fatal(err)
			}
			accepts := k.Accepts(n.Cmdline, n.FiveLevel)
			_, place := m.read().Place(n)
			if !errors.Is(accepts, c.want) || !errors.Is(place, c.want) {
				t.Errorf("Accepts: %v, Place: %v; want %v", accepts, place, c.want)
			}
		})
	}
}

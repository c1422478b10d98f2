package boot_test

import (
	"bytes"
	"encoding/binary"
	"errors"
	"math/rand/v2"
	"strings"
	"testing"

	"ferry/boot"
	"ferry/boot/opened"
	"ferry/boot/opened/openedtest"
	"ferry/phys"
)

const openedAt = payloadAt + 0x1000

// opened is next with an opened kernel in the place of the bzImage, and chance.
func (m *machine) opened(t *testing.T, edits ...func(*opened.Image)) boot.Next {
	t.Helper()
	n := m.next(t)
	n.Kernel = boot.Part{}
	n.Opened = m.part(openedAt, openedtest.Part(edits...))
	chance := rand.NewChaCha8([32]byte{9})
	n.Random = func(b []byte) { chance.Read(b) }
	return n
}

// image is the memory of the opened kernel, relocated.
func relocated(slide uint64) []byte {
	i := openedtest.Image()
	for _, at := range i.Wide {
		binary.LittleEndian.PutUint64(i.Bytes[at:], binary.LittleEndian.Uint64(i.Bytes[at:])+slide)
	}
	for _, at := range i.Narrow {
		binary.LittleEndian.PutUint32(i.Bytes[at:], binary.LittleEndian.Uint32(i.Bytes[at:])+uint32(slide))
	}
	return i.Bytes
}

// slide returns by how much the kernel of a plan was relocated.
func (m *machine) slide(plan *boot.Plan) uint64 {
	still := openedtest.Image()
	at := still.Wide[0]
	return binary.LittleEndian.Uint64(m.bytes(plan.Kernel.Start+phys.Addr(at), 8)) - binary.LittleEndian.Uint64(still.Bytes[at:])
}

func TestOpenedKernelIsWrittenAndEntered(t *testing.T) {
	m := newMachine(t)
	n := m.opened(t)
	plan, p := m.start(t, n)
	slide := m.slide(plan)
	if want := relocated(slide); !bytes.Equal(m.bytes(plan.Kernel.Start, uint64(len(want))), want) {
		t.Errorf("what lies at %v is not the kernel, relocated by %#x", plan.Kernel, slide)
	}
	if plan.Entry != plan.Kernel.Start+openedtest.Entry || plan.Kernel.Size() != openedtest.Memory || plan.Release != openedtest.Release || !strings.HasSuffix(plan.Form, "with one of 502 offsets") {
		t.Errorf("kernel at %v, entry %v, release %q, form %q", plan.Kernel, plan.Entry, plan.Release, plan.Form)
	}
	if p.Cmdline != n.Cmdline || p.Initrd != n.Initrd.Range() {
		t.Errorf("command line %q, initrd %v", p.Cmdline, p.Initrd)
	}
	if got, err := p.KHO(); err != nil || *got != *n.KHO {
		t.Errorf("handover % x, %v", got, err)
	}
}

// What came in says otherwise of all of them.
func TestZeroPageOfAnOpenedKernelIsAsItsDecompressorLeavesIt(t *testing.T) {
	for words, flag := range map[string]byte{"": 2, "quiet nokaslr": 0} {
		m := newMachine(t)
		m.page[0x1ef] = 0xff
		m.put64(0x70, 0x12345)
		m.put32(0x13c, 0x5555)
		m.page[0x211] = 0xff
		n := m.opened(t, func(i *opened.Image) {
			i.Setup[0x211-0x1f1] = 0xc1
			i.Setup[0x236-0x1f1] |= 0x80
		})
		n.Cmdline = words
		plan, _ := m.start(t, n)
		zp := m.bytes(plan.ZeroPage, 4096)
		le := binary.LittleEndian
		if zp[0x211] != 1|flag || zp[0x236] != 0x63 || zp[0x1ef] != 0 || le.Uint32(zp[0x13c:]) != 0 || le.Uint64(zp[0x70:]) != 0x12345 || zp[0x210] != 0xd0 {
			t.Errorf("%q: loadflags %#x, xloadflags %#x, sentinel %#x, cc_blob %#x, RSDP %#x, loader %#x",
				words, zp[0x211], zp[0x236], zp[0x1ef], le.Uint32(zp[0x13c:]), le.Uint64(zp[0x70:]), zp[0x210])
		}
		if want := openedtest.Setup(); !bytes.Equal(zp[0x258:0x26c], want[0x258-0x1f1:]) {
			t.Error("the header is not that of the kernel's own image")
		}
	}
}

func TestOpenedKernelIsNotMovedWhere(t *testing.T) {
	for name, edit := range map[string]func(n *boot.Next){
		"its command line says so":        func(n *boot.Next) { n.Cmdline = "quiet nokaslr\tro" },
		"nothing chooses":                 func(n *boot.Next) { n.Random = nil },
		"it was not built to be moved":    func(n *boot.Next) { n.Opened.Bytes = fixedPart() },
		"and its command line says so":    func(n *boot.Next) { n.Opened.Bytes, n.Cmdline = fixedPart(), "nokaslr" },
		"its command line is nothing but": func(n *boot.Next) { n.Cmdline = "nokaslr" },
	} {
		m := newMachine(t)
		n := m.opened(t)
		edit(&n)
		plan, _ := m.start(t, n)
		if slide := m.slide(plan); slide != 0 || m.bytes(plan.ZeroPage, 4096)[0x211] != 1 {
			t.Errorf("%s: moved by %#x", name, slide)
		}
		// The highest place of the first area: below the nodes that came in.
		if plan.Kernel.Start != 0x23800000 {
			t.Errorf("%s: placed at %v", name, plan.Kernel)
		}
	}
}

// fixedPart is the kernel built without CONFIG_RANDOMIZE_BASE.
func fixedPart() []byte {
	return openedtest.Part(func(i *opened.Image) { i.Space, i.Wide, i.Narrow = opened.FixedSpace, nil, nil })
}

func TestWordsThatOnlyLookLikeNokaslrAreNone(t *testing.T) {
	for _, words := range []string{"nokaslrx", "xnokaslr", "nokaslr=1", `"nokaslr"`, "no kaslr"} {
		m := newMachine(t)
		n := m.opened(t)
		n.Cmdline = words
		if plan, _ := m.start(t, n); m.bytes(plan.ZeroPage, 4096)[0x211] != 3 {
			t.Errorf("%q is taken for nokaslr", words)
		}
	}
}

// TestOpenedKernelGoesEverywhereButOverTheRest chooses many times: each place lies in
// scratch, apart from all that must stay, and every place that is free is chosen.
func TestOpenedKernelGoesEverywhereButOverTheRest(t *testing.T) {
	m := newMachine(t)
	m.node(7, make([]byte, 100))
	ima := binary.LittleEndian.AppendUint64(nil, 0x29000000)
	m.node(boot.SetupIMA, binary.LittleEndian.AppendUint64(ima, 0x100000))
	n := m.opened(t)
	n.Occupied = n.Occupied.Add(phys.Range{Start: 0x2b000000, End: 0x2b001000}) // such as a scratch table
	seen := map[phys.Addr]bool{}
	for range 2000 {
		p := m.read()
		plan, err := p.Place(n)
		if err != nil {
			t.Fatal(err)
		}
		checkPlan(t, p, n, plan)
		if o, hit := phys.NewRanges(n.Opened.Range(), n.Initrd.Range()).Overlaps(plan.Kernel); hit {
			t.Fatalf("%v overlaps %v", plan.Kernel, o)
		}
		seen[plan.Kernel.Start] = true
	}
	// 16 MiB below the payload: 6 places; behind the initrd, which is used where it lies: 2.
	// [0x28000000-0x29000000): 6, [0x29200000-0x2b000000): 13, and 5 behind the table.
	if len(seen) != 6+2+6+13+5 {
		t.Errorf("%d places", len(seen))
	}
}

func TestScratchWithOnePlace(t *testing.T) {
	m := newMachine(t)
	n := m.opened(t)
	n.Initrd = boot.Part{}
	n.Scratch = []phys.Range{{Start: 0x28000000, End: 0x28602000}} // 6 MiB, and two pages for the block
	slides := map[uint64]bool{}
	for range 20 {
		plan, _ := m.start(t, n)
		if plan.Kernel.Start != 0x28000000 {
			t.Fatalf("placed at %v", plan.Kernel)
		}
		slides[m.slide(plan)] = true
	}
	if len(slides) < 15 {
		t.Errorf("%d slides in 20 starts", len(slides))
	}
	n.Scratch[0].End -= 0x2000
	if _, err := m.read().Place(n); !errors.Is(err, boot.ErrNoRoom) || !strings.Contains(err.Error(), "6144 KiB of free scratch") {
		t.Errorf("without a place: %v", err)
	}
}

func TestOpenedKernelStaysBelowItsLimit(t *testing.T) {
	high := phys.Range{Start: 1 << 33, End: 1<<33 + 64<<20}
	m := newMachine(t, phys.Range{Start: ramStart, End: ramEnd})
	m.e820(uint64(high.Start), high.Size(), 1) // never written to
	n := m.opened(t)
	n.Initrd = boot.Part{}
	n.Scratch = []phys.Range{high}
	if plan, err := m.read().Place(n); err != nil || !high.Contains(plan.Kernel) {
		t.Errorf("above 4 GiB: %v", err)
	}
	n = m.opened(t, func(i *opened.Image) { i.Setup[0x236-0x1f1] = 0x21 })
	n.Initrd = boot.Part{}
	n.Scratch = []phys.Range{high}
	if _, err := m.read().Place(n); !errors.Is(err, boot.ErrNoRoom) {
		t.Errorf("a kernel that cannot be there: %v", err)
	}
}

// Where the decompressor would do more than Ferry does, it has to run.
func TestOpenedKernelIsNotEnteredWhereItsDecompressorDoesMore(t *testing.T) {
	scratchAlone := func(n *boot.Next) {}
	for _, c := range []struct {
		name, want string // reason, empty if it is entered
		cmdline    string
		cpu        boot.Processor
		edit       func(n *boot.Next)
	}{
		{"four levels", "", "quiet", boot.Processor{}, scratchAlone},
		{"five levels", "", "quiet", boot.Processor{FiveLevel: true, HasFiveLevel: true}, scratchAlone},
		{"it would turn on five", "with 4 levels", "quiet", boot.Processor{HasFiveLevel: true}, scratchAlone},
		{"it is told not to", "", "quiet no5lvl", boot.Processor{HasFiveLevel: true}, scratchAlone},
		{"it is told to turn on four", "with 5 levels", "no5lvl quiet", boot.Processor{FiveLevel: true, HasFiveLevel: true}, scratchAlone},
		{"a word that looks like it", "", "no5lvl=1", boot.Processor{FiveLevel: true, HasFiveLevel: true}, scratchAlone},
		{"encrypted memory", "SEV or TDX", "quiet", boot.Processor{Encrypted: true}, scratchAlone},
		{"a limit of memory", "mem=1G", "quiet mem=1G", boot.Processor{}, scratchAlone},
		{"memory by hand", "memmap=1M$2G", "memmap=1M$2G", boot.Processor{}, scratchAlone},
		{"memory by hand, in quotes", "memmap", `"memmap=1M$2G"`, boot.Processor{}, scratchAlone},
		{"encryption", "mem_encrypt=on", "mem_encrypt=on", boot.Processor{}, scratchAlone},
		{"a root pointer", "acpi_rsdp=0x1000", "-- acpi_rsdp=0x1000", boot.Processor{}, scratchAlone},
		{"words of others", "", "movable_mem=1 xmem=1G crashkernel=1G mem hugepagesz=1G hugepages=4", boot.Processor{}, scratchAlone},
		{"huge pages without scratch", "hugepagesz=1G", "hugepagesz=1G hugepages=4", boot.Processor{}, func(n *boot.Next) { n.Scratch, n.KHO = nil, nil }},
		{"smaller ones", "", "hugepagesz=2M", boot.Processor{}, func(n *boot.Next) { n.Scratch, n.KHO = nil, nil }},
	} {
		t.Run(c.name, func(t *testing.T) {
			m := newMachine(t)
			n := m.opened(t)
			n.Cmdline, n.Processor = c.cmdline, c.cpu
			c.edit(&n)
			plan, err := m.read().Place(n)
			if (err == nil) != (c.want == "") || err != nil && (!errors.Is(err, boot.ErrOpened) || !strings.Contains(err.Error(), c.want)) {
				t.Fatalf("without a bzImage: %v, want %q", err, c.want)
			}
			if err == nil && (!strings.Contains(plan.Form, "opened") || plan.Entry != plan.Kernel.Start+openedtest.Entry) {
				t.Errorf("entry %v, form %q", plan.Entry, plan.Form)
			}
			n.Kernel = m.part(payloadAt+0x200000, small())
			plan, err = m.read().Place(n)
			if err != nil {
				t.Fatalf("with one: %v", err)
			}
			if bzImage := plan.Entry == plan.Kernel.Start+0x200; bzImage != (c.want != "") || !strings.Contains(plan.Form, c.want) || bzImage != strings.Contains(plan.Form, "bzImage") {
				t.Errorf("the bzImage is started: %v, form %q", bzImage, plan.Form)
			}
		})
	}
}

// Damage is damage, even if there is a bzImage beside it.
func TestDamagedOpenedKernelIsRefused(t *testing.T) {
	header := func(off int, v byte) func(*opened.Image) {
		return func(i *opened.Image) { i.Setup[off-0x1f1] = v }
	}
	for _, c := range []struct {
		name, want string
		part       []byte
	}{
		{"no part", "magic", image()},
		{"a table in no order", "relocation", flipped(openedtest.Part(), 1)},
		{"no setup header", "boot flag", openedtest.Part(func(i *opened.Image) { i.Setup = nil })},
		{"a setup header cut short", "the 123 that it names", openedtest.Part(func(i *opened.Image) { i.Setup = i.Setup[:122] })},
		{"one too long", "at most 159", openedtest.Part(func(i *opened.Image) { i.Setup = append(i.Setup, make([]byte, 100)...) })},
		{"an old protocol", "boot protocol", openedtest.Part(header(0x207, 1))},
		{"not relocatable", "a relocatable kernel", openedtest.Part(header(0x234, 0))},
		{"linked for another place", "a relocatable kernel for 0x1000000", openedtest.Part(header(0x25b, 2))},
		{"aligned otherwise", "a relocatable kernel", openedtest.Part(header(0x232, 0x40))},
	} {
		t.Run(c.name, func(t *testing.T) {
			m := newMachine(t)
			n := m.opened(t)
			n.Kernel = m.part(payloadAt+0x200000, small())
			n.Opened = m.part(openedAt, c.part)
			_, err := m.read().Place(n)
			var e *phys.Error
			if !errors.Is(err, boot.ErrKernel) || !errors.As(err, &e) || e.Addr != openedAt || !strings.Contains(err.Error(), c.want) {
				t.Errorf("%v, want %q", err, c.want)
			}
		})
	}
}

// flipped changes the last 32-bit relocation but n.
func flipped(part []byte, n int) []byte {
	part[len(part)-4*n-1] ^= 0x80
	return part
}

func TestOpenedKernelIsWrittenWholeOrNotAtAll(t *testing.T) {
	m := newMachine(t)
	n := m.opened(t)
	plan, err := m.read().Place(n)
	if err != nil {
		t.Fatal(err)
	}
	before := bytes.Clone(m.bytes(plan.Kernel.Start, plan.Kernel.Size()))
	for _, at := range []phys.Range{plan.Block, {Start: plan.Kernel.End - 1, End: plan.Kernel.End}} { // .bss as well
		if err := plan.Write(hole{m.Memory, at}); !errors.Is(err, phys.ErrReadOnly) {
			t.Errorf("error %v", err)
		}
		if !bytes.Equal(before, m.bytes(plan.Kernel.Start, plan.Kernel.Size())) {
			t.Errorf("the kernel was written though %v cannot be", at)
		}
	}
	written := phys.NewRanges(plan.Written()...)
	rest := phys.NewRanges(scratch()...).Sub(written...)
	sum := m.sum(rest)
	if err := plan.Write(m); err != nil {
		t.Fatal(err)
	}
	if m.sum(rest) != sum {
		t.Error("memory was written to that Written does not name")
	}
	if i := openedtest.Image(); !written.Contains(phys.Range{Start: plan.Kernel.Start, End: plan.Kernel.Start + phys.Addr(len(i.Bytes))}) ||
		written.Size() > uint64(len(i.Bytes))+phys.PageSize+plan.Block.Size() {
		t.Errorf("written: %v", written)
	}
}

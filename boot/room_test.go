package boot_test

import (
	"encoding/binary"
	"errors"
	"strings"
	"testing"
	"time"

	"ferry/boot"
	"ferry/phys"
)

// TestFullScratchSparesWhatMustStay: scratch has exactly the pages that the next
// kernel takes, and above them, where places are looked for first, one page that
// must stay as it is.
func TestFullScratchSparesWhatMustStay(t *testing.T) {
	const free = 4 * 4096 // kernel 1, initrd 1, zero page and what follows it 2
	pointer := func(a phys.Addr, size uint64) []byte {
		return binary.LittleEndian.AppendUint64(binary.LittleEndian.AppendUint64(nil, uint64(a)), size)
	}
	for _, c := range []struct {
		name string
		at   phys.Addr // the page; 0: any
		put  func(m *machine, n *boot.Next, at phys.Addr)
	}{
		{"nothing there", 0, func(m *machine, n *boot.Next, at phys.Addr) {
			n.Scratch[0].End = at
		}},
		{"the kernel to be copied", 0, func(m *machine, n *boot.Next, at phys.Addr) {
			n.Kernel = m.part(at+64, n.Kernel.Bytes)
		}},
		{"the initrd to be copied", 0, func(m *machine, n *boot.Next, at phys.Addr) {
			n.Initrd = m.part(at+64, n.Initrd.Bytes)
		}},
		{"the zero page", zeroPage, func(m *machine, n *boot.Next, at phys.Addr) {}},
		{"the command line", 0, func(m *machine, n *boot.Next, at phys.Addr) {
			m.cmdline(uint64(at)+64, "words")
		}},
		{"a setup_data node", 0, func(m *machine, n *boot.Next, at phys.Addr) {
			m.free = at + 64
			m.node(7, []byte("node"))
		}},
		{"what the caller keeps", 0, func(m *machine, n *boot.Next, at phys.Addr) {
			n.Occupied = phys.NewRanges(phys.Range{Start: at + 64, End: at + 65})
		}},
		{"the EFI memory map", 0, func(m *machine, n *boot.Next, at phys.Addr) {
			copy(m.page[0x1c0:], "EL64")
			m.put32(0x1d0, uint32(at))
			m.put32(0x1d4, 4096)
		}},
		{"IMA's log", 0, func(m *machine, n *boot.Next, at phys.Addr) {
			m.node(boot.SetupIMA, pointer(at, 4096))
		}},
		{"what an indirect node names", 0, func(m *machine, n *boot.Next, at phys.Addr) {
			m.node(boot.SetupIndirect, append(make([]byte, 8), pointer(4096, uint64(at))...))
		}},
		{"what is no RAM", 0, func(m *machine, n *boot.Next, at phys.Addr) {
			m.e820(uint64(at), 4096, 2)
		}},
	} {
		for _, short := range []phys.Addr{0, 4096} {
			m := newMachine(t)
			m.cmdline(ramStart, "far from scratch")
			at := c.at
			if at == 0 {
				at = 0x2a00_0000
			}
			kho := [boot.KHOSize]byte{1}
			n := boot.Next{Kernel: m.part(0x1200_0000, small(set32(0x230, 4096))), Initrd: m.part(0x1300_0008, make([]byte, 4096-8-64)),
				KHO: &kho, Scratch: []phys.Range{{Start: at - free + short, End: at + 4096}}}
			c.put(m, &n, at)
			plan, err := m.read().Place(n)
			if short > 0 {
				if !errors.Is(err, boot.ErrNoRoom) {
					t.Errorf("%s, one page short: %v, want %v", c.name, err, boot.ErrNoRoom)
				}
				continue
			}
			if err != nil {
				t.Errorf("%s: %v", c.name, err)
				continue
			}
			if rs := plan.Ranges(); len(rs) != 1 || rs[0] != (phys.Range{Start: at - free, End: at}) {
				t.Errorf("%s: placed at %v, want all of the %d free bytes below %v", c.name, rs, free, at)
			}
		}
	}
}

// TestKernelOverItsOwnSourceIsWhole writes the plan of a scratch area that is
// full, and looks at the kernel.
func TestKernelOverItsOwnSourceIsWhole(t *testing.T) {
	m := newMachine(t)
	const at = 0x2a00_0000
	image := small(set32(0x230, 4096))
	for i := range image[1024:] {
		image[1024+i] = byte(i*7 + i>>8)
	}
	n := boot.Next{Kernel: m.part(at-64, image), Scratch: []phys.Range{{Start: at - 4*4096, End: at + 4096}}}
	code := string(image[1024:])
	plan, _ := m.start(t, n)
	if string(m.bytes(plan.Kernel.Start, uint64(len(code)))) != code {
		t.Error("the kernel was written over while it was copied")
	}
}

// TestAreasOfADamagedTableMayOverlap: each byte is given away once all the same.
func TestAreasOfADamagedTableMayOverlap(t *testing.T) {
	m := newMachine(t)
	n := m.next(t)
	n.Initrd = boot.Part{Bytes: make([]byte, 8<<20)} // more than the first area has after the kernel
	area := phys.Range{Start: 0x28000000, End: 0x2a000000}
	n.Scratch = []phys.Range{{Start: 0x29000000, End: 0x2a000000}, area, {Start: 0x29000000, End: 0x29000000}, area}
	plan, err := m.read().Place(n)
	if err != nil {
		t.Fatal(err)
	}
	if rs := []phys.Range{plan.Kernel, plan.Initrd, plan.Block}; rs[0].Overlaps(rs[1]) || rs[0].Overlaps(rs[2]) || rs[1].Overlaps(rs[2]) ||
		!area.Contains(rs[0]) || !area.Contains(rs[1]) || !area.Contains(rs[2]) {
		t.Errorf("%v, want places apart in %v", rs, area)
	}
}

// TestTableOrderIsThePreference: the first area that fits, not the highest.
func TestTableOrderIsThePreference(t *testing.T) {
	m := newMachine(t)
	n := m.next(t)
	n.Initrd = boot.Part{}
	n.Scratch = []phys.Range{{Start: 0x26000000, End: 0x28000000}, {Start: 0x2c000000, End: 0x2e000000}, {Start: 0x14000000, End: 0x16000000}}
	plan, err := m.read().Place(n)
	if err != nil {
		t.Fatal(err)
	}
	if rs := plan.Ranges(); rs[len(rs)-1].End != 0x28000000 {
		t.Errorf("placed at %v, want the end of the table's first area", rs)
	}
}

func TestScratchTablesCostByTheirLength(t *testing.T) {
	place := func(areas int) time.Duration {
		m := newMachine(t)
		n := boot.Next{Kernel: boot.Part{Bytes: small(set32(0x230, 4096))}, Initrd: boot.Part{Bytes: make([]byte, 100)}}
		for i := range areas {
			start := phys.Addr(ramStart + 0x100_0000 + i*0x4000)
			n.Scratch = append(n.Scratch, phys.Range{Start: start, End: start + 0x2000})
		}
		p := m.read()
		best := time.Hour
		for range 20 {
			start := time.Now()
			if _, err := p.Place(n); err != nil {
				t.Fatal(err)
			}
			best = min(best, time.Since(start))
		}
		return best
	}
	few, many := place(1024), place(16384)
	t.Logf("1024 areas: %v, 16384: %v", few, many)
	if many > 128*few {
		t.Errorf("1024 areas took %v, 16384 took %v: more than eight times that per area, and the square is 256 times", few, many)
	}
}

func TestInitrdStaysWhereTheKernelFindsIt(t *testing.T) {
	for _, c := range []struct {
		name    string
		flags   uint16 // xloadflags
		highest uint32 // initrd_addr_max
		at      phys.Addr
		want    string // the start of its address, or the error
	}{
		{"no limit", 3, 0x20ff_ffff, 0x2900_0000, "0x29"},
		{"in place under the limit", 1, 0x29ff_ffff, 0x2900_0000, "0x29"},
		{"in place at the limit", 1, 0x2900_0fff, 0x2900_0000, "0x29"},
		{"in place over the limit", 1, 0x2900_0ffe, 0x2900_0000, "0x28"},
		{"copied under the limit", 1, 0x11ff_ffff, 0x2900_0000, "0x11"},
		{"no place under the limit", 1, 0x0fff_ffff, 0x2900_0000, "no room"},
	} {
		m := newMachine(t)
		n := m.next(t)
		n.Kernel = m.part(payloadAt, image(set16(0x236, c.flags), set32(0x22c, c.highest)))
		n.Initrd = m.part(c.at, make([]byte, 4096))
		n.Scratch = []phys.Range{{Start: 0x28000000, End: 0x2a000000}, {Start: 0x11000000, End: 0x12000000}}
		plan, err := m.read().Place(n)
		if err != nil {
			if !errors.Is(err, boot.ErrNoRoom) || !strings.Contains(err.Error(), c.want) || !strings.Contains(err.Error(), "below 0x10000000") {
				t.Errorf("%s: %v, want %s", c.name, err, c.want)
			}
			continue
		}
		if !strings.HasPrefix(plan.Initrd.Start.String(), c.want) || c.flags&2 == 0 && plan.Initrd.End-1 > phys.Addr(c.highest) {
			t.Errorf("%s: initrd at %v, want %s...", c.name, plan.Initrd, c.want)
		}
		if plan.Initrd.Overlaps(plan.Block) || plan.Initrd.Overlaps(plan.Kernel) {
			t.Errorf("%s: initrd %v, zero page %v, kernel %v", c.name, plan.Initrd, plan.Block, plan.Kernel)
		}
	}
}

func TestFiveLevelsAskForAKernelThatTakesThem(t *testing.T) {
	for _, c := range []struct {
		machine, kernel, ok bool
	}{{false, false, true}, {false, true, true}, {true, true, true}, {true, false, false}} {
		m := newMachine(t)
		n := m.next(t)
		flags := uint16(3)
		if c.kernel {
			flags |= 0x20
		}
		n.Kernel = m.part(payloadAt, image(set16(0x236, flags)))
		n.FiveLevel = c.machine
		if _, err := m.read().Place(n); (err == nil) != c.ok || err != nil && !errors.Is(err, boot.ErrKernel) {
			t.Errorf("five levels on the machine %v, in the kernel %v: %v", c.machine, c.kernel, err)
		}
	}
}

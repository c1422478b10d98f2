package boot_test

import (
	"encoding/binary"
	"errors"
	"fmt"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"ferry/boot"
	"ferry/phys"
)

func TestReadCollectsWhatTheZeroPageRefersTo(t *testing.T) {
	m := newMachine(t)
	m.e820(0xe0000000, 0x1000, 2)
	m.initrd(payloadAt, 12345)
	m.put64(0x70, 0xf5230)
	m.page[0x07] = 80 // orig_video_cols
	copy(m.page[0x1c0:], "EL64")
	m.put32(0x1c4, 0x2000_0000)
	m.put32(0x1c8, 48)
	m.put32(0x1cc, 1)
	m.put32(0x1d0, 0x2f00_0000)
	m.put32(0x1d4, 480)
	m.put32(0x1d8, 1)
	ext := make([]byte, 40)
	putE820(ext, 0x1_0000_0000, 0x1000_0000, 1)
	putE820(ext[20:], 0x1_1000_0000, 0x1000, 4)
	m.node(boot.SetupRNGSeed, []byte("seed"))
	m.node(boot.SetupE820Ext, ext)
	m.node(0x7777, nil)

	p := m.read()
	if p.ZeroPage != zeroPage {
		t.Errorf("zero page %v", p.ZeroPage)
	}
	want := boot.E820{
		{Range: phys.Range{Start: ramStart, End: ramEnd}, Type: 1},
		{Range: phys.Range{Start: 0xe0000000, End: 0xe0001000}, Type: 2},
		{Range: phys.Range{Start: 0x1_0000_0000, End: 0x1_1000_0000}, Type: 1},
		{Range: phys.Range{Start: 0x1_1000_0000, End: 0x1_1000_1000}, Type: 4},
	}
	if d := cmp.Diff(want, p.E820); d != "" {
		t.Errorf("memory map (-want +got):\n%s", d)
	}
	if p.Cmdline != "console=ttyS0 ferry.mode=pass kho=on" || p.CmdlineAt != (phys.Range{Start: cmdlineAt, End: cmdlineAt + 37}) {
		t.Errorf("command line %q at %v", p.Cmdline, p.CmdlineAt)
	}
	if p.Initrd != (phys.Range{Start: payloadAt, End: payloadAt + 12345}) {
		t.Errorf("initrd %v", p.Initrd)
	}
	if p.RSDP() != 0xf5230 {
		t.Errorf("RSDP %v", p.RSDP())
	}
	if len(p.Screen()) != 64 || p.Screen()[7] != 80 {
		t.Errorf("screen info % x", p.Screen())
	}
	efi, ok := p.EFI()
	if d := cmp.Diff(boot.EFI{Signature: "EL64", SystemTable: 0x1_2000_0000, DescSize: 48, DescVersion: 1,
		MemoryMap: phys.Range{Start: 0x2f000000, End: 0x2f000000 + 480}}, efi); d != "" || !ok {
		t.Errorf("EFI %v (-want +got):\n%s", ok, d)
	}
	var got []string
	for i, n := range p.SetupData {
		got = append(got, fmt.Sprintf("%#x:%d", n.Type, len(n.Data)))
		if n.Addr != m.nodes[i] || n.Range().Size() != uint64(16+len(n.Data)) {
			t.Errorf("node %d at %v", i, n.Range())
		}
	}
	if s := strings.Join(got, " "); s != "0x9:4 0x1:40 0x7777:0" {
		t.Errorf("nodes %s", s)
	}
}

func TestReadTakesAbsentPartsAsEmpty(t *testing.T) {
	m := newMachine(t)
	m.put32(0x228, 0)
	m.initrd(0, 5000)
	p := m.read()
	if _, efi := p.EFI(); p.Cmdline != "" || !p.CmdlineAt.Empty() || !p.Initrd.Empty() || len(p.SetupData) != 0 || efi {
		t.Errorf("%q %v %v %v %v", p.Cmdline, p.CmdlineAt, p.Initrd, p.SetupData, efi)
	}
}

func TestReadFollowsTheCommandLineOverPages(t *testing.T) {
	m := newMachine(t)
	long := strings.Repeat("0123456789", 900)
	m.cmdline(ramStart+4090, long)
	if p := m.read(); p.Cmdline != long {
		t.Errorf("%d bytes, want %d", len(p.Cmdline), len(long))
	}
	m.cmdline(ramEnd-3, "ab") // its last page is the last of RAM
	if p := m.read(); p.Cmdline != "ab" {
		t.Errorf("%q", p.Cmdline)
	}
}

// TestReadRefusesDamage: each case is refused, at the right object, and what was
// read before stays usable.
func TestReadRefusesDamage(t *testing.T) {
	for _, c := range []struct {
		name, want string
		rule       error
		damage     func(m *machine)
	}{
		{"signature", "zero page", boot.ErrZeroPage, func(m *machine) { m.page[0x202] = 0 }},
		{"command line outside RAM", "command line", phys.ErrNotRAM, func(m *machine) { m.put32(0x228, 0x8000_0000) }},
		{"command line above 4 GiB", "command line", phys.ErrNotRAM, func(m *machine) { m.put32(0xc8, 1) }},
		{"command line runs out of RAM", "command line", phys.ErrNotRAM, func(m *machine) {
			m.put32(0x228, ramEnd-2)
			copy(m.bytes(ramEnd-2, 2), "xx")
		}},
		{"command line without end", "no end within", boot.ErrZeroPage, func(m *machine) {
			b := m.bytes(ramStart, 128<<10)
			for i := range b {
				b[i] = 'x'
			}
			m.put32(0x228, ramStart+10)
		}},
		{"initrd outside RAM", "initrd", phys.ErrNotRAM, func(m *machine) { m.initrd(ramEnd-4096, 4097) }},
		{"initrd wraps", "initrd", phys.ErrNotRAM, func(m *machine) { m.initrd(payloadAt, 1<<64-payloadAt+1) }},
		{"node outside RAM", "setup_data node 0", phys.ErrNotRAM, func(m *machine) { m.put64(0x250, ramEnd) }},
		{"node header ends outside RAM", "setup_data node 0", phys.ErrNotRAM, func(m *machine) { m.put64(0x250, ramEnd-8) }},
		{"second node outside RAM", "setup_data node 1", phys.ErrNotRAM, func(m *machine) { m.link(m.node(1, nil), ramEnd) }},
		{"node data outside RAM", "setup_data node 0: type 5, 4096 bytes", phys.ErrNotRAM, func(m *machine) {
			b := m.bytes(ramEnd-4096, 16)
			b[8], b[13] = 5, 0x10
			m.put64(0x250, ramEnd-4096)
		}},
		{"self link", "the address of node 0", boot.ErrSetupData, func(m *machine) {
			n := m.node(1, nil)
			m.link(n, n)
		}},
		{"cycle", "the address of node 1", boot.ErrSetupData, func(m *machine) {
			m.node(9, nil)
			n := m.node(9, nil)
			m.link(m.node(9, nil), n)
		}},
		{"a pointer to nothing", "setup_data node 0", boot.ErrSetupData, func(m *machine) { m.put64(0x250, ramEnd-4096) }},
		{"a pointer into a node", "not aligned", boot.ErrSetupData, func(m *machine) { m.put64(0x250, uint64(m.node(9, nil))+1) }},
		{"65 nodes", "at most 64", boot.ErrSetupData, func(m *machine) {
			for range 65 {
				m.node(7, nil)
			}
		}},
		{"9 seeds", "at most 8", boot.ErrSetupData, func(m *machine) {
			for range 9 {
				m.node(boot.SetupRNGSeed, nil)
			}
		}},
		{"memory map too long", "e820 extension", nil, func(m *machine) { m.node(boot.SetupE820Ext, make([]byte, 20)); m.hugeMap() }},
	} {
		t.Run(c.name, func(t *testing.T) {
			m := newMachine(t)
			c.damage(m)
			p, err := boot.Read(m, zeroPage)
			var e *phys.Error
			if !errors.As(err, &e) || c.rule != nil && !errors.Is(err, c.rule) || !strings.Contains(err.Error(), c.want) {
				t.Fatalf("error %v, want a *phys.Error with %q", err, c.want)
			}
			if strings.Contains(err.Error(), "\n") {
				t.Errorf("error of several lines: %q", err)
			}
			if e.Object != "boot: zero page" && (p == nil || len(p.E820) == 0) {
				t.Error("the memory map that was read is lost")
			}
		})
	}
}

// TestReadGoesOnAfterDamage: what is damaged costs nothing else, and the error
// names every damage.
func TestReadGoesOnAfterDamage(t *testing.T) {
	const cmdline, initrd, nodes, extension = 1, 2, 4, 8
	for damage := range 16 {
		m := newMachine(t)
		m.initrd(payloadAt, 12345)
		ext := make([]byte, 20)
		putE820(ext, 0x2800_0000, 0x1000, 2)
		m.node(boot.SetupE820Ext, ext)
		m.node(boot.SetupKHO, make([]byte, boot.KHOSize))
		var want []string
		if damage&cmdline != 0 {
			m.put32(0x228, 0x8000_0000)
			want = append(want, "command line: memory 0x80000000")
		}
		if damage&initrd != 0 {
			m.initrd(ramEnd, 4096)
			want = append(want, "initrd: memory 0x30000000")
		}
		if damage&extension != 0 {
			m.hugeMap()
			want = append(want, "e820 extension")
		}
		if damage&nodes != 0 {
			m.link(m.nodes[len(m.nodes)-1], ramEnd)
			want = append(want, "setup_data node")
		}
		p, err := boot.Read(m, zeroPage)
		if p == nil || (err != nil) != (damage != 0) {
			t.Fatalf("damage %d: %v, %v", damage, p, err)
		}
		if (p.Cmdline != "") != (damage&cmdline == 0) || p.Initrd.Empty() != (damage&initrd != 0) || len(p.SetupData) != len(m.nodes) {
			t.Errorf("damage %d: command line %q, initrd %v, %d nodes", damage, p.Cmdline, p.Initrd, len(p.SetupData))
		}
		if kho, err := p.KHO(); kho == nil || err != nil {
			t.Errorf("damage %d: handover %v, %v", damage, kho, err)
		}
		if p.E820.RAM().Contains(phys.Range{Start: 0x2800_0000, End: 0x2800_0001}) {
			t.Errorf("damage %d: the extension of the memory map is not applied", damage)
		}
		if err == nil {
			continue
		}
		var e *phys.Error
		if !errors.As(err, &e) || strings.Contains(err.Error(), "\n") || errors.Is(err, phys.ErrNotRAM) != (damage&7 != 0) {
			t.Errorf("damage %d: error %q", damage, err)
		}
		for _, w := range want {
			if strings.Count(err.Error(), w) != 1 {
				t.Errorf("damage %d: error %q does not name %s", damage, err, w)
			}
		}
	}
}

func TestReadTakes64Nodes(t *testing.T) {
	m := newMachine(t)
	for range 64 {
		m.node(7, []byte{1})
	}
	if p := m.read(); len(p.SetupData) != 64 {
		t.Errorf("%d nodes", len(p.SetupData))
	}
}

// TestADamagedTypeHidesNoHandover flips each bit of the type of the only node that
// could be a handover.
func TestADamagedTypeHidesNoHandover(t *testing.T) {
	for bit := range 32 {
		m := newMachine(t)
		m.node(9, make([]byte, 32)) // a seed is as long, and two bits away
		m.node(boot.SetupKHO^1<<bit, make([]byte, 32))
		p := m.read()
		if got, err := p.KHO(); got != nil || !errors.Is(err, boot.ErrSetupData) {
			t.Errorf("type %#x: %v, %v", p.SetupData[1].Type, got, err)
		}
	}
	m := newMachine(t)
	m.node(boot.SetupKHO^1, make([]byte, 32))
	m.node(boot.SetupKHO, make([]byte, 32))
	m.node(boot.SetupIMA, make([]byte, 16))
	if got, err := m.read().KHO(); got == nil || err != nil {
		t.Errorf("beside another node: %v", err)
	}
}

func TestKHONodeIsOneOrNone(t *testing.T) {
	payload := make([]byte, 32)
	for i := range payload {
		payload[i] = byte(i + 1)
	}
	for _, c := range []struct {
		name  string
		nodes [][]byte
		found bool
		fails bool
	}{
		{"none", nil, false, false},
		{"one", [][]byte{payload}, true, false},
		{"two", [][]byte{payload, payload}, false, true},
		{"short", [][]byte{payload[:31]}, false, true},
		{"long", [][]byte{append(payload[:32:32], 0)}, false, true},
	} {
		m := newMachine(t)
		m.node(9, nil)
		for _, n := range c.nodes {
			m.node(boot.SetupKHO, n)
		}
		got, err := m.read().KHO()
		if (got != nil) != c.found || errors.Is(err, boot.ErrSetupData) != c.fails {
			t.Errorf("%s: %v, %v", c.name, got, err)
		}
		if c.found && string(got[:]) != string(payload) {
			t.Errorf("%s: % x", c.name, got[:])
		}
	}
}

func TestInPlaceNamesWhatTheNextKernelIsPointedTo(t *testing.T) {
	m := newMachine(t)
	copy(m.page[0x1c0:], "EL64")
	m.put32(0x1d0, 0x11000000)
	m.put32(0x1d4, 4096)
	m.node(boot.SetupIMA, binary.LittleEndian.AppendUint64(binary.LittleEndian.AppendUint64(nil, 0x12000000), 8192))
	indirect := make([]byte, 24)
	binary.LittleEndian.PutUint32(indirect, boot.SetupE820Ext)
	binary.LittleEndian.PutUint64(indirect[8:], 0x100)
	binary.LittleEndian.PutUint64(indirect[16:], 0x13000000)
	m.node(boot.SetupIndirect, indirect)
	m.node(boot.SetupIndirect, indirect[:20]) // too short to point anywhere
	m.node(boot.SetupIMA, []byte{1, 2, 3})
	p := m.read()
	want := phys.Ranges{{Start: 0x11000000, End: 0x11001000}, {Start: 0x12000000, End: 0x12002000}, {Start: 0x13000000, End: 0x13000100}}
	if d := cmp.Diff(want, p.InPlace()); d != "" {
		t.Errorf("(-want +got):\n%s", d)
	}
	if typ, at, ok := p.SetupData[1].Indirect(); typ != boot.SetupE820Ext || at != want[2] || !ok {
		t.Errorf("indirect node: type %d, %v, %v", typ, at, ok)
	}
	if _, _, ok := p.SetupData[2].Indirect(); ok {
		t.Error("a short indirect node is taken for a whole one")
	}
}

package boot_test

import (
	"bytes"
	"errors"
	"testing"

	"ferry/boot"
	"ferry/boot/opened/openedtest"
	"ferry/phys"
	"ferry/phys/phystest"
)

// FuzzHandover reads a damaged zero page with damaged nodes, places a damaged
// kernel, and starts it. Whatever is accepted must lie in scratch, apart from all
// that must stay, and must be read back whole if nothing was damaged.
func FuzzHandover(f *testing.F) {
	f.Add([]byte{0x50, 2, 0}, []byte{}, []byte{}, "console=ttyS0")              // no nodes
	f.Add([]byte{0xe8, 1, 3, 0x1c, 2, 9}, []byte{8, 1, 12, 0xff}, []byte{}, "") // a map of 3, a small initrd, a long first node
	f.Add([]byte{}, []byte{0, 0, 2, 0xdf, 3, 0x23}, []byte{0x58, 2, 0, 0x5b, 2, 0x28}, "x")
	f.Add([]byte{0x50, 2, 0, 3, 1, 4, 1, 5}, []byte{}, []byte{0}, "quiet")
	part := openedtest.Part()

	f.Fuzz(func(t *testing.T, page, nodes, header []byte, cmdline string) {
		m := newMachine(t)
		m.initrd(payloadAt, 4096)
		m.node(boot.SetupRNGSeed, []byte("entropy"))
		m.node(boot.SetupKHO, make([]byte, boot.KHOSize))
		m.node(boot.SetupIMA, make([]byte, 16))
		m.node(boot.SetupE820Ext, make([]byte, 40))
		poke(m.page, page, 3)
		poke(m.bytes(nodesAt, 256), nodes, 2)
		bounded(t, m)
		p, damage := boot.Read(m, zeroPage)
		if damage != nil {
			var e *phys.Error
			if !errors.As(damage, &e) {
				t.Fatalf("error without an address: %v", damage)
			}
			if p == nil {
				return
			}
		}
		kernel := small()
		poke(kernel, header, 3)
		kho := [boot.KHOSize]byte{1}
		n := boot.Next{Kernel: m.part(payloadAt, kernel), Cmdline: cmdline, KHO: &kho, Seed: []byte("fresh"), Scratch: scratch(),
			Initrd: m.part(payloadAt+0x10000, []byte("initrd")), Occupied: phys.NewRanges(phys.Range{Start: stageAt, End: stageEnd})}
		if len(header)%2 == 1 { // the same kernel, opened
			n.Kernel, n.Opened = boot.Part{}, m.part(payloadAt, part)
			poke(n.Opened.Bytes[:phys.PageSize], header, 3)
			n.Random = func(b []byte) { copy(b, page) }
		}
		plan, err := p.Place(n)
		if err != nil {
			return
		}
		checkPlan(t, p, n, plan)
		if err := plan.Write(m); err != nil {
			if !errors.Is(err, phys.ErrNotRAM) {
				t.Fatal(err)
			}
			return // the memory map claims more RAM than there is
		}
		if damage != nil {
			return // what is damaged may be damaged again
		}
		again, err := boot.Read(m, plan.ZeroPage)
		if err != nil {
			t.Fatalf("the next kernel cannot read its zero page: %v", err)
		}
		line, _, _ := bytes.Cut([]byte(cmdline), []byte{0})
		if again.Cmdline != string(line) || again.Initrd != plan.Initrd || len(again.E820) != len(p.E820) {
			t.Errorf("command line %q, initrd %v, %d entries", again.Cmdline, again.Initrd, len(again.E820))
		}
		if got, err := again.KHO(); err != nil || *got != kho {
			t.Errorf("handover %v, %v", got, err)
		}
	})
}

// bounded fails the test if reading what the stage was started with takes more than
// the copies that [boot.Params] has of it - the zero page, the memory map, and the
// command line - and as much again.
func bounded(t *testing.T, m *machine) {
	t.Helper()
	var p *boot.Params
	phystest.Bounded(t, 2*(64<<10+24<<10), func() { p, _ = boot.Read(m, zeroPage) })
	if p == nil {
		return
	}
	phystest.Bounded(t, 4<<10, func() { p.KHO(); p.InPlace() })
	phystest.Bounded(t, 8*uint64(len(p.E820)*24)+4<<10, func() { p.E820.RAM() })
}

func TestReadingTakesWhatItCopies(t *testing.T) {
	m := newMachine(t)
	line := bytes.Repeat([]byte("ferry.x "), 8<<10)
	copy(m.bytes(ramStart, uint64(len(line))), line[:len(line)-1])
	m.put32(0x228, ramStart)
	m.hugeMap()
	for range 30 {
		m.node(boot.SetupIMA, make([]byte, 16))
	}
	bounded(t, m)
	if p, _ := boot.Read(m, zeroPage); p == nil || len(p.Cmdline) != len(line)-1 || len(p.E820) != 1024 {
		t.Error("it was not read")
	}
}

// poke applies edits of n bytes each to b: an offset in n-1 bytes, then the value.
func poke(b, edits []byte, n int) {
	for ; len(edits) >= n; edits = edits[n:] {
		at := int(edits[0])
		if n == 3 {
			at |= int(edits[1]) << 8
		}
		b[at%len(b)] = edits[n-1]
	}
}

// checkPlan: every place in scratch, none over another or over what must stay.
func checkPlan(t *testing.T, p *boot.Params, n boot.Next, plan *boot.Plan) {
	t.Helper()
	stay := n.Occupied.Add(n.Kernel.Range(), n.Opened.Range(), p.CmdlineAt).Add(p.InPlace()...)
	for _, d := range p.SetupData {
		stay = stay.Add(d.Range())
	}
	places := []phys.Range{plan.Kernel, plan.Initrd, plan.Block}
	for i, r := range places {
		if !phys.NewRanges(scratch()...).Contains(r) {
			t.Fatalf("%v is not in scratch", r)
		}
		if o, hit := stay.Overlaps(r); hit && (i != 1 || !plan.InitrdInPlace) {
			t.Fatalf("%v overlaps %v", r, o)
		}
		for _, s := range places[i+1:] {
			if r.Overlaps(s) {
				t.Fatalf("%v overlaps %v", r, s)
			}
		}
	}
}

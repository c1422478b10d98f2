package boot_test

import (
	"bytes"
	"errors"
	"testing"

	"ferry/boot"
	"ferry/phys"
)

// FuzzHandover reads a damaged zero page with damaged nodes, places a damaged
// kernel, and starts it. Whatever is accepted must lie in scratch, apart from all
// that must stay, and must be read back whole.
func FuzzHandover(f *testing.F) {
	seed := newMachine(f)
	seed.node(boot.SetupRNGSeed, []byte("entropy"))
	seed.node(boot.SetupKHO, make([]byte, boot.KHOSize))
	seed.node(boot.SetupIMA, make([]byte, 16))
	seed.node(boot.SetupE820Ext, make([]byte, 40))
	f.Add(bytes.Clone(seed.page), bytes.Clone(seed.bytes(nodesAt, 256)), head[0x1f1:0x270], "console=ttyS0")
	small := image(set32(0x1f4, 8), set8(0x1f1, 1))[:2048]

	f.Fuzz(func(t *testing.T, page, nodes, header []byte, cmdline string) {
		m := newMachine(t)
		copy(m.page, page)
		copy(m.bytes(nodesAt, uint64(min(len(nodes), 0xe000))), nodes)
		p, err := boot.Read(m, zeroPage)
		if err != nil {
			var e *phys.Error
			if !errors.As(err, &e) {
				t.Fatalf("error without an address: %v", err)
			}
			return
		}
		kernel := bytes.Clone(small)
		copy(kernel[0x1f1:0x290], header)
		kho := [boot.KHOSize]byte{1}
		n := boot.Next{Kernel: m.part(payloadAt, kernel), Cmdline: cmdline, KHO: &kho, Seed: []byte("fresh"), Scratch: scratch(),
			Initrd: m.part(payloadAt+0x10000, []byte("initrd")), Occupied: phys.NewRanges(phys.Range{Start: stageAt, End: stageEnd})}
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

// checkPlan: every place in scratch, none over another or over what must stay.
func checkPlan(t *testing.T, p *boot.Params, n boot.Next, plan *boot.Plan) {
	t.Helper()
	stay := n.Occupied.Add(n.Kernel.Range()).Add(p.InPlace()...)
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

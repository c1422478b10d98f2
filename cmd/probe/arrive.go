package main

import (
	"fmt"
	"slices"

	"ferry/board/amd64"
	"ferry/boot"
	"ferry/internal/oracle/standin"
	"ferry/phys"
)

// arrive is Linux B: it consumes the handover and says whether it is what A left.
func arrive(o options) error {
	fmt.Printf("probe B: entered at tick %d\n", amd64.EntryTSC())
	mem := amd64.Memory()
	if err := o.carried(mem); err != nil {
		return err
	}
	p, ok, err := standin.Arrive(mem, amd64.Boot().ZeroPage)
	if err != nil {
		return err
	}
	if ok {
		fmt.Printf("probe B: handover %v, scratch table %v of %d bytes\n", p.FDT, p.Scratch, p.ScratchSize)
	}
	switch o.expect {
	case cold:
		if ok {
			return fmt.Errorf("a handover arrived at %v, want none", p.FDT)
		}
		fmt.Println("probe B: PASSED: no handover arrived, as the policy says")
		return nil
	case untouched:
		if !ok || p.FDT != o.fdt {
			return fmt.Errorf("handover %v (%t) arrived, want the untouched one at %v", p.FDT, ok, o.fdt)
		}
		sum, err := standin.Sum(mem, o.used)
		if err != nil {
			return err
		}
		if sum != o.sum {
			return fmt.Errorf("the memory of the handover has changed: checksum %#x, want %#x", sum, o.sum)
		}
		fmt.Println("probe B: PASSED: the untouched handover arrived, as the policy says")
		return nil
	}
	if !ok {
		return fmt.Errorf("no handover arrived")
	}
	if p.FDT == o.fdt {
		return fmt.Errorf("the handover at %v is A's own: Ferry did not write a new one", p.FDT)
	}
	if o.expect == damaged {
		return arriveDamaged(mem, o, p)
	}
	got, left, err := standin.Receive(mem, o.to, p.FDT, p.Scratch, p.ScratchSize)
	if err != nil {
		return err
	}
	return compare(o, left, got)
}

// arriveDamaged takes a handover in which one or two files of the first session cannot
// be retrieved, and wants all else to be there.
func arriveDamaged(mem phys.Memory, o options, p standin.Payload) error {
	got, left, failed, err := standin.ReceiveDamaged(mem, o.to, p.FDT, p.Scratch, p.ScratchSize)
	if err != nil {
		return err
	}
	for _, f := range failed {
		fmt.Printf("probe B: session %d token %#x: %v\n", f.Session, f.Token, f.Why)
		if f.Session != 0 {
			return fmt.Errorf("session %d lost a file", f.Session)
		}
	}
	if len(failed) == 0 || len(failed) > 2 || got.Sessions != left.Sessions || got.Files != left.Files || got.Regions != left.Regions {
		return fmt.Errorf("%d files cannot be retrieved, want 1 or 2; arrived %+v, left %+v", len(failed), got, left)
	}
	fmt.Printf("probe B: PASSED: all arrived but %d files, which cannot be retrieved\n", len(failed))
	return nil
}

// carried wants the setup_data node that A handed on beside the handover's.
func (o options) carried(mem phys.Memory) error {
	params, err := boot.Read(mem, amd64.Boot().ZeroPage)
	if err != nil || o.node == 0 {
		return err
	}
	if !slices.ContainsFunc(params.SetupData, func(n boot.Node) bool { return n.Type == uint32(o.node) }) {
		return fmt.Errorf("no setup_data node of type %d arrived", o.node)
	}
	return nil
}

// compare prints what left and what arrived, and fails where they differ in
// anything but how it is stored.
func compare(o options, left, got standin.Census) error {
	fmt.Printf("\n%-36s %20s %20s\n", "", "before (Linux "+o.from.Name+")", "after (Linux "+o.to.Name+")")
	var lost error
	for _, l := range []struct {
		name        string
		left, got   uint64
		mayDiffer   bool
		hexadecimal bool
	}{
		{"sessions", left.Sessions, got.Sessions, false, false},
		{"files", left.Files, got.Files, false, false},
		{"folios", left.Folios, got.Folios, false, false},
		{"pages of data", left.Pages, got.Pages, false, false},
		{"checksum of the data", left.Sum, got.Sum, false, true},
		{"regions of reserved memory", left.Regions, got.Regions, false, false},
		{"folios of test_kho", left.Tests, got.Tests, false, false},
		{"blocks or arrays of sessions, files", left.Blocks, got.Blocks, true, false},
		{"entries of the preserved map", left.Preserved, got.Preserved, true, false},
		{"pages of the map itself", left.Nodes, got.Nodes, true, false},
	} {
		format := "%-36s %20d %20d\n"
		if l.hexadecimal {
			format = "%-36s %20x %20x\n"
		}
		fmt.Printf(format, l.name, l.left, l.got)
		if l.left != l.got && !l.mayDiffer {
			lost = fmt.Errorf("%s: %d arrived of %d", l.name, l.got, l.left)
		}
	}
	if lost == nil {
		fmt.Printf("\nprobe B: PASSED: every session, file and byte arrived\n")
	}
	return lost
}

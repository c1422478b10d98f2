package main

import (
	"fmt"

	"ferry/board/amd64"
	"ferry/boot"
	"ferry/boot/payload"
	"ferry/internal/oracle/standin"
	"ferry/phys"
)

// Room in scratch, as kho_scratch= would set it aside: for the stage, the next
// kernel and both payloads.
const (
	scratchSize  = 256 << 20
	scratchAlign = 4 << 20
)

// depart is Linux A: it produces a handover and starts Ferry.
func depart(o options) error {
	info, mem := amd64.Boot(), amd64.Memory()
	params, err := boot.Read(mem, info.ZeroPage)
	if err != nil {
		return err
	}
	if params.Initrd.Empty() {
		return fmt.Errorf("no initrd: it has to be a payload with Ferry as its kernel")
	}
	initrd, err := mem.View(params.Initrd.Start, params.Initrd.Size())
	if err != nil {
		return err
	}
	stage, err := payload.Open(initrd)
	if err != nil {
		return err
	}
	free := mem.RAM().Sub(info.Stage, params.Initrd, phys.Range{End: 1 << 20})
	scratch, err := chooseScratch(free)
	if err != nil {
		return err
	}
	free = free.Sub(scratch...)

	made, err := standin.Produce(mem, free, o.from, o.shape)
	if err != nil {
		return err
	}
	if o.damage != "" {
		d, err := standin.DamageOf(o.from, o.damage)
		if err != nil {
			return err
		}
		named, err := d.Do(made, scratch[0].Start)
		if err != nil {
			return err
		}
		fmt.Printf("probe A: the handover is damaged (%s): Ferry has to say %q\n", o.damage, named)
	}
	words := fmt.Sprintf("probe.role=b probe.from=%s probe.to=%s probe.expect=%s probe.fdt=%v%s",
		o.from.Word(), o.to.Word(), o.expect, made.FDT, o.ferry)
	if o.expect == untouched {
		sum, err := standin.Sum(mem, made.Used)
		if err != nil {
			return err
		}
		words += fmt.Sprintf(" probe.used=%s probe.sum=%#x", join(made.Used), sum)
	}
	if o.node != 0 {
		words += fmt.Sprintf(" probe.node=%d", o.node)
		params.SetupData = append(params.SetupData, boot.Node{Type: uint32(o.node), Data: make([]byte, 8)})
	}
	table := scratch[0].Start
	size, err := standin.Scratch(mem, table, scratch)
	if err != nil {
		return err
	}
	kho := standin.Payload{FDT: made.FDT, FDTSize: phys.PageSize, Scratch: table, ScratchSize: size}.Bytes()
	seed := make([]byte, 32)
	amd64.Random(seed)
	plan, err := params.Place(boot.Next{
		Kernel:  boot.Part{Bytes: stage.Kernel.Data},
		Initrd:  boot.Part{Bytes: stage.Initrd.Data},
		Cmdline: words,
		KHO:     &kho, Seed: seed, Scratch: scratch, Processor: boot.Processor{FiveLevel: amd64.FiveLevel()},
		Occupied: phys.NewRanges(phys.Range{Start: table, End: table + scratchAlign}),
	})
	if err != nil {
		return err
	}
	if err := plan.Write(mem); err != nil {
		return err
	}
	fmt.Printf("probe A: %d sessions, %d files, %d pages of data preserved; scratch %v; starting Ferry at %v\n",
		made.Census.Sessions, made.Census.Files, made.Census.Pages, scratch[0], plan.Entry)
	return amd64.Jump(plan.Entry, plan.ZeroPage)
}

// chooseScratch puts the scratch area at the top of the highest free memory below
// 4 GiB that holds it, and describes it as Linux does: low, global, one node.
func chooseScratch(free phys.Ranges) ([]phys.Range, error) {
	for i := len(free) - 1; i >= 0; i-- {
		end := min(free[i].End, 1<<32)
		if end < free[i].Start+scratchSize+scratchAlign {
			continue
		}
		start := phys.AlignDown(end-scratchSize, scratchAlign)
		node, end := start-scratchAlign, start+scratchSize
		if node < free[i].Start {
			continue
		}
		return []phys.Range{{Start: start, End: end}, {Start: start, End: start}, {Start: node, End: start}}, nil
	}
	return nil, fmt.Errorf("no %d MiB of free memory below 4 GiB for scratch: give the machine more", scratchSize>>20)
}

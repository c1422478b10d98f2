package boot

import (
	"fmt"

	"ferry/boot/protocol"
	"ferry/phys"
)

// Write copies everything to its place. It fails before the first byte if any
// place is not RAM that mem lets us write; after that it cannot fail. The kernel
// clears or ignores what lies between the end of its code and the end of its place.
func (plan *Plan) Write(mem phys.Memory) error {
	kernel, err := mem.Edit(plan.Kernel.Start, plan.Kernel.Size())
	if err != nil {
		return phys.In("next kernel", plan.Kernel.Start, err)
	}
	block, err := mem.Edit(plan.Block.Start, plan.Block.Size())
	if err != nil {
		return phys.In("next kernel: zero page", plan.Block.Start, err)
	}
	if !plan.Initrd.Empty() && !plan.InitrdInPlace {
		initrd, err := mem.Edit(plan.Initrd.Start, plan.Initrd.Size())
		if err != nil {
			return phys.In("next kernel: initrd", plan.Initrd.Start, err)
		}
		copy(initrd, plan.next.Initrd.Bytes)
	}
	if o := plan.kernel.opened; o != nil {
		o.Write(kernel, plan.slide)
	} else {
		copy(kernel, plan.kernel.code)
	}
	plan.fillBlock(block)
	return nil
}

// Written returns the memory that Write writes to: of that of the kernel its code
// alone.
func (plan *Plan) Written() []phys.Range {
	code := phys.Addr(len(plan.kernel.code))
	if o := plan.kernel.opened; o != nil {
		code = phys.Addr(pageUp(o.Image))
	}
	all := []phys.Range{{Start: plan.Kernel.Start, End: plan.Kernel.Start + code}, plan.Block}
	if !plan.InitrdInPlace {
		all = append(all, plan.Initrd)
	}
	return all
}

// fillBlock writes the zero page, the command line after it, and the setup_data
// nodes after that.
func (plan *Plan) fillBlock(b []byte) {
	base := uint64(plan.Block.Start)
	clear(b)
	plan.fillZeroPage(b[:phys.PageSize])
	join(b, protocol.OffCmdline, protocol.OffExtCmdline, base+phys.PageSize)
	at := uint64(phys.PageSize + copy(b[phys.PageSize:], plan.next.Cmdline) + 1)

	link := b[protocol.OffSetupData:] // where the address of the next node goes
	for _, d := range plan.nodes {
		at = alignNode(at)
		put64(link, 0, base+at)
		link = b[at:]
		put32(link, protocol.OffNodeType, d.Type)
		put32(link, protocol.OffNodeLen, uint32(len(d.Data)))
		if d.Type == SetupKHO {
			plan.handover = plan.Block.Start + phys.Addr(at+protocol.NodeHeader)
		}
		at += protocol.NodeHeader + uint64(copy(link[protocol.NodeHeader:], d.Data))
	}
}

// fillZeroPage starts from the incoming page, for all that firmware and
// earlier loaders say about the machine, and puts the header of the new image
// into it.
func (plan *Plan) fillZeroPage(b []byte) {
	old := plan.params.Page[:]
	copy(b, old)
	clear(b[protocol.OffHeader:protocol.OffHeaderMax])
	copy(b[protocol.OffHeader:], plan.kernel.header)

	b[protocol.OffSentinel] = 0
	put32(b, protocol.OffScratch, 0)
	b[protocol.OffE820Entries] = min(b[protocol.OffE820Entries], protocol.E820Max)
	if b[protocol.OffLoader] = old[protocol.OffLoader]; b[protocol.OffLoader] == 0 {
		b[protocol.OffLoader] = protocol.LoaderKexec
	}
	b[protocol.OffLoadflags] &= protocol.LoadedHigh // no heap: the 16-bit code is not run
	if plan.kernel.opened != nil {
		plan.leaveAsDecompressor(b)
	}
	put32(b, protocol.OffSubarch, u32(old, protocol.OffSubarch))
	put64(b, protocol.OffSubarchData, u64(old, protocol.OffSubarchData))
	put64(b, protocol.OffSetupData, 0)
	if plan.Kernel.Start < fourGiB {
		put32(b, protocol.OffCode32, uint32(plan.Kernel.Start))
	}
	join(b, protocol.OffInitrd, protocol.OffExtInitrd, uint64(plan.Initrd.Start))
	join(b, protocol.OffInitrdLen, protocol.OffExtInitrdLen, plan.Initrd.Size())
}

// leaveAsDecompressor sets what the kernel's own decompressor sets in the zero page.
// It also finds the ACPI root pointer if none is named; the kernel itself looks in
// the same places.
func (plan *Plan) leaveAsDecompressor(b []byte) {
	if plan.randomised {
		b[protocol.OffLoadflags] |= protocol.KASLR // steers what the kernel randomises by itself
	}
	b[protocol.OffXloadflags] &^= protocol.XLFMemEncryption
	put32(b, protocol.OffCCBlob, 0)
}

// Hand gives the kernel of a plan that was written another handover than the one
// it was placed with: one store of the node's payload, so that whoever has two
// handovers chooses last. The plan must have been placed with a handover.
func (plan *Plan) Hand(mem phys.Memory, kho *[KHOSize]byte) error {
	if plan.handover == 0 {
		return phys.In("next kernel", plan.ZeroPage, fmt.Errorf("%w: no handover node to change", ErrSetupData))
	}
	b, err := mem.Edit(plan.handover, KHOSize)
	if err != nil {
		return phys.In("next kernel: handover node", plan.handover, err)
	}
	copy(b, kho[:])
	return nil
}

// Ranges returns the memory that the next kernel is started with.
func (plan *Plan) Ranges() phys.Ranges {
	return phys.NewRanges(plan.Kernel, pages(plan.Initrd), plan.Block)
}

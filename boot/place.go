package boot

import (
	"fmt"

	"ferry/boot/protocol"
	"ferry/phys"
)

// Part is one file of the payload.
type Part struct {
	Bytes []byte
	At    phys.Addr // where Bytes lies; 0 if it is no physical memory that placing could meet
}

// Range returns the physical memory of the part, empty if At is 0.
func (p Part) Range() phys.Range {
	if p.At == 0 {
		return phys.Range{}
	}
	return phys.Range{Start: p.At, End: p.At + phys.Addr(len(p.Bytes))}
}

// Next is the kernel to start and what it is handed.
type Next struct {
	Kernel  Part // a bzImage
	Opened  Part // the same kernel, opened; with it the bzImage, which may be missing, is for when that is not to be entered
	Initrd  Part // no bytes: no initrd
	Cmdline string

	KHO  *[KHOSize]byte // payload of the handover node; nil: the next kernel gets no handover
	Seed []byte         // fresh entropy for the next kernel; empty: none

	// Scratch is where everything must lie, in order of preference: the areas of
	// the scratch table. Without a handover it may be empty: then all RAM above
	// 1 MiB serves.
	Scratch []phys.Range

	// Occupied must stay as it is: the stage's own memory, the scratch table.
	// The payload's parts and all that the zero page leads to are kept in
	// any case.
	Occupied phys.Ranges

	// Random fills with entropy, by which it is chosen where an opened kernel goes.
	// Without it, and with nokaslr, it goes where a bzImage would.
	Random func([]byte)

	Processor
}

// Plan says where everything goes. Nothing is written before [Plan.Write].
type Plan struct {
	Kernel        phys.Range // load address, and the memory that the kernel takes there: a bzImage's init_size
	Initrd        phys.Range // exact bytes; empty if there is none
	InitrdInPlace bool       // the initrd is used where it lies in the payload
	Block         phys.Range // zero page, command line and setup_data nodes, in this order
	ZeroPage      phys.Addr  // RSI at the entry
	Entry         phys.Addr  // 64-bit entry
	Release       string     // of the kernel
	Form          string     // of a kernel that was opened: what it is started as, for the operator; empty for others

	params   *Params
	kernel   *Kernel
	next     Next
	nodes    []Node    // of the next kernel; their addresses are the old ones
	handover phys.Addr // payload of the handover node, once written

	slide      uint64 // of an opened kernel, see opened.Kernel.Write
	randomised bool   // it was chosen by chance
}

// Place decides where the next kernel and all that it is handed lie, or says
// which part finds no room. It changes no memory. What n and p refer to must stay
// as it is until the plan is written.
func (p *Params) Place(n Next) (*Plan, error) {
	k, from, form, err := n.choose()
	if err == nil {
		err = k.Accepts(n.Cmdline, n.FiveLevel)
	}
	if err == nil && n.KHO != nil && len(n.Scratch) == 0 {
		err = fmt.Errorf("%w: a handover without scratch, where no place is safe from preserved memory", ErrNoRoom)
	}
	if err != nil {
		return nil, phys.In("next kernel", from.At, err)
	}
	plan := &Plan{Release: k.Release, Form: form, params: p, kernel: k, next: n, nodes: p.carried(n)}
	room := p.room(n)
	copied := uint64(len(n.Initrd.Bytes))
	if in := n.Initrd.Range(); !in.Empty() && k.TakesInitrdAt(in) && room.allowed.Contains(pages(in)) {
		plan.Initrd, plan.InitrdInPlace, copied = in, true, 0
	}
	for _, need := range k.Needs(copied, plan.blockSize()) {
		if err := plan.place(need, room); err != nil {
			return nil, phys.In("next", plan.source(need, from), err)
		}
	}
	plan.ZeroPage = plan.Block.Start
	if plan.Entry = plan.Kernel.Start + protocol.Entry64; k.opened != nil {
		plan.Entry = plan.Kernel.Start + phys.Addr(k.opened.Entry)
	}
	return plan, nil
}

// place finds a place for one thing.
func (plan *Plan) place(need Need, room *room) error {
	if need.Chance && plan.byChance(need, room) {
		return nil
	}
	at, err := room.take(need)
	switch need.What {
	case NeedKernel:
		plan.Kernel = at
		if plan.kernel.opened != nil {
			plan.Form = "it is entered opened, where it was linked to be"
		}
	case NeedInitrd:
		plan.Initrd = phys.Range{Start: at.Start, End: at.Start + phys.Addr(need.Size)}
	case NeedBlock:
		plan.Block = at
	}
	return err
}

// source returns where what is placed comes from, for errors.
func (plan *Plan) source(need Need, kernel Part) phys.Addr {
	switch need.What {
	case NeedInitrd:
		return plan.next.Initrd.At
	case NeedBlock:
		return plan.params.ZeroPage
	}
	return kernel.At
}

// blockSize returns the bytes of zero page, command line and setup_data nodes.
func (plan *Plan) blockSize() uint64 {
	size := phys.PageSize + uint64(len(plan.next.Cmdline)) + 1
	for _, d := range plan.nodes {
		size = alignNode(size) + protocol.NodeHeader + uint64(len(d.Data))
	}
	return size
}

// Accepts checks what the image says of itself against a command line and
// against the processor: fiveLevel is set if it runs with five levels of page
// tables. [Params.Place] refuses what Accepts refuses; a tool that prepares a
// crossing calls it before there is anything to lose. The error wraps [ErrKernel] or
// [ErrCmdline].
func (k *Kernel) Accepts(cmdline string, fiveLevel bool) error {
	switch {
	case fiveLevel && !k.FiveLevel:
		return refuse("no XLF_5LEVEL in xloadflags", "a kernel that can be entered with five page table levels (or boot this machine with no5lvl)")
	case uint64(len(cmdline)) > k.CmdlineMax:
		return fmt.Errorf("%w: %d bytes, the kernel takes %d", ErrCmdline, len(cmdline), k.CmdlineMax)
	}
	return nil
}

// carried returns the nodes that the next kernel gets: fresh entropy and the
// handover first, as kexec_file_load orders them, then all others unchanged.
func (p *Params) carried(n Next) []Node {
	var nodes []Node
	if len(n.Seed) > 0 {
		nodes = append(nodes, Node{Type: SetupRNGSeed, Data: n.Seed})
	}
	if n.KHO != nil {
		nodes = append(nodes, Node{Type: SetupKHO, Data: n.KHO[:]})
	}
	for _, d := range p.SetupData {
		if d.Type != SetupRNGSeed && d.Type != SetupKHO {
			nodes = append(nodes, d)
		}
	}
	return nodes
}

// alignNode rounds the offset of a setup_data node up to 8 bytes.
func alignNode(n uint64) uint64 { return (n + 7) &^ 7 }

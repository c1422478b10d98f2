package boot

import (
	"bytes"
	"fmt"
	"math/bits"
	"strings"

	"ferry/boot/protocol"
	"ferry/phys"
)

// maxCmdline bounds the command line. Linux and Ferry's image offer 2047 bytes, but
// who started us may not have looked.
const maxCmdline = 64 << 10

// Params is what we were started with. Nothing in it but the data of the nodes
// refers to the memory it was read from.
type Params struct {
	ZeroPage  phys.Addr
	Page      [phys.PageSize]byte // copy of the zero page
	E820      E820                // the zero page's entries, those of SETUP_E820_EXT, and the RAM that the command line adds
	Cmdline   string
	CmdlineAt phys.Range // with the terminator; empty if there is none
	Initrd    phys.Range // empty if there is none
	SetupData []Node     // in the order of the list
}

// EFI is struct efi_info of the zero page: what a kernel started from EFI
// firmware hands to the next one. Signature is "EL64" if it is in use.
type EFI struct {
	Signature   string
	SystemTable phys.Addr
	MemoryMap   phys.Range
	DescSize    uint32
	DescVersion uint32
}

// Read collects everything that the zero page refers to. If parts of it are damaged,
// it returns all that can be read together with an error that names each of them;
// without a zero page it returns nil.
func Read(mem phys.Memory, zeroPage phys.Addr) (*Params, error) {
	b, err := mem.View(zeroPage, phys.PageSize)
	if err != nil {
		return nil, phys.In("boot: zero page", zeroPage, err)
	}
	p := &Params{ZeroPage: zeroPage}
	copy(p.Page[:], b)
	page := p.Page[:]
	if string(page[protocol.OffMagic:protocol.OffMagic+4]) != protocol.Magic {
		return nil, damaged("boot: zero page", zeroPage, fmt.Sprintf("signature %s at 0x202", phys.Quote(page[protocol.OffMagic:protocol.OffMagic+4])),
			`"HdrS"`, ErrZeroPage)
	}
	var d damages
	n := min(int(page[protocol.OffE820Entries]), protocol.E820Max)
	var e820 protocol.Map
	err = take(&e820, page[protocol.OffE820:protocol.OffE820+protocol.E820Size*n])
	d.add("boot: e820 map", zeroPage+protocol.OffE820, err)
	d.add("boot", zeroPage, p.readCmdline(mem))
	d.add("boot", zeroPage, p.readInitrd(mem))
	p.SetupData, err = walk(mem, zeroPage+protocol.OffSetupData, phys.Addr(u64(page, protocol.OffSetupData)))
	d.add("boot", zeroPage, err)
	for _, n := range p.SetupData {
		if n.Type == SetupE820Ext {
			d.add("boot: e820 extension", n.Addr, take(&e820, n.Data))
		}
	}
	for _, r := range AddedRAM(p.Cmdline) {
		e820.Add(uint64(r.Start), r.Size(), E820RAM)
	}
	p.E820 = entries(&e820)
	return p, d.err()
}

// damages is all that was found wrong, each an [*phys.Error].
type damages []error

func (d *damages) add(object string, at phys.Addr, err error) {
	if err != nil {
		*d = append(*d, phys.In(object, at, err))
	}
}

func (d damages) err() error {
	switch len(d) {
	case 0:
		return nil
	case 1:
		return d[0]
	}
	return d
}

// Error names all damages on one line.
func (d damages) Error() string {
	var texts []string
	for _, err := range d {
		texts = append(texts, err.Error())
	}
	return strings.Join(texts, "; ")
}

// Unwrap returns the damages, for errors.Is and errors.As.
func (d damages) Unwrap() []error { return d }

// readCmdline looks for the end of the command line page by page, because nothing
// says how long it is, and then copies it.
func (p *Params) readCmdline(mem phys.Memory) error {
	at := phys.Addr(split(p.Page[:], protocol.OffCmdline, protocol.OffExtCmdline))
	if at == 0 {
		return nil
	}
	for next := at; next-at < maxCmdline; next = next.Page() + phys.PageSize {
		b, err := mem.View(next, uint64(next.Page()+phys.PageSize-next))
		if err != nil {
			return phys.In("command line", next, err)
		}
		end := bytes.IndexByte(b, 0)
		if end < 0 {
			continue
		}
		r := phys.Range{Start: at, End: next + phys.Addr(end)}
		line, err := mem.View(r.Start, r.Size())
		if err != nil {
			return phys.In("command line", at, err)
		}
		p.Cmdline = string(line)
		p.CmdlineAt = phys.Range{Start: at, End: r.End + 1}
		return nil
	}
	return damaged("command line", at, fmt.Sprintf("no end within %d bytes", maxCmdline), "a zero byte", ErrZeroPage)
}

// readInitrd checks that the initrd is RAM.
func (p *Params) readInitrd(mem phys.Memory) error {
	at := phys.Addr(split(p.Page[:], protocol.OffInitrd, protocol.OffExtInitrd))
	size := split(p.Page[:], protocol.OffInitrdLen, protocol.OffExtInitrdLen)
	if at == 0 || size == 0 {
		return nil
	}
	if _, err := mem.View(at, size); err != nil {
		return phys.In("initrd", at, err)
	}
	p.Initrd = phys.Range{Start: at, End: at + phys.Addr(size)}
	return nil
}

// RSDP returns the address of the ACPI root pointer, or 0 if the next kernel
// must search for it.
func (p *Params) RSDP() phys.Addr { return phys.Addr(u64(p.Page[:], protocol.OffRSDP)) }

// Screen returns struct screen_info, 64 bytes.
func (p *Params) Screen() []byte { return p.Page[:0x40:0x40] }

// EFI returns what the zero page says of EFI firmware; ok is false if the
// machine was not started by it.
func (p *Params) EFI() (e EFI, ok bool) {
	b := p.Page[protocol.OffEFI : protocol.OffEFI+32]
	e = EFI{
		Signature:   string(b[:4]),
		SystemTable: phys.Addr(split(b, 4, 24)),
		DescSize:    u32(b, 8),
		DescVersion: u32(b, 12),
	}
	e.MemoryMap, ok = phys.Span(phys.Addr(split(b, 16, 28)), uint64(u32(b, 20)))
	return e, ok && (e.Signature == "EL64" || e.Signature == "EL32")
}

// KHO returns the payload of the handover node, or nil if there is none. More
// than one node, or one of another length, is an error; so is a node of its length
// whose type is one bit from its own, if no other is there: a handover that is
// overlooked is lost.
func (p *Params) KHO() (*[KHOSize]byte, error) {
	var found *[KHOSize]byte
	for _, n := range p.SetupData {
		switch {
		case n.Type != SetupKHO:
			continue
		case found != nil:
			return nil, damaged("boot: setup_data: handover node", n.Addr, "a second one", "one", ErrSetupData)
		case len(n.Data) != KHOSize:
			return nil, damaged("boot: setup_data: handover node", n.Addr, fmt.Sprintf("%d bytes", len(n.Data)),
				fmt.Sprintf("%d", KHOSize), ErrSetupData)
		}
		found = new([KHOSize]byte)
		copy(found[:], n.Data)
	}
	for _, n := range p.SetupData {
		if found == nil && len(n.Data) == KHOSize && bits.OnesCount32(n.Type^SetupKHO) == 1 {
			return nil, damaged("boot: setup_data: node", n.Addr, fmt.Sprintf("type %#x, one bit from that of a handover, and its %d bytes", n.Type, KHOSize),
				fmt.Sprintf("type %d, or another length", SetupKHO), ErrSetupData)
		}
	}
	return found, nil
}

// InPlace returns the memory that the next kernel is pointed to where it lies:
// the EFI memory map, IMA's log, targets of indirect nodes. Its caller keeps it.
func (p *Params) InPlace() phys.Ranges {
	var rs []phys.Range
	if e, ok := p.EFI(); ok {
		rs = append(rs, e.MemoryMap)
	}
	for _, n := range p.SetupData {
		if r, ok := n.points(); ok {
			rs = append(rs, r)
		}
	}
	return phys.NewRanges(rs...)
}

//go:build linux

// Package crossingtest gives tests a machine in the moment of the stage's entry:
// the zero page, the nodes, the command line and the payload around a handover,
// in memory that knows what was written to it. Nothing outside tests imports it,
// and it does not import package crossing, whose tests use it.
package crossingtest

import (
	"bytes"
	"encoding/binary"
	"fmt"

	"ferry/boot/payload"
	"ferry/boot/payload/pack"
	"ferry/kho"
	"ferry/phys"
)

var le = binary.LittleEndian

// Places are the addresses of what the kernel before loaded.
type Places struct {
	ZeroPage phys.Addr
	Cmdline  phys.Addr
	Node     phys.Addr // setup_data node of the handover
	Payload  phys.Addr // up to the stage
	Stage    phys.Range
}

// Bytes of what Inside places.
const (
	stageSize = 16 << 20
	room      = 32 << 20
)

// NodeSize is the size of the setup_data node: header and KHO payload.
const NodeSize = 48

// Inside puts the places into a scratch area of at least 64 MiB, from its middle
// on: no kernel of the vectors of package khotest has anything.
func Inside(area phys.Range) Places {
	base := phys.AlignDown(area.Start+phys.Addr(area.Size()/2)-room/2, 2<<20)
	return Places{
		ZeroPage: base, Cmdline: base + 0x1000, Node: base + 0x2000, Payload: base + 0x10000,
		Stage: phys.Range{Start: base + room - stageSize, End: base + room},
	}
}

// Machine is a machine with a handover of some kernel.
type Machine struct {
	Places
	*Memory
	Data kho.Data // of the handover
}

// New writes zero page, command line and the node of the handover into memory that
// holds the rest of it.
func New(mem phys.Memory, p Places, d kho.Data, cmdline string) (*Machine, error) {
	m := &Machine{Places: p, Memory: &Memory{Memory: mem}, Data: d}
	zp, err := m.Poke(p.ZeroPage, phys.PageSize)
	if err != nil {
		return nil, err
	}
	ram := mem.RAM()
	if len(ram) > 128 {
		return nil, fmt.Errorf("%d ranges of RAM, the zero page holds 128", len(ram))
	}
	copy(zp[0x202:], "HdrS")
	zp[0x1e8] = byte(len(ram))
	for i, r := range ram {
		le.PutUint64(zp[0x2d0+20*i:], uint64(r.Start))
		le.PutUint64(zp[0x2d8+20*i:], r.Size())
		le.PutUint32(zp[0x2e0+20*i:], 1)
	}
	le.PutUint32(zp[0x228:], uint32(p.Cmdline))
	line, err := m.Poke(p.Cmdline, phys.PageSize)
	if err != nil {
		return nil, err
	}
	copy(line, cmdline+"\x00")
	le.PutUint64(zp[0x250:], uint64(p.Node))
	node, err := m.Poke(p.Node, NodeSize)
	if err != nil {
		return nil, err
	}
	le.PutUint32(node[8:], kho.SetupType)
	le.PutUint32(node[12:], kho.DataSize)
	copy(node[16:], d.Append(nil))
	return m, nil
}

// SetPayload loads the archive of a kernel and an initrd.
func (m *Machine) SetPayload(manifest payload.Manifest, kernel, initrd []byte) error {
	var b bytes.Buffer
	if err := pack.Write(&b, manifest, kernel, initrd); err != nil {
		return err
	}
	return m.SetArchive(b.Bytes())
}

// SetArchive loads a payload in place of the initrd.
func (m *Machine) SetArchive(b []byte) error {
	if uint64(len(b)) > uint64(m.Stage.Start-m.Payload) {
		return fmt.Errorf("a payload of %d bytes reaches into the stage", len(b))
	}
	at, err := m.Poke(m.Payload, uint64(len(b)))
	if err != nil {
		return err
	}
	copy(at, b)
	zp, err := m.Poke(m.ZeroPage, phys.PageSize)
	if err != nil {
		return err
	}
	le.PutUint32(zp[0x218:], uint32(m.Payload))
	le.PutUint32(zp[0x21c:], uint32(len(b)))
	return nil
}

// Loaded returns the memory of what the kernel before loaded and Ferry has to
// leave alone: of the payload the kernels and initrds, but not what is around them.
func (m *Machine) Loaded() phys.Ranges {
	page := func(a phys.Addr) phys.Range { return phys.Block{Addr: a}.Range() }
	return phys.NewRanges(page(m.ZeroPage), page(m.Node), page(m.Cmdline),
		m.Stage,
		phys.Range{Start: m.Data.Scratch.Page(), End: m.Data.Scratch + phys.Addr(m.Data.ScratchSize)})
}

// KernelCode is what the kernel of [Kernel] begins with at its 64-bit entry less
// 0x200.
const KernelCode = "code of the next kernel"

// Kernel is the smallest image that the boot protocol allows; it takes initSize
// bytes of memory.
func Kernel(initSize uint32) []byte {
	b := make([]byte, 1024+4096)
	b[0x1f1] = 1
	le.PutUint16(b[0x1fe:], 0xaa55)
	b[0x201] = 0x6a
	copy(b[0x202:], "HdrS")
	le.PutUint16(b[0x206:], 0x20f)
	b[0x211] = 1
	le.PutUint32(b[0x230:], 2<<20)
	b[0x234] = 1
	le.PutUint16(b[0x236:], 0x23)
	le.PutUint32(b[0x238:], 2047)
	le.PutUint64(b[0x258:], 16<<20)
	le.PutUint32(b[0x260:], initSize)
	copy(b[1024:], KernelCode)
	return b
}

// Arrived is what the next kernel finds in its zero page.
type Arrived struct {
	Cmdline string
	KHO     []byte // payload of the handover node, nil if there is none
	Seed    []byte
}

// Arrive reads the zero page of the next kernel.
func Arrive(mem phys.Memory, entry, zeroPage phys.Addr) (a Arrived, err error) {
	view := func(at phys.Addr, n uint64) []byte {
		b, e := mem.View(at, n)
		if e != nil && err == nil {
			err = e
		}
		if e != nil {
			b = make([]byte, n)
		}
		return b
	}
	if code := view(entry-0x200, uint64(len(KernelCode))); string(code) != KernelCode {
		return a, fmt.Errorf("at the next kernel's entry %v lies %q", entry, code)
	}
	zp := view(zeroPage, phys.PageSize)
	line := view(phys.Addr(le.Uint32(zp[0x228:])), 256)
	text, _, _ := bytes.Cut(line, []byte{0})
	a.Cmdline = string(text)
	for at, n := le.Uint64(zp[0x250:]), 0; at != 0; n++ {
		head := view(phys.Addr(at), 16)
		data := view(phys.Addr(at)+16, uint64(le.Uint32(head[12:])))
		if err != nil {
			return a, fmt.Errorf("node at %#x: %w", at, err)
		}
		if n == 16 {
			return a, fmt.Errorf("node at %#x: more than 16", at)
		}
		switch le.Uint32(head[8:]) {
		case 10:
			a.KHO = data
		case 9:
			a.Seed = data
		}
		at = le.Uint64(head)
	}
	return a, err
}

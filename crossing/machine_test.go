package crossing

import (
	"bytes"
	"encoding/binary"
	"testing"

	"ferry/boot/payload"
	"ferry/boot/payload/pack"
	"ferry/crossing/crossingtest"
	"ferry/internal/oracle/standin"
	"ferry/kho"
	"ferry/phys"
	"ferry/phys/phystest"
)

var le = binary.LittleEndian

// The machine of the tests. What Linux A loaded lies in memory that a crossing would
// use first if it were free: the stage at the top of the first area, the scratch table
// below it, the command line in the piece that pages would be cut off from.
const (
	stageAt    = phys.Addr(0x06000000)
	zeroPageAt = phys.Addr(0x05000000)
	cmdlineAt  = phys.Addr(0x07bff000)
	nodesAt    = phys.Addr(0x05002000)
	tableAt    = phys.Addr(0x05fff000)
	payloadAt  = phys.Addr(0x05100000)

	nodeSize = 48 // setup_data header and KHO payload
)

var (
	ram     = phys.Range{Start: 0x100000, End: 0x0c000000}
	scratch = []phys.Range{
		{Start: 0x04000000, End: 0x07000000},
		{Start: 0x04000000, End: 0x04000000}, // size 0, at the address of another
		{Start: 0x07800000, End: 0x0b800000},
	}
	stage = phys.Range{Start: stageAt, End: stageAt + 0x1000000}
	free  = phys.NewRanges(ram).Sub(scratch...)
)

// machine is a machine in the moment of the stage's entry.
type machine struct {
	Machine
	t     *testing.T
	ram   *phystest.Sparse
	made  standin.Handover
	fdt   phys.Addr
	left  standin.Census
	log   *bytes.Buffer
	ticks int64

	archive []byte // the payload
}

// newMachine lays a handover of the given shape, the zero page and a payload
// into memory, all of Linux 7.3.
func newMachine(t *testing.T, shape standin.Shape, cmdline string) *machine {
	t.Helper()
	return newMachineOf(t, standin.F, shape, cmdline)
}

// newMachineOf is newMachine with a handover of another generation.
func newMachineOf(t *testing.T, from *standin.Generation, shape standin.Shape, cmdline string) *machine {
	t.Helper()
	return newMachineIn(t, from, shape, cmdline, ram)
}

// newMachineIn is newMachineOf with other memory, the machine's own first.
func newMachineIn(t *testing.T, from *standin.Generation, shape standin.Shape, cmdline string, memory ...phys.Range) *machine {
	t.Helper()
	m := &machine{t: t, ram: phystest.NewSparse(t, memory...), log: new(bytes.Buffer)}
	m.Machine = Machine{
		Memory: m.ram, ZeroPage: zeroPageAt, Stage: stage, Console: m.log,
		Nanotime: func() int64 { m.ticks += 1000; return m.ticks },
		Random:   func(b []byte) { copy(b, bytes.Repeat([]byte{0xa5}, len(b))) },
	}
	h, err := standin.Produce(m.Memory, free, from, shape)
	if err != nil {
		t.Fatal(err)
	}
	m.made, m.fdt, m.left = h, h.FDT, h.Census
	size, err := standin.Scratch(m.Memory, tableAt, scratch)
	if err != nil {
		t.Fatal(err)
	}

	zp := m.edit(zeroPageAt, phys.PageSize)
	copy(zp[0x202:], "HdrS")
	zp[0x1e8] = byte(len(memory))
	for i, r := range memory {
		le.PutUint64(zp[0x2d0+20*i:], uint64(r.Start))
		le.PutUint64(zp[0x2d8+20*i:], r.Size())
		le.PutUint32(zp[0x2e0+20*i:], 1)
	}
	le.PutUint32(zp[0x228:], uint32(cmdlineAt))
	copy(m.edit(cmdlineAt, phys.PageSize), cmdline+"\x00")

	le.PutUint64(zp[0x250:], uint64(nodesAt))
	kho := m.edit(nodesAt, nodeSize)
	le.PutUint32(kho[8:], 10)
	le.PutUint32(kho[12:], 32)
	for i, v := range []uint64{uint64(m.fdt), phys.PageSize, uint64(tableAt), size} {
		le.PutUint64(kho[16+8*i:], v)
	}
	m.setPayload(nextKernel(), []byte("the next kernel's initrd"), nil)
	return m
}

func (m *machine) setPayload(kernel, initrd []byte, cmdline *string) {
	m.t.Helper()
	m.setManifest(payload.Manifest{Cmdline: cmdline}, kernel, initrd)
}

// next makes the next kernel one of generation to.
func (m *machine) next(to, from string) {
	m.t.Helper()
	m.setManifest(payload.Manifest{Kernel: payload.KernelInfo{Release: "the next kernel", Generation: to}, From: from}, nextKernel(), []byte("the next kernel's initrd"))
}

func (m *machine) setManifest(manifest payload.Manifest, kernel, initrd []byte) {
	m.t.Helper()
	m.setFiles(manifest, pack.Files{Kernel: kernel, Initrd: initrd})
}

func (m *machine) setFiles(manifest payload.Manifest, files pack.Files) {
	m.t.Helper()
	var b bytes.Buffer
	if err := pack.WriteFiles(&b, manifest, files); err != nil {
		m.t.Fatal(err)
	}
	m.place(b.Bytes())
}

// place puts the archive at payloadAt, and its address into the zero page.
func (m *machine) place(archive []byte) {
	m.t.Helper()
	m.archive = archive
	copy(m.edit(payloadAt, uint64(len(archive))), archive)
	zp := m.edit(zeroPageAt, phys.PageSize)
	le.PutUint32(zp[0x218:], uint32(payloadAt))
	le.PutUint32(zp[0x21c:], uint32(len(archive)))
}

// cmdline replaces the command line of the stage.
func (m *machine) cmdline(line string) {
	m.t.Helper()
	page := m.edit(cmdlineAt, phys.PageSize)
	clear(page)
	copy(page, line)
}

func (m *machine) edit(a phys.Addr, n uint64) []byte {
	m.t.Helper()
	b, err := m.Memory.Edit(a, n)
	if err != nil {
		m.t.Fatal(err)
	}
	return b
}

// nextKernel is the smallest image that the boot protocol allows.
func nextKernel() []byte { return crossingtest.Kernel(8 << 20) }

// payload returns what the zero page says of the handover that came in.
func (m *machine) payload() kho.Data {
	m.t.Helper()
	d, err := kho.ParseData(nodesAt+16, m.edit(nodesAt+16, kho.DataSize))
	if err != nil {
		m.t.Fatal(err)
	}
	return d
}

// preserve enters one more page in the map at root, below nodes that are there.
func (m *machine) preserve(root, page phys.Addr) {
	m.t.Helper()
	key := uint64(1)<<52 + uint64(page.PFN())
	for shift := 51; shift >= 15; shift -= 9 {
		root = phys.Addr(le.Uint64(m.edit(root+phys.Addr(8*(key>>shift%512)), 8)))
	}
	m.edit(root+phys.Addr(key%(1<<15)/8), 1)[0] |= 1 << (key % 8)
}

// pages returns a copy of every page that is not zero.
func (m *machine) pages() map[phys.Addr][]byte {
	m.t.Helper()
	var zero [phys.PageSize]byte
	all := make(map[phys.Addr][]byte)
	for _, r := range m.ram.Touched() {
		b, err := m.ram.View(r.Start, r.Size())
		if err != nil {
			m.t.Fatal(err)
		}
		for at := r.Start; at < r.End; at += phys.PageSize {
			if page := b[at-r.Start:][:phys.PageSize]; !bytes.Equal(page, zero[:]) {
				all[at] = bytes.Clone(page)
			}
		}
	}
	return all
}

// unchanged fails the test if a page of what came in is not as it was before.
func (m *machine) unchanged(before map[phys.Addr][]byte) {
	m.t.Helper()
	for at, old := range before {
		if !bytes.Equal(m.edit(at, phys.PageSize), old) {
			m.t.Errorf("page %v of what came in was written to", at)
		}
	}
}

// arrived is what the next kernel finds in its zero page.
type arrived struct {
	cmdline string
	kho     []byte // payload of the handover node, nil if there is none
	seed    []byte
}

func (m *machine) arrive(j Jump) (a arrived) {
	m.t.Helper()
	if code := m.edit(j.Entry-0x200, 23); string(code) != crossingtest.KernelCode {
		m.t.Errorf("at the next kernel's entry lies %q", code)
	}
	kernel := phys.Range{Start: j.Entry - 0x200, End: j.Entry - 0x200 + 8<<20} // init_size of most tests' kernel
	zeroPage := phys.Block{Addr: j.ZeroPage}.Range()
	for what, held := range map[string]phys.Range{
		"stage": stage, "scratch table": phys.Block{Addr: tableAt}.Range(), "zero page it came with": phys.Block{Addr: zeroPageAt}.Range(),
	} {
		if kernel.Overlaps(held) || zeroPage.Overlaps(held) {
			m.t.Errorf("the next kernel at %v with its zero page at %v overlaps the %s at %v", kernel, j.ZeroPage, what, held)
		}
	}
	zp := m.edit(j.ZeroPage, phys.PageSize)
	line := m.edit(phys.Addr(le.Uint32(zp[0x228:])), 256)
	end := bytes.IndexByte(line, 0)
	a.cmdline = string(line[:end])
	for at := le.Uint64(zp[0x250:]); at != 0; {
		head := m.edit(phys.Addr(at), 16)
		data := m.edit(phys.Addr(at)+16, uint64(le.Uint32(head[12:])))
		switch le.Uint32(head[8:]) {
		case 10:
			a.kho = data
		case 9:
			a.seed = data
		}
		at = le.Uint64(head)
	}
	return a
}

// kexec hands over again what arrived, as a kernel in between would that kept all of
// it: with a copy of its scratch table in scratch.
func (m *machine) kexec(data []byte) {
	m.t.Helper()
	d, err := kho.ParseData(0, data)
	if err != nil {
		m.t.Fatal(err)
	}
	copy(m.edit(tableAt, d.ScratchSize), bytes.Clone(m.edit(d.Scratch, d.ScratchSize)))
	d.Scratch = tableAt
	copy(m.edit(nodesAt+16, kho.DataSize), d.Append(nil))
}

// receive consumes the handover that arrived as Linux 7.3.
func (a arrived) receive(mem phys.Memory) (got, left standin.Census, err error) {
	return a.receiveAs(standin.F, mem)
}

// receiveAs is receive of another generation.
func (a arrived) receiveAs(to *standin.Generation, mem phys.Memory) (got, left standin.Census, err error) {
	u := func(i int) uint64 { return le.Uint64(a.kho[8*i:]) }
	return standin.Receive(mem, to, phys.Addr(u(0)), phys.Addr(u(2)), u(3))
}

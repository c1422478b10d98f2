package boot_test

import (
	_ "embed"
	"encoding/binary"
	"testing"

	"ferry/boot"
	"ferry/phys"
	"ferry/phys/phystest"
)

//go:embed testdata/bzimage-7.3.4.head
var head []byte

// The machine of the tests: what kexec_file_load would leave in it.
const (
	ramStart  = 0x10000000
	ramEnd    = 0x30000000
	zeroPage  = 0x23fff000 // at the end of the first scratch area
	cmdlineAt = 0x23ffc000
	nodesAt   = 0x23ffd000 // as is this: where the next zero page would go first
	payloadAt = 0x23000000
	stageAt   = 0x20000000 // 32 MiB
	stageEnd  = 0x22000000
)

// scratch is in table order, with an area of size 0 inside another.
func scratch() []phys.Range {
	return []phys.Range{{Start: 0x20000000, End: 0x24000000}, {Start: 0x20000000, End: 0x20000000},
		{Start: 0x28000000, End: 0x2c000000}}
}

// machine is a fake of physical memory with the pieces of a handover in it.
// Offsets are written out here: the tests must not repeat the package's mistakes.
type machine struct {
	testing.TB
	phys.Memory
	page  []byte
	nodes []phys.Addr
	free  phys.Addr // where the next node goes
}

// newMachine has a zero page with the memory map and a command line.
func newMachine(t testing.TB, ram ...phys.Range) *machine {
	if len(ram) == 0 {
		ram = []phys.Range{{Start: ramStart, End: ramEnd}}
	}
	m := &machine{TB: t, Memory: phystest.New(t, ram...), free: nodesAt}
	m.page = m.bytes(zeroPage, 4096)
	copy(m.page[0x202:], "HdrS")
	m.page[0x210] = 0xd0
	for _, r := range ram {
		m.e820(uint64(r.Start), r.Size(), 1)
	}
	m.cmdline(cmdlineAt, "console=ttyS0 ferry.mode=pass kho=on")
	return m
}

func (m *machine) bytes(a phys.Addr, n uint64) []byte {
	m.Helper()
	b, err := m.Edit(a, n)
	if err != nil {
		m.Fatal(err)
	}
	return b
}

func (m *machine) e820(addr, size uint64, typ uint32) {
	putE820(m.page[0x2d0+20*int(m.page[0x1e8]):], addr, size, typ)
	m.page[0x1e8]++
}

func putE820(b []byte, addr, size uint64, typ uint32) {
	binary.LittleEndian.PutUint64(b, addr)
	binary.LittleEndian.PutUint64(b[8:], size)
	binary.LittleEndian.PutUint32(b[16:], typ)
}

func (m *machine) cmdline(at uint64, s string) {
	copy(m.bytes(phys.Addr(at), uint64(len(s))+1), s+"\x00")
	m.put32(0x228, uint32(at))
	m.put32(0xc8, uint32(at>>32))
}

func (m *machine) initrd(at, size uint64) {
	m.put32(0x218, uint32(at))
	m.put32(0xc0, uint32(at>>32))
	m.put32(0x21c, uint32(size))
	m.put32(0xc4, uint32(size>>32))
}

func (m *machine) put32(off int, v uint32) { binary.LittleEndian.PutUint32(m.page[off:], v) }
func (m *machine) put64(off int, v uint64) { binary.LittleEndian.PutUint64(m.page[off:], v) }

// node appends a setup_data node and returns its address.
func (m *machine) node(typ uint32, data []byte) phys.Addr {
	at := m.free
	b := m.bytes(at, uint64(16+len(data)))
	binary.LittleEndian.PutUint64(b, 0)
	binary.LittleEndian.PutUint32(b[8:], typ)
	binary.LittleEndian.PutUint32(b[12:], uint32(len(data)))
	copy(b[16:], data)
	if n := len(m.nodes); n == 0 {
		m.put64(0x250, uint64(at))
	} else {
		m.link(m.nodes[n-1], at)
	}
	m.nodes = append(m.nodes, at)
	m.free += phys.Addr(len(b)+7) &^ 7
	return at
}

// link sets the next field of a node.
func (m *machine) link(node, next phys.Addr) {
	binary.LittleEndian.PutUint64(m.bytes(node, 8), uint64(next))
}

// read is Read without an error.
func (m *machine) read() *boot.Params {
	m.Helper()
	p, err := boot.Read(m, zeroPage)
	if err != nil {
		m.Fatal(err)
	}
	return p
}

// image is a bzImage with the setup header of a real one and code that tells
// its bytes apart.
func image(edit ...func(b []byte)) []byte {
	setup := (int(head[0x1f1]) + 1) * 512
	code := int(binary.LittleEndian.Uint32(head[0x1f4:])) * 16
	b := make([]byte, setup+code)
	copy(b, head)
	copy(b[0x200+int(binary.LittleEndian.Uint16(b[0x20e:])):], "7.3.4 test\x00")
	for i := setup; i < len(b); i++ {
		b[i] = byte(i>>12 ^ i)
	}
	for _, e := range edit {
		e(b)
	}
	return b
}

// small is an image of one sector of setup and 1024 bytes of code.
func small(edit ...func(b []byte)) []byte {
	b := append(make([]byte, 0, 2048), head[:2048]...)
	for _, e := range append(edit, set32(0x1f4, 64), set8(0x1f1, 1), set32(0x260, 4096)) {
		e(b)
	}
	return b
}

// Edits of an image.
func set8(off int, v uint8) func([]byte) { return func(b []byte) { b[off] = v } }
func set16(off int, v uint16) func([]byte) {
	return func(b []byte) { binary.LittleEndian.PutUint16(b[off:], v) }
}
func set32(off int, v uint32) func([]byte) {
	return func(b []byte) { binary.LittleEndian.PutUint32(b[off:], v) }
}
func set64(off int, v uint64) func([]byte) {
	return func(b []byte) { binary.LittleEndian.PutUint64(b[off:], v) }
}

// Package openedtest gives tests a small kernel that can be opened: as a bzImage,
// as the ELF file with relocations inside it, and as what is to come of it. Nothing
// outside tests imports it. Offsets are written out here: the tests must not repeat
// the mistakes of the packages that they test.
package openedtest

import (
	"encoding/binary"
	"math/rand/v2"

	"ferry/boot/opened"
	"ferry/phys"
)

var le = binary.LittleEndian

// The kernel: two segments, of which the second begins 2 MiB behind the first.
const (
	Link   = 16 << 20
	Entry  = 0x200040 // in the second, as since 6.18
	Data   = 2 << 20  // where the second is
	Memory = 6 << 20

	textSize = 3*phys.PageSize + 100
	dataSize = 2*phys.PageSize + 100
	bssSize  = 3 << 20 // behind the second

	base = 0xffffffff80000000
)

// Release is what the kernel's setup part calls it.
const Release = "7.3.4 opened"

// Image returns the opened kernel, changed by the edits.
func Image(edits ...func(*opened.Image)) *opened.Image {
	i := &opened.Image{
		Link: Link, Memory: Memory, Entry: Entry, Alignment: 2 << 20, Space: 1 << 30,
		Setup:   Setup(),
		Release: Release,
		Bytes:   make([]byte, Data+dataSize),
	}
	r := rand.New(rand.NewPCG(1, 2))
	for _, part := range [][]byte{i.Bytes[:textSize], i.Bytes[Data:]} {
		for n := range part {
			part[n] = byte(r.Uint32())
		}
	}
	clear(i.Bytes[phys.PageSize : 2*phys.PageSize]) // a page of zeros inside a segment
	copy(i.Bytes[2*phys.PageSize+100:], "\x00Linux version 7.3.4 (user@host)\x00kho-v4\x00luo-v5\x00memfd-v2\x00")
	put := func(at uint32, size int, v uint64) {
		le.PutUint32(i.Bytes[at:], uint32(v))
		if size == 8 {
			le.PutUint64(i.Bytes[at:], v)
		}
	}
	for _, at := range []uint32{8, 16, 2*phys.PageSize - 4, textSize - 8, Data, Data + dataSize - 8} {
		i.Wide = append(i.Wide, at)
		put(at, 8, base+Link+uint64(at))
	}
	for _, at := range []uint32{0, 25, 3*phys.PageSize - 2, Data + 8, Data + 12} {
		i.Narrow = append(i.Narrow, at)
		put(at, 4, base+Link+uint64(at))
	}
	for _, edit := range edits {
		edit(i)
	}
	return i
}

// Part returns the part that holds the kernel, changed by the edits; it need not be
// one that is taken.
func Part(edits ...func(*opened.Image)) []byte {
	part, _ := Image(edits...).Part()
	return part
}

// Setup returns the setup header, from 0x1f1 on.
func Setup() []byte {
	b := make([]byte, 0x290)
	b[0x1f1] = 1
	le.PutUint16(b[0x1fe:], 0xaa55)
	b[0x201] = 0x6a
	copy(b[0x202:], "HdrS")
	le.PutUint16(b[0x206:], 0x20f)
	le.PutUint16(b[0x20e:], 0x100)
	b[0x211] = 1
	le.PutUint32(b[0x22c:], 0x7fffffff)
	le.PutUint32(b[0x230:], 2<<20)
	b[0x234] = 1
	le.PutUint16(b[0x236:], 0x63)
	le.PutUint32(b[0x238:], 2047)
	le.PutUint32(b[0x248:], 0x300)
	le.PutUint64(b[0x258:], Link)
	le.PutUint32(b[0x260:], Memory+1<<20)
	return b[0x1f1:0x26c]
}

// ELF returns the ELF file of the kernel with its relocations behind it.
func ELF() []byte {
	i := Image()
	const first, second = 0x1000, 0x1000 + textSize
	const sections = second + dataSize
	b := make([]byte, sections+64)
	copy(b, "\x7fELF\x02\x01\x01")
	le.PutUint16(b[16:], 2)  // ET_EXEC
	le.PutUint16(b[18:], 62) // EM_X86_64
	le.PutUint32(b[20:], 1)
	le.PutUint64(b[24:], Link+Entry)
	le.PutUint64(b[32:], 64)
	le.PutUint64(b[40:], sections)
	le.PutUint16(b[52:], 64)
	le.PutUint16(b[54:], 56)
	le.PutUint16(b[56:], 3)
	le.PutUint16(b[58:], 64)
	le.PutUint16(b[60:], 1)
	segment := func(n int, typ, flags uint32, off, at, file, memory, align uint64) {
		h := b[64+56*n:]
		le.PutUint32(h, typ)
		le.PutUint32(h[4:], flags)
		for j, v := range []uint64{off, base + Link + at, Link + at, file, memory, align} {
			le.PutUint64(h[8+8*j:], v)
		}
	}
	segment(0, 1, 5, first, 0, textSize, textSize, 2<<20)
	segment(1, 1, 6, second, Data, dataSize, dataSize+bssSize, 2<<20)
	segment(2, 4, 0, first, 0, 16, 16, 4) // a note
	copy(b[first:], i.Bytes[:textSize])
	copy(b[second:], i.Bytes[Data:])
	for _, list := range [][]uint32{i.Wide, i.Narrow} {
		b = append(b, 0, 0, 0, 0)
		for n := range list { // not in order
			b = le.AppendUint32(b, 0x80000000+Link+list[len(list)-1-n])
		}
	}
	return b
}

// BzImage returns a bzImage with a kernel that is not compressed, changed by the
// edits.
func BzImage(vmlinux []byte, edits ...func([]byte)) []byte {
	const setup, offset = 2 * 512, 0x300
	b := make([]byte, setup+offset, setup+offset+len(vmlinux))
	copy(b[0x1f1:], Setup())
	copy(b[0x300:], Release+"\x00")
	copy(b[setup+0x100:], "Physical KASLR disabled: no suitable memory region!\x00")
	le.PutUint32(b[0x24c:], uint32(len(vmlinux)))
	b = append(b, vmlinux...)
	for _, edit := range edits {
		edit(b)
	}
	return b
}

// Package standin plays the two Linux kernels at the ends of a crossing: it
// lays a handover into physical memory as Linux 7.3 does, and consumes one the
// way Linux 7.3 does, page by page, with the kernel's own checks and a few more.
//
// It is written from the ABI alone and shares no code with Ferry's readers and
// writers but package phys: an error on one side cannot hide behind the same
// error on the other. It favours being plain over being fast.
//
// Source: Linux 7.3.4 kernel/liveupdate/{kexec_handover,luo_core,luo_session,
// luo_file,kho_block}.c, mm/memfd_luo.c, include/linux/kho/abi/*.h.
package standin

import (
	"encoding/binary"
	"fmt"

	"ferry/phys"
)

var le = binary.LittleEndian

// Shape says what the stand-in for Linux A preserves.
type Shape struct {
	Sessions int // live update sessions
	Files    int // memfds in each session
	// Fill is the number of entries put into a block before the next one is
	// taken; 0 is what fits, as the kernel does. The format allows less, and
	// Ferry compacts it.
	Fill int
	// Regions is the number of reserve_mem blocks of RegionOrder, whose content
	// is not touched: preserved bytes without entries.
	Regions     int
	RegionOrder phys.Order
}

// Census counts what is in a handover. It travels from A to B in a sub-tree of
// its own, so that B can hold what arrived against what left.
type Census struct {
	Sessions, Files uint64
	Folios, Pages   uint64 // of file data
	Blocks          uint64 // session and file blocks of the linked-block chains
	Preserved       uint64 // entries of the preserved-memory map
	Nodes           uint64 // pages of the map itself
	Sum             uint64 // over the bytes of every file, in order
}

const censusWords = 8

func (c *Census) words() [censusWords]*uint64 {
	return [...]*uint64{&c.Sessions, &c.Files, &c.Folios, &c.Pages, &c.Blocks, &c.Preserved, &c.Nodes, &c.Sum}
}

func (c *Census) marshal(b []byte) {
	for i, w := range c.words() {
		le.PutUint64(b[8*i:], *w)
	}
}

func (c *Census) unmarshal(b []byte) {
	for i, w := range c.words() {
		*w = le.Uint64(b[8*i:])
	}
}

// file is what A puts into file f of session s and B expects there. Everything
// follows from the two numbers.
type file struct {
	token, size, pos uint64
	seals            uint32
	orders           []phys.Order // of the folios that hold size bytes, in file order
}

func sessionName(s int) string { return fmt.Sprintf("session-%d", s) }

// fileOf returns the expected file: empty ones, one of a byte, some of several
// pages, and in the first session one with a huge page.
func fileOf(s, f int) file {
	out := file{token: uint64(f)*0x11 + 0x1a, seals: uint32(f) % 2 * 0x0f}
	switch {
	case s == 0 && f == 4:
		out.size, out.orders = 2<<20+phys.PageSize, []phys.Order{9, 0}
	case f%4 == 0:
		out.size, out.orders = 3*phys.PageSize, []phys.Order{0, 0, 0}
	case f%4 == 1:
		out.size, out.orders = 1, []phys.Order{0}
	case f%4 == 2:
		out.size, out.orders = 5000, []phys.Order{1}
	}
	if out.size > 0 {
		out.pos = uint64(s+f) % out.size
	}
	return out
}

// fill writes the content of page p of file f of session s: a stream that
// depends on all three, so that no two pages are alike.
func fill(page []byte, s, f, p int) {
	x := uint64(s)<<40 ^ uint64(f)<<20 ^ uint64(p) ^ 0x9e3779b97f4a7c15
	for i := 0; i+8 <= len(page); i += 8 {
		x ^= x << 13
		x ^= x >> 7
		x ^= x << 17
		le.PutUint64(page[i:], x)
	}
}

// sum folds the bytes of b, a multiple of 8 long, into h (FNV-1a by words).
func sum(h uint64, b []byte) uint64 {
	for i := 0; i+8 <= len(b); i += 8 {
		h = (h ^ le.Uint64(b[i:])) * 0x100000001b3
	}
	return h
}

// Layouts of generation F, in bytes: see the package comment for the headers.
const (
	khoCompatible = "kho-v4"
	luoCompatible = "luo-v5"
	memfdHandler  = "memfd-v2"

	blockHeader  = 16
	sessionSize  = 80
	fileSize     = 64
	luoSize      = 32
	memfdSize    = 48
	vmallocSlots = 511

	probeTree = "probe" // the sub-tree that carries the census
)

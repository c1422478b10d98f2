// Package standin plays the two Linux kernels at the ends of a crossing: it
// lays a handover into physical memory as Linux of a generation does, and
// consumes one the way Linux of a generation does, page by page, with the
// kernel's own checks and a few more.
//
// It is written from the ABI alone and shares no code with Ferry's readers and
// writers but package phys: an error on one side cannot hide behind the same
// error on the other. It favours being plain over being fast.
//
// Source: kernel/kexec_handover.c of Linux 6.16 to 6.18, kernel/liveupdate/
// {kexec_handover,luo_core,luo_session,luo_file,luo_flb,kho_block}.c,
// mm/memfd_luo.c, mm/memblock.c, lib/test_kho.c and include/linux/kho/abi/*.h of
// 6.19 to 7.3, and the series of patches that [EPrime] is.
package standin

import (
	"encoding/binary"
	"fmt"
	"strings"

	"ferry/phys"
)

var le = binary.LittleEndian

// Shape says what the stand-in for Linux A preserves.
type Shape struct {
	Sessions int // live update sessions
	Files    int // memfds in each session
	// Fill is the number of entries put into a block before the next one is
	// taken; 0 is what fits, as the kernel does. The format allows less, and
	// Ferry compacts it. Arrays know no blocks.
	Fill int
	// Regions is the number of reserve_mem regions, blocks of RegionOrder of which
	// the first page alone is touched: preserved bytes without entries. The last
	// one has three pages more, where they are free, which are blocks of their own.
	Regions     int
	RegionOrder phys.Order
	Tests       int  // folios of test_kho
	Plain       bool // memfds have the seal alone that says that there may be no others
	Odd         Odd
}

// Odd is a set of things that kernels may write and seldom do.
type Odd uint

// Oddities, and the names that [ParseOdd] reads.
const (
	Unset    Odd = 1 << iota // unset: folios recorded without DIRTY or UPTODATE, as 6.19.8 does
	NoFLB                    // no-flb: no page of FLBs, in block forms
	Aligned                  // aligned: each bitmap of A in a page of its own, as B would have it
	Reversed                 // reversed: the list of bitmaps backwards, a chunk for every two of them
	Foreign                  // foreign: one file more in each session, of a handler that nobody knows
	Raw                      // raw: a sub-tree that is no device tree
	Small                    // small: arrays of sessions and files in the smallest block that holds them
	Gaps                     // gaps: every third session has no files
	Listed                   // listed: one more string of the KHO's version, as a list
	oddEnd
)

var oddNames = []string{"unset", "no-flb", "aligned", "reversed", "foreign", "raw", "small", "gaps", "listed"}

// ParseOdd reads names separated by commas.
func ParseOdd(list string) (o Odd, err error) {
next:
	for _, name := range strings.Split(list, ",") {
		for i, n := range oddNames {
			if n == name {
				o |= 1 << i
				continue next
			}
		}
		return o, fmt.Errorf("no oddity is called %q: want some of %s", name, strings.Join(oddNames, ","))
	}
	return o, nil
}

// Census counts what is in a handover. It travels from A to B in a sub-tree of
// its own, so that B can hold what arrived against what left.
type Census struct {
	Sessions, Files uint64
	Folios, Pages   uint64 // of file data
	Regions         uint64 // reserve_mem
	Tests           uint64 // folios of test_kho
	Blocks          uint64 // blocks of the chains, or arrays, of sessions and files
	Preserved       uint64 // entries of the preserved-memory map
	Nodes           uint64 // pages of the map itself
	Sum             uint64 // over the bytes of every file, in order
}

func (c *Census) words() []*uint64 {
	return []*uint64{&c.Sessions, &c.Files, &c.Folios, &c.Pages, &c.Regions, &c.Tests, &c.Blocks, &c.Preserved, &c.Nodes, &c.Sum}
}

// origin is what B has to know of A besides the census.
type origin struct {
	from  *Generation
	plain bool
	odd   Odd
}

// tree returns the sub-tree in which census and origin travel: a device tree, as
// all generations can carry one.
func (o origin) tree(c Census) node {
	var census []byte
	for _, w := range c.words() {
		census = le.AppendUint64(census, *w)
	}
	traits := []byte{0}
	if o.plain {
		traits[0] = 1
	}
	return node{props: []prop{
		{"compatible", []byte("ferry-probe-v1\x00")}, {"producer", []byte(o.from.Name + "\x00")},
		{"plain", traits}, {"odd", le64(uint64(o.odd))}, {"census", census},
	}}
}

// parseOrigin reads what tree wrote.
func parseOrigin(n node) (o origin, c Census, err error) {
	producer, _ := n.prop("producer")
	if o.from, err = ByName(strings.TrimSuffix(string(producer), "\x00")); err != nil {
		return o, c, err
	}
	plain, _ := n.prop("plain")
	o.plain = string(plain) == "\x01"
	odd, err := n.u64("odd")
	if err != nil {
		return o, c, err
	}
	o.odd = Odd(odd)
	census, _ := n.prop("census")
	words := c.words()
	if len(census) != 8*len(words) {
		return o, c, fmt.Errorf("census of %d bytes, want %d", len(census), 8*len(words))
	}
	for i, w := range words {
		*w = le.Uint64(census[8*i:])
	}
	return o, c, nil
}

// file is what A puts into file f of session s and B expects there. Everything
// follows from the two numbers.
type file struct {
	token, size, pos uint64
	seals            uint32
	orders           []phys.Order // of the folios that hold size bytes, in file order
}

func sessionName(s int) string { return fmt.Sprintf("session-%d", s) }

// filesOf returns the number of files in session s, where others have n.
func filesOf(s, n int, odd Odd) int {
	if odd&Gaps != 0 && s%3 == 2 {
		return 0
	}
	if odd&Foreign != 0 {
		n++
	}
	return n
}

// fileOf returns the expected file: empty ones, one of a byte, some of several
// pages, and in the first session one with a huge page and one whose folios do
// not fit one page of their array.
func (o origin) fileOf(s, f int) file {
	out := file{token: uint64(f)*0x11 + 0x1a, seals: [...]uint32{0, 0xf, 1, 0x3e}[f%4]}
	if o.plain {
		out.seals = 1
	}
	switch {
	case s == 0 && f == 4:
		out.size, out.orders = 2<<20+phys.PageSize, []phys.Order{9, 0}
	case s == 0 && f == 5:
		out.size, out.orders = 300*phys.PageSize, make([]phys.Order, 300)
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

// Flags of a folio.
const (
	dirty    = 1
	uptodate = 2
)

// flagsOf returns the flags that A records for folio i of a file.
func (o origin) flagsOf(i int) uint64 {
	if o.odd&Unset != 0 {
		return uint64(i+1) % 4 // of a file of one folio: dirty, and never written
	}
	return dirty | uptodate
}

// testOrder returns the order of folio i of test_kho.
func testOrder(i int) phys.Order {
	if i == 4 {
		return 9
	}
	return phys.Order(i % 3)
}

// Streams of content that belong to no session.
const (
	testStream    = 1 << 20
	regionStream  = 1<<20 + 1
	foreignStream = 1<<20 + 2
)

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

// Layouts, in bytes, and names: see the package comment for the headers.
const (
	blockHeader  = 16
	sessionSize  = 80
	fileSize     = 64
	flbSize      = 64
	metadataSize = 73
	vmallocSlots = 511

	foreignHandler = "standin-v1"
	probeTree      = "probe" // the sub-tree that carries the census
)

//go:build linux && !metal

package kho_test

import (
	"cmp"
	"encoding/binary"
	"maps"
	"math/rand/v2"
	"slices"
	"testing"

	"ferry/fdt"
	"ferry/kho"
	"ferry/phys"
	"ferry/phys/phystest"
)

// site is a machine on which kernels of kho-v1 make one list after the other.
type site struct {
	mem     *phystest.Sparse
	scratch []phys.Range
}

// newSite returns a machine of 1 GiB, or of 6 with the hole below 4 GiB.
func newSite(t testing.TB, large bool) *site {
	s := &site{scratch: []phys.Range{{Start: 0x3000_0000, End: 0x3800_0000}}}
	ram := []phys.Range{{Start: phys.LowMemory, End: 0x3ffd_f000}}
	if large {
		s.scratch = append(s.scratch, phys.Range{Start: 0x1_4000_0000, End: 0x1_5000_0000})
		ram = []phys.Range{{Start: phys.LowMemory, End: 0xbffd_f000}, {Start: 1 << 32, End: 0x1_c000_0000}}
	}
	s.mem = phystest.NewSparse(t, ram...)
	return s
}

// traits are what lists of one run have in common.
type traits struct {
	size       uint64 // of a bitmap
	fragmented bool   // memory is in pieces
	tight      bool   // known memory begins each large window, and so do small bitmaps pages: what is hardest to tell apart
	blocks     int    // at most so many are preserved for somebody unknown
	named      bool   // somebody unknown has a sub-tree
	region     bool   // memory is reserved by name
	test       bool   // the kernel's test of handovers ran
}

// written is a list that a kernel made, by arithmetic of the test's own, and all that
// it means.
type written struct {
	*site
	testing.TB
	traits
	*rand.Rand
	data   kho.Data
	blocks map[phys.Block]bool
	root   phys.Addr // first chunk

	pieces map[phys.Addr]*piece // memory in use, by 4 MiB
	last   [11]phys.Addr        // piece that was used last for each order
	dirty  []phys.Range         // written to
	slabs  []slab
	words  []phys.Addr // of the list: where each header and element begins
	bits   []phys.Range
}

// piece is 4 MiB of blocks of one order.
type piece struct {
	order phys.Order
	used  map[phys.Addr]bool
	next  phys.Addr
}

// slab is a page of objects of 512 bytes.
type slab struct {
	at   phys.Addr
	free []int
}

const pieceSize = 4 << 20

// write makes a list.
func (s *site) write(t testing.TB, r *rand.Rand, how traits) *written {
	t.Helper()
	l := &written{site: s, TB: t, traits: how, Rand: r, blocks: map[phys.Block]bool{}, pieces: map[phys.Addr]*piece{}}
	table := s.scratch[0].Start
	page := l.edit(table, 64)
	clear(page)
	for i := range 3 {
		if i < len(s.scratch) {
			binary.LittleEndian.PutUint64(page[16*i:], uint64(s.scratch[i].Start))
			binary.LittleEndian.PutUint64(page[16*i+8:], s.scratch[i].Size())
		}
	}
	fdtAt := l.known(0)
	l.data = kho.Data{FDT: fdtAt, FDTSize: phys.PageSize, Scratch: table, ScratchSize: 48}
	w := fdt.NewWriter(l.page(fdtAt))
	w.Begin("")
	w.String("compatible", "kho-v1")
	w.Uint64("preserved-memory-map", 0)
	tree := func(name string, at phys.Addr) {
		w.Begin(name)
		w.Address("fdt", at)
		w.End()
	}
	if how.region {
		tree("memblock", l.reserve())
	}
	if how.test {
		tree("kho_test", l.testModule())
	}
	if how.named {
		at := l.known(0)
		v := fdt.NewWriter(l.page(at))
		v.Begin("")
		v.String("compatible", "vendor-v1")
		v.End()
		l.finish(v)
		tree("vendor", at)
	}
	for n := l.IntN(how.blocks + 1); n > 0; n-- {
		b := phys.Block{Order: phys.Order(l.IntN(11))}
		if l.IntN(2) == 0 {
			b.Order = 0
		}
		var ok bool
		if b.Addr, ok = l.alloc(b.Order, func(phys.Addr) bool { return true }); ok {
			l.blocks[b] = true
		}
	}
	l.list()
	w.End()
	l.finish(w)
	f := &fixture{TB: t, mem: s.mem, data: l.data}
	binary.LittleEndian.PutUint64(s.edit(t, f.value("preserved-memory-map"), 8), uint64(l.root))
	return l
}

func (s *site) edit(t testing.TB, a phys.Addr, n uint64) []byte {
	b, err := s.mem.Edit(a, n)
	if err != nil {
		t.Fatal(err)
	}
	return b
}

func (l *written) edit(a phys.Addr, n uint64) []byte { return l.site.edit(l.TB, a, n) }

func (l *written) finish(w *fdt.Writer) {
	if _, err := w.Finish(); err != nil {
		l.Fatal(err)
	}
}

// page returns the page at a, zeroed.
func (l *written) page(a phys.Addr) []byte {
	l.dirty = append(l.dirty, phys.Block{Addr: a}.Range())
	b := l.edit(a, phys.PageSize)
	clear(b)
	return b
}

// clear makes the machine's memory what it was.
func (l *written) clear() {
	for _, r := range l.dirty {
		clear(l.edit(r.Start, r.Size()))
	}
}

// alloc takes a block from where the kernel would: one after the other in fresh
// memory, anywhere in fragmented memory, as long as want takes it.
func (l *written) alloc(o phys.Order, want func(phys.Addr) bool) (phys.Addr, bool) {
	for range 2000 {
		p := l.last[o]
		if old := l.pieces[p]; p == 0 || l.fragmented && l.IntN(4) == 0 || !l.fragmented && old.next >= pieceSize {
			ram := l.mem.RAM()[l.IntN(len(l.mem.RAM()))]
			p = (ram.Start + phys.Addr(l.Uint64N(ram.Size()))) &^ (pieceSize - 1)
			if p < ram.Start || p+pieceSize > ram.End || l.pieces[p] != nil && l.pieces[p].order != o ||
				slices.ContainsFunc(l.scratch, func(s phys.Range) bool { return s.Overlaps(phys.Range{Start: p, End: p + pieceSize}) }) {
				continue
			}
			if l.pieces[p] == nil {
				l.pieces[p] = &piece{order: o, used: map[phys.Addr]bool{}}
			}
		}
		in := l.pieces[p]
		off := in.next
		if l.fragmented {
			off = phys.Addr(l.IntN(pieceSize)) &^ phys.Addr(o.Bytes()-1)
		}
		if in.used[off] || off >= pieceSize || !want(p+off) {
			l.last[o] = 0
			continue
		}
		in.used[off], in.next, l.last[o] = true, off+phys.Addr(o.Bytes()), p
		return p + off, true
	}
	return 0, false
}

// known takes a block that something names, and preserves it.
func (l *written) known(o phys.Order) phys.Addr {
	reach := uint64(128<<20) << o
	a, ok := l.alloc(o, func(a phys.Addr) bool { return !l.tight || uint64(a)%reach < reach/8 })
	if !ok {
		l.Fatal("no memory")
	}
	l.blocks[phys.Block{Addr: a, Order: o}] = true
	return a
}

// reserve makes the sub-tree of memory reserved by name.
func (l *written) reserve() phys.Addr {
	at := l.known(0)
	var regions []kho.Region
	for i := range 1 + l.IntN(3) {
		o := phys.Order(l.IntN(9))
		a := l.known(o)
		regions = append(regions, kho.Region{Name: string(rune('a' + i)), Range: phys.Block{Addr: a, Order: o}.Range()})
	}
	if _, err := kho.PutReserved(l.page(at), regions); err != nil {
		l.Fatal(err)
	}
	return at
}

// testModule makes the sub-tree of the kernel's test: up to 6.17 with its list
// inside, later in memory of its own.
func (l *written) testModule() phys.Addr {
	at := l.known(0)
	var list []byte
	n := 1 + l.IntN(40)
	for range n {
		o := phys.Order(l.IntN(9))
		list = binary.LittleEndian.AppendUint64(list, uint64(l.known(o))|uint64(o))
	}
	if l.size == 4096 {
		chunk, array := l.known(0), l.known(0)
		copy(l.page(array), list)
		binary.LittleEndian.PutUint64(l.page(chunk)[8:], uint64(array))
		list = kho.Vmalloc{First: chunk, Pages: 1, Flags: 1}.Append(nil)
	}
	w := fdt.NewWriter(l.page(at))
	w.Begin("")
	w.String("compatible", "kho-test-v1")
	w.Property("magic", binary.LittleEndian.AppendUint32(nil, 0x4b484f21))
	w.Begin("data")
	w.Property("nr_folios", binary.LittleEndian.AppendUint32(nil, uint32(n)))
	w.Property("folios_info", list)
	w.End()
	w.End()
	l.finish(w)
	return at
}

// list writes chunks and bitmaps, as xa_for_each finds them.
func (l *written) list() {
	type window struct {
		order phys.Order
		start uint64
	}
	windows := map[window][]byte{}
	for b := range l.blocks {
		reach := l.size * 8 << (12 + b.Order)
		w := window{b.Order, uint64(b.Addr) / reach * reach}
		if windows[w] == nil {
			windows[w] = make([]byte, l.size)
		}
		bit := (uint64(b.Addr) - w.start) >> (12 + b.Order)
		windows[w][bit/8] |= 1 << (bit % 8)
	}
	if l.size == 4096 && l.IntN(4) == 0 { // whose blocks were taken back, which 6.16 and 6.17 do not
		o := l.IntN(11)
		if w := (window{phys.Order(o), uint64(l.IntN(8)) << (27 + o)}); w.start < 1<<30 && windows[w] == nil {
			windows[w] = make([]byte, l.size)
		}
	}
	all := slices.SortedFunc(maps.Keys(windows), func(a, b window) int {
		return cmp.Or(cmp.Compare(a.order, b.order), cmp.Compare(a.start, b.start))
	})
	places := make(map[window]phys.Addr)
	for _, i := range l.Perm(len(all)) { // preserved in any order
		places[all[i]] = l.bitmap(windows[all[i]])
	}
	var chunk []byte
	for i, w := range all {
		n := uint32(255)
		if chunk != nil && all[i-1].order == w.order {
			n = binary.LittleEndian.Uint32(chunk[12:])
		}
		if n == 255 {
			at := l.node()
			if chunk == nil {
				l.root = at
			} else {
				binary.LittleEndian.PutUint64(chunk, uint64(at))
			}
			chunk, n = l.page(at), 0
			l.words = append(l.words, at)
			binary.LittleEndian.PutUint32(chunk[8:], uint32(w.order))
		}
		binary.LittleEndian.PutUint64(chunk[16+16*n:], w.start)
		binary.LittleEndian.PutUint64(chunk[24+16*n:], uint64(places[w]))
		binary.LittleEndian.PutUint32(chunk[12:], n+1)
		l.words = append(l.words, l.dirty[len(l.dirty)-1].Start+phys.Addr(16+16*n))
	}
}

// node takes a page of the kernel's that is not preserved.
func (l *written) node() phys.Addr {
	a, ok := l.alloc(0, func(phys.Addr) bool { return true })
	if !ok {
		l.Fatal("no memory")
	}
	return a
}

// bitmap lays a bitmap: in a page, or among other objects of its size.
func (l *written) bitmap(content []byte) phys.Addr {
	if l.size == 4096 {
		at := l.node()
		copy(l.page(at), content)
		l.bits = append(l.bits, phys.Block{Addr: at}.Range())
		return at
	}
	i := len(l.slabs) - 1
	if l.fragmented && i > 0 {
		i = l.IntN(i + 1)
	}
	if i < 0 || l.tight || len(l.slabs[i].free) == 0 || l.IntN(8) == 0 {
		i = len(l.slabs)
		l.slabs = append(l.slabs, l.slab())
	}
	s := &l.slabs[i]
	slot := 0
	if !l.tight {
		j := 0
		if l.fragmented {
			j = l.IntN(len(s.free))
		}
		slot = s.free[j]
		s.free = slices.Delete(s.free, j, j+1)
	}
	at := s.at + phys.Addr(512*slot)
	copy(l.edit(at, 512), content)
	l.bits = append(l.bits, phys.Range{Start: at, End: at + 512})
	return at
}

// slab makes a page of objects of others, some of them free.
func (l *written) slab() slab {
	at := l.node()
	page := l.page(at)
	mood := l.IntN(7)
	for slot := range 8 {
		object := page[512*slot:][:512]
		kind := mood
		if kind > 3 {
			kind = l.IntN(8)
		}
		switch kind {
		case 0: // never used
		case 1: // free: the address of the next one in its middle
			binary.LittleEndian.PutUint64(object[256:], 0xffff_8880_0000_0000|uint64(l.node()))
		case 2: // another bitmap, or something as sparse
			for range 1 + l.IntN(4) {
				object[l.IntN(512)] |= 1 << l.IntN(8)
			}
		case 3: // numbers and flags
			for i := 0; i < 512; i += 8 << l.IntN(4) {
				binary.LittleEndian.PutUint64(object[i:], l.Uint64N(1<<l.IntN(20)))
			}
		case 4: // pointers
			for i := 0; i < 512; i += 8 * (1 + l.IntN(10)) {
				binary.LittleEndian.PutUint64(object[i:], 0xffff_8880_0000_0000|l.Uint64N(1<<30)&^7)
			}
		case 5: // poison
			for i := range object {
				object[i] = 0x6b
			}
		case 6:
			for i := range object {
				object[i] = byte(l.Uint32())
			}
		case 7:
			copy(object, "/lib/systemd/systemd-journald.service")
		}
	}
	s := slab{at: at, free: []int{0, 1, 2, 3, 4, 5, 6, 7}}
	if l.fragmented {
		l.Shuffle(8, func(i, j int) { s.free[i], s.free[j] = s.free[j], s.free[i] })
		s.free = s.free[:1+l.IntN(8)]
	} else if first := l.IntN(8); !l.tight {
		s.free = s.free[first:]
	}
	return s
}

//go:build linux

package dump

import (
	"bytes"
	"compress/zlib"
	"errors"
	"fmt"
	"io"
	"math/bits"

	"github.com/anchore/go-lzo"
	"github.com/klauspost/compress/snappy"
	"github.com/klauspost/compress/zstd"

	"ferry/phys"
)

// The kdump-compressed form. Blocks have the size of a page:
//
//	block 0         struct disk_dump_header: signature, version, sizes in blocks
//	block 1         struct kdump_sub_header: dump level, number of pages in 64 bits
//	then            two bitmaps of equal size, a bit a page: what is RAM, and what the dump holds
//	then            a descriptor of 24 bytes for each page that it holds, and the data
//
// Source: makedumpfile's diskdump_mod.h and IMPLEMENTATION; QEMU's include/sysemu/dump.h
// (DiskDumpHeader64, KdumpSubHeader64, PageDescriptor).
const (
	kdumpMagic = "KDUMP   "

	kdumpVersion   = 8   // offsets in the header: s32
	kdumpStatus    = 424 // u32
	kdumpBlockSize = 428 // s32
	kdumpSubSize   = 432 // s32, in blocks
	kdumpBitmaps   = 436 // u32, in blocks
	kdumpPages     = 440 // u32, pages up to the end of RAM

	kdumpLevel   = 8  // offsets in the sub-header: s32, from version 1 on
	kdumpSplit   = 12 // s32, from version 2 on
	kdumpPages64 = 96 // u64, from version 6 on

	descriptor = 24 // bytes: offset s64, size u32, flags u32, page flags u64

	kdumpIncomplete = 0x8 // bit of the status
)

// How a page is packed, flags of its descriptor.
const (
	packedZlib   = 0x1
	packedLZO    = 0x2
	packedSnappy = 0x4
	vmemmap      = 0x10 // excluded pages of struct page: never packed data
	packedZstd   = 0x20
	packedKnown  = packedZlib | packedLZO | packedSnappy | packedZstd
)

func isKdump(head []byte) bool { return bytes.Equal(head, []byte(kdumpMagic)) }

// pages is memory whose pages are packed one by one.
type pages struct {
	file  image
	held  []byte // bit for each page: the dump has it
	ranks []uint64
	table []byte // descriptors
	zero  uint64 // offset of a page of zeros that stands for many; 0 for none
	level uint32

	unpack  unpacker
	cache   [cachedPages]cached   // pages, by the last bits of their numbers
	windows [cachedWindows]cached // the last windows of more than a page
	next    int
}

const (
	perRank       = 512 // pages for which one rank is kept
	cachedPages   = 1024
	cachedWindows = 8
	maxWindow     = 4 << 20 // bytes of a window that is kept
	maxUnpacked   = 1 << 20 // bytes that unpacking a page may take
)

type cached struct {
	at   phys.Addr
	data []byte
}

// readKdump reads the headers and the bitmaps, and proves the descriptors.
func (m *Memory) readKdump(f image) error {
	h, ok := f.bytes(0, phys.PageSize)
	sub, ok2 := f.bytes(phys.PageSize, phys.PageSize)
	if !ok || !ok2 {
		return fmt.Errorf("kdump-compressed: %d bytes, want two headers of %d: %w", f.size, phys.PageSize, ErrTruncated)
	}
	version, size := le.Uint32(h[kdumpVersion:]), le.Uint32(h[kdumpBlockSize:])
	if size != phys.PageSize {
		return fmt.Errorf("kdump-compressed: blocks of %d bytes, want %d: %w", size, phys.PageSize, ErrFormat)
	}
	if version < 1 || version > 6 {
		return fmt.Errorf("kdump-compressed: version %d, want 1 to 6: %w", version, ErrFormat)
	}
	if le.Uint32(h[kdumpStatus:])&kdumpIncomplete != 0 {
		return fmt.Errorf("kdump-compressed: its status says that it is incomplete, the disk was full: %w", ErrTruncated)
	}
	p := &pages{file: f, level: le.Uint32(sub[kdumpLevel:])}
	if version >= 2 && le.Uint32(sub[kdumpSplit:]) != 0 {
		return fmt.Errorf("kdump-compressed: one part of a dump that was split (join them with makedumpfile --reassemble): %w", ErrFormat)
	}
	n := uint64(le.Uint32(h[kdumpPages:]))
	if version >= 6 {
		n = le.Uint64(sub[kdumpPages64:])
	}
	first := (1 + uint64(le.Uint32(h[kdumpSubSize:]))) * phys.PageSize
	bitmap := uint64(le.Uint32(h[kdumpBitmaps:])) / 2 * phys.PageSize
	ram, ok := f.bytes(first, bitmap)
	held, ok2 := f.bytes(first+bitmap, bitmap)
	switch {
	case !ok || !ok2:
		return fmt.Errorf("kdump-compressed: two bitmaps of %#x bytes at %#x of %#x: %w", bitmap, first, f.size, ErrTruncated)
	case n > bitmap*8:
		return fmt.Errorf("kdump-compressed: %d pages, and bitmaps for %d: %w", n, bitmap*8, ErrDamaged)
	}
	ram, p.held = ram[:(n+7)/8], held[:(n+7)/8]
	count := p.rank(n)
	at := first + 2*bitmap
	if count > f.size/descriptor {
		return fmt.Errorf("kdump-compressed: %d pages in a file of %#x bytes: %w", count, f.size, ErrTruncated)
	}
	if p.table, ok = f.bytes(at, count*descriptor); !ok {
		return fmt.Errorf("kdump-compressed: %d descriptors at %#x of %#x bytes: %w", count, at, f.size, ErrTruncated)
	}
	used, err := p.prove()
	if err != nil {
		return err
	}
	m.pages, m.form = p, "kdump-compressed"+used
	m.ram = runs(ram, n, func(uint64) bool { return true })
	m.ram = phys.NewRanges(append(m.ram, runs(p.held, n, func(uint64) bool { return true })...)...)
	rank := -1
	m.stored = runs(p.held, n, func(uint64) bool { rank++; return p.zero == 0 || le.Uint64(p.table[rank*descriptor:]) != p.zero })
	return m.seal()
}

// rank counts the pages that are held, and returns how many there are below n.
func (p *pages) rank(n uint64) (count uint64) {
	for i, b := range p.held {
		if i%(perRank/8) == 0 {
			p.ranks = append(p.ranks, count)
		}
		if uint64(i)*8+8 > n {
			b &= 1<<(n%8) - 1
		}
		count += uint64(bits.OnesCount8(b))
	}
	return count
}

// runs returns the memory of the first n pages whose bits are set and that keep accepts;
// it is asked for each of them in ascending order.
func runs(bitmap []byte, n uint64, keep func(uint64) bool) (rs phys.Ranges) {
	for i, b := range bitmap {
		for ; b != 0; b &= b - 1 {
			pfn := uint64(i)*8 + uint64(bits.TrailingZeros8(b))
			if pfn >= n || !keep(pfn) {
				continue
			}
			r := phys.Block{Addr: phys.PFN(pfn).Addr()}.Range()
			if k := len(rs) - 1; k >= 0 && rs[k].End == r.Start {
				rs[k].End = r.End
			} else {
				rs = append(rs, r)
			}
		}
	}
	return rs
}

// prove proves each descriptor against the file, and says how the pages are packed. Who
// writes such a dump lets all pages of zeros have the data that comes first: prove finds
// out whether they do.
func (p *pages) prove() (used string, err error) {
	all, lowest, size := uint32(0), ^uint64(0), uint32(0)
	for t := p.table; len(t) > 0; t = t[descriptor:] {
		off, n, flags := le.Uint64(t), le.Uint32(t[8:]), le.Uint32(t[12:])
		if off > p.file.size || uint64(n) > p.file.size-off {
			return "", fmt.Errorf("kdump-compressed: descriptor %d: %#x bytes at %#x of %#x: %w", (len(p.table)-len(t))/descriptor, n, off, p.file.size, ErrTruncated)
		}
		all |= flags
		if off < lowest {
			lowest, size = off, n
		}
	}
	for flag, name := range map[uint32]string{packedZlib: "zlib", packedLZO: "lzo", packedSnappy: "snappy", packedZstd: "zstd"} {
		if all&packedKnown == flag {
			used = ", " + name
		}
	}
	if size > 0 {
		for t := p.table; len(t) > 0; t = t[descriptor:] {
			if le.Uint64(t) == lowest {
				var b [phys.PageSize]byte
				if p.data(t, b[:]) == nil && b == [phys.PageSize]byte{} {
					p.zero = lowest
				}
				break
			}
		}
	}
	return used, nil
}

// find returns the descriptor of a page, nil if the dump does not hold it.
func (p *pages) find(pfn phys.PFN) []byte {
	n := uint64(pfn)
	if n/8 >= uint64(len(p.held)) || p.held[n/8]>>(n%8)&1 == 0 {
		return nil
	}
	rank := p.ranks[n/perRank]
	for i := n / perRank * (perRank / 8); i < n/8; i++ {
		rank += uint64(bits.OnesCount8(p.held[i]))
	}
	rank += uint64(bits.OnesCount8(p.held[n/8] & (1<<(n%8) - 1)))
	return p.table[rank*descriptor:][:descriptor]
}

// view returns n bytes at a, all of them RAM.
func (p *pages) view(a phys.Addr, n uint64) ([]byte, error) {
	if n > maxCopy {
		return nil, tooLarge(a, n)
	}
	if off := uint64(a) % phys.PageSize; off+n <= phys.PageSize {
		b, err := p.page(a.Page())
		if err != nil {
			return nil, err
		}
		return b[off : off+n : off+n], nil
	}
	for _, w := range p.windows {
		if off := uint64(a - w.at); a >= w.at && off < uint64(len(w.data)) && n <= uint64(len(w.data))-off {
			return w.data[off : off+n : off+n], nil
		}
	}
	b := make([]byte, n)
	for done := uint64(0); done < n; {
		at := a + phys.Addr(done)
		d := p.find(at.PFN())
		if d == nil {
			return nil, p.leftOut(at.Page())
		}
		off := uint64(at) % phys.PageSize
		k := min(phys.PageSize-off, n-done)
		switch {
		case p.zero != 0 && le.Uint64(d) == p.zero: // b is zero
		case k == phys.PageSize:
			if err := p.data(d, b[done:done+k]); err != nil {
				return nil, p.bad(at, err)
			}
		default:
			page, err := p.page(at.Page())
			if err != nil {
				return nil, err
			}
			copy(b[done:done+k], page[off:])
		}
		done += k
	}
	if n <= maxWindow {
		p.windows[p.next%cachedWindows] = cached{a, b}
		p.next++
	}
	return b, nil
}

// page returns the page at a, which is aligned.
func (p *pages) page(a phys.Addr) ([]byte, error) {
	c := &p.cache[uint64(a.PFN())%cachedPages]
	if c.at == a && c.data != nil {
		return c.data, nil
	}
	d := p.find(a.PFN())
	if d == nil {
		return nil, p.leftOut(a)
	}
	b := make([]byte, phys.PageSize)
	if err := p.data(d, b); err != nil {
		return nil, p.bad(a, err)
	}
	*c = cached{a, b}
	return b, nil
}

func (p *pages) leftOut(a phys.Addr) error {
	return leftOut(a, fmt.Sprintf("makedumpfile -d %d left it out", p.level))
}

func (p *pages) bad(a phys.Addr, err error) error {
	return &phys.Error{Object: "page of the dump", Addr: a, Found: err.Error(), Want: "4096 bytes", Hint: "the dump is damaged there", Err: ErrDamaged}
}

// data unpacks the page of a descriptor into b, a page.
func (p *pages) data(d, b []byte) error {
	n, flags := le.Uint32(d[8:]), le.Uint32(d[12:])
	packed, ok := p.file.bytes(le.Uint64(d), uint64(n))
	if !ok {
		return ErrTruncated
	}
	if n > 2*phys.PageSize {
		return fmt.Errorf("%d bytes packed", n)
	}
	return p.unpack.page(b, packed, flags)
}

// unpacker unpacks pages. The zero value is ready.
type unpacker struct {
	zlib io.ReadCloser
	zstd *zstd.Decoder
}

// page unpacks packed into b, which is a page and all of it afterwards.
func (u *unpacker) page(b, packed []byte, flags uint32) (err error) {
	got := b
	switch flags {
	case 0:
		got = packed
	case packedZlib:
		in := bytes.NewReader(packed)
		if u.zlib == nil {
			u.zlib, err = zlib.NewReader(in)
		} else {
			err = u.zlib.(zlib.Resetter).Reset(in, nil)
		}
		if err != nil {
			return fmt.Errorf("zlib: %w", err)
		}
		n, err := io.ReadFull(u.zlib, b)
		if err != nil {
			return fmt.Errorf("zlib: %d bytes: %w", n, err)
		}
		if n, _ := u.zlib.Read(make([]byte, 1)); n != 0 {
			return errors.New("zlib: more than a page")
		}
	case packedLZO:
		n, err := lzo.Decompress(packed, b)
		if err != nil {
			return fmt.Errorf("lzo: %w", err)
		}
		got = b[:n]
	case packedSnappy:
		n, err := snappy.DecodedLen(packed)
		if err != nil {
			return fmt.Errorf("snappy: %w", err)
		}
		if n != phys.PageSize {
			return fmt.Errorf("snappy: %d bytes packed", n)
		}
		if got, err = snappy.Decode(b, packed); err != nil {
			return fmt.Errorf("snappy: %w", err)
		}
	case packedZstd:
		if u.zstd == nil {
			if u.zstd, err = zstd.NewReader(nil, zstd.WithDecoderConcurrency(1), zstd.WithDecoderMaxMemory(maxUnpacked), zstd.WithDecoderLowmem(true)); err != nil {
				return err
			}
		}
		if got, err = u.zstd.DecodeAll(packed, b[:0]); err != nil {
			return fmt.Errorf("zstd: %w", err)
		}
	case vmemmap:
		return errors.New("left out by makedumpfile -e")
	default:
		return fmt.Errorf("packed in a way that is not known, flags %#x", flags)
	}
	if len(got) != phys.PageSize {
		return fmt.Errorf("%d bytes unpacked", len(got))
	}
	if &got[0] != &b[0] {
		copy(b, got)
	}
	return nil
}

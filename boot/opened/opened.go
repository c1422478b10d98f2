// Package opened is a kernel that was decompressed ahead of time: the form in
// which `ferry pack` puts it into a payload, so that the stage enters startup_64 of
// vmlinux itself and the kernel's own decompressor never runs. Package extract makes
// it of a bzImage; here it is read, placed and relocated as that decompressor does.
//
// The part comes with the payload and is untrusted: lengths, counts and places are
// checked against it before anything is written, nothing is allocated, and what is
// returned are windows on it. Package payload knows who signed it.
//
// The part, little endian:
//
//	0     magic, "FERRYVMX"
//	8     u32 version, u32 length of this header
//	16    u64 physical address that the kernel is linked for
//	24    u64 bytes of the image, from there to the last that the kernel's file has
//	32    u64 bytes of memory, from there to the last that the kernel uses, in 2 MiB
//	40    u64 offset of the entry in the image
//	48    u64 alignment of the place
//	56    u64 bytes of virtual memory for kernel and place: KERNEL_IMAGE_SIZE
//	64    u64 addresses of 64 bits to relocate
//	72    u64 addresses of 32 bits to relocate
//	80    u64 offset in the part of the image, its pages that are not zero
//	88    u64 offset of a bit for each page of the image: whether it is there
//	96    u64 offset of the two tables, each of u32 offsets in the image, ascending:
//	      where the addresses of 64 bits lie, and those of 32
//	104   u64 offset of the setup header, u64 length
//	120   u64 offset of the release, u64 length
//	4096  the image, then the bits, then the tables
//
// Sources: from Linux 7.3 arch/x86/boot/compressed/misc.c (parse_elf,
// handle_relocations, extract_kernel), kaslr.c (choose_random_location), and
// arch/x86/kernel/head_64.S and arch/x86/boot/startup/map_kernel.c for what the
// kernel demands of its place. The same in 6.17 to 7.2.
package opened

import (
	"encoding/binary"
	"errors"
	"fmt"
	"math/bits"

	"ferry/phys"
)

// ErrPart is a part that is no opened kernel.
var ErrPart = errors.New("opened: not an opened kernel")

// Geometry of the part.
const (
	Magic      = "FERRYVMX"
	version    = 1
	headerSize = phys.PageSize

	offVersion    = 8
	offLength     = 12
	offLink       = 16
	offImage      = 24
	offMemory     = 32
	offEntry      = 40
	offAlignment  = 48
	offSpace      = 56
	offWide       = 64
	offNarrow     = 72
	offPages      = 80
	offPresent    = 88
	offTables     = 96
	offSetup      = 104
	offSetupLen   = 112
	offRelease    = 120
	offReleaseLen = 128
	offText       = 256 // the setup header, and behind it the release
)

const (
	wide     = 8 // bytes of an address
	narrow   = 4
	place    = 4       // bytes of an entry of the tables
	huge     = 2 << 20 // the kernel maps itself by pages of this size
	maxAlign = 1 << 30

	// MaxAddr is the end of the memory in which an opened kernel may lie: the least
	// MAXMEM of the kernel's two ways of paging.
	MaxAddr phys.Addr = 1 << 46

	// BaseVirtual is where the kernel maps physical address 0 of what it is linked
	// for: __START_KERNEL_map.
	BaseVirtual = 0xffffffff80000000

	// FixedSpace is KERNEL_IMAGE_SIZE of a kernel that is not randomised, RandomSpace
	// of one that is.
	FixedSpace  = 512 << 20
	RandomSpace = 1 << 30
)

// Kernel is an opened kernel: windows on a part that was checked.
type Kernel struct {
	Link      phys.Addr // physical address that it is linked for: LOAD_PHYSICAL_ADDR
	Image     uint64    // bytes of the image
	Memory    uint64    // bytes that it takes from its place on: image, .bss and .brk, in whole pages of 2 MiB
	Entry     uint64    // of startup_64, counted from its place
	Alignment uint64    // of its place, a power of two of at least 2 MiB
	Space     uint64    // KERNEL_IMAGE_SIZE
	Setup     []byte    // setup header of its bzImage, from 0x1f1 on; nobody checked it
	Release   string

	pages        []byte // of the image, those that are not zero
	present      []byte // a bit for each page of the image
	wide, narrow []byte // where addresses are to be relocated
}

// refuse returns the error that a part is none.
func refuse(what string, found any, want string, args ...any) error {
	return fmt.Errorf("%w: %s %v, want %s", ErrPart, what, found, fmt.Sprintf(want, args...))
}

// Parse checks a part. The Kernel keeps windows on it, and it must not change
// while that is in use.
func Parse(part []byte) (*Kernel, error) {
	if len(part) < headerSize {
		return nil, refuse("a part of", len(part), "at least %d bytes", headerSize)
	}
	u32 := func(off int) uint32 { return binary.LittleEndian.Uint32(part[off:]) }
	u64 := func(off int) uint64 { return binary.LittleEndian.Uint64(part[off:]) }
	switch {
	case string(part[:len(Magic)]) != Magic:
		return nil, refuse("magic", phys.Quote(part[:len(Magic)]), "%s", phys.Quote(Magic))
	case u32(offVersion) != version:
		return nil, refuse("version", u32(offVersion), "%d", version)
	case u32(offLength) != headerSize:
		return nil, refuse("header length", u32(offLength), "%d", headerSize)
	}
	k := &Kernel{
		Link:      phys.Addr(u64(offLink)),
		Image:     u64(offImage),
		Memory:    u64(offMemory),
		Entry:     u64(offEntry),
		Alignment: u64(offAlignment),
		Space:     u64(offSpace),
	}
	if err := k.check(); err != nil {
		return nil, err
	}
	if err := k.cut(part, u64); err != nil {
		return nil, err
	}
	if err := k.checkPages(); err != nil {
		return nil, err
	}
	if err := k.checkTable("64-bit", k.wide, wide); err != nil {
		return nil, err
	}
	return k, k.checkTable("32-bit", k.narrow, narrow)
}

// check looks at the numbers that say where the kernel may lie.
func (k *Kernel) check() error {
	switch {
	case k.Space != FixedSpace && k.Space != RandomSpace:
		return refuse("virtual memory", k.Space, "%d or %d", FixedSpace, RandomSpace)
	case k.Alignment < huge || k.Alignment > maxAlign || bits.OnesCount64(k.Alignment) != 1:
		return refuse("alignment", k.Alignment, "a power of two from %d to %d", huge, maxAlign)
	case k.Link == 0 || !k.Link.Aligned(k.Alignment) || uint64(k.Link) >= k.Space:
		return refuse("physical address", k.Link, "a multiple of %#x below %#x", k.Alignment, k.Space)
	case k.Memory == 0 || k.Memory%huge != 0 || k.Memory > k.Space-uint64(k.Link):
		return refuse("memory", k.Memory, "whole 2 MiB, at most %d", k.Space-uint64(k.Link))
	case k.Image == 0 || k.Image > k.Memory:
		return refuse("image", k.Image, "1 to %d bytes", k.Memory)
	case k.Entry >= k.Image:
		return refuse("entry", k.Entry, "less than %d", k.Image)
	}
	return nil
}

// cut takes the windows on the part. Each begins where the one before ends, and
// the last ends with the part.
func (k *Kernel) cut(part []byte, u64 func(int) uint64) error {
	if text := uint64(offText); u64(offSetup) != text {
		return refuse("setup header at", u64(offSetup), "%d", text)
	}
	setup, release := u64(offSetupLen), u64(offReleaseLen)
	if setup > headerSize-offText || release > headerSize-offText-setup {
		return refuse("setup header and release of", fmt.Sprintf("%d and %d bytes", setup, release), "%d at most", headerSize-offText)
	}
	if u64(offRelease) != offText+setup {
		return refuse("release at", u64(offRelease), "%d", offText+setup)
	}
	k.Setup = part[offText : offText+setup : offText+setup]
	k.Release = string(part[offText+setup:][:release])

	rest := uint64(len(part))
	pages, present, tables := u64(offPages), u64(offPresent), u64(offTables)
	wides, narrows, bitmap := u64(offWide), u64(offNarrow), (k.count()+7)/8
	switch {
	case pages != headerSize:
		return refuse("image at", pages, "%d", headerSize)
	case present < pages || present > rest || (present-pages)%phys.PageSize != 0:
		return refuse("bits of the pages at", present, "whole pages behind the header, in %d bytes", rest)
	case bitmap > rest-present || tables != present+bitmap:
		return refuse("tables at", tables, "%d, in %d bytes", present+bitmap, rest)
	case wides > rest/place || narrows > rest/place || (wides+narrows)*place != rest-tables:
		return refuse("tables of", fmt.Sprintf("%d and %d entries", wides, narrows), "the %d bytes that are left", rest-tables)
	}
	k.pages, k.present = part[pages:present:present], part[present:tables:tables]
	k.wide, k.narrow = part[tables:tables+wides*place], part[tables+wides*place:]
	return nil
}

// count returns how many pages the image has.
func (k *Kernel) count() uint64 { return (k.Image + phys.PageSize - 1) / phys.PageSize }

// checkPages wants as many bits as there are pages, and none behind the last. What
// follows the image in its last page is zero.
func (k *Kernel) checkPages() error {
	n := uint64(0)
	for _, b := range k.present {
		n += uint64(bits.OnesCount8(b))
	}
	if n != uint64(len(k.pages))/phys.PageSize {
		return refuse("bits for", fmt.Sprintf("%d pages", n), "%d", len(k.pages)/phys.PageSize)
	}
	last := k.count() - 1
	if tail := k.present[len(k.present)-1] >> (last % 8); tail > 1 {
		return refuse("bits behind the last page", tail>>1, "0")
	} else if tail == 0 {
		return nil
	}
	if end := k.Image % phys.PageSize; end != 0 {
		for _, b := range k.pages[uint64(len(k.pages))-phys.PageSize+end:] {
			if b != 0 {
				return refuse("bytes behind the image", b, "0")
			}
		}
	}
	return nil
}

// checkTable wants each address to lie in the image, behind the one before. A
// kernel without room to move has none.
func (k *Kernel) checkTable(name string, table []byte, size uint64) error {
	if len(table) > 0 && k.Space != RandomSpace {
		return refuse(name+" relocations", len(table)/place, "none in a kernel that is not randomised")
	}
	if uint64(len(table)) > 0 && k.Image < size {
		return refuse(name+" relocations", len(table)/place, "none in an image of %d bytes", k.Image)
	}
	next, end := uint64(0), k.Image-size
	for t := table; len(t) >= place; t = t[place:] {
		at := uint64(binary.LittleEndian.Uint32(t))
		if at < next || at > end {
			return refuse(fmt.Sprintf("%s relocation %d at", name, (len(table)-len(t))/place), at, "%d to %d", next, end)
		}
		next = at + size
	}
	return nil
}

// Pages returns what the image has except for its pages of zeros, in order.
func (k *Kernel) Pages() []byte { return k.pages }

// Relocations returns how many addresses are relocated.
func (k *Kernel) Relocations() int { return (len(k.wide) + len(k.narrow)) / place }

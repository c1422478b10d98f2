// Package extract opens a bzImage: it makes of the kernel inside what its own
// decompressor would leave in memory, in the form of package opened. It belongs to
// the host tool and is not linked into the stage.
//
// Image and decompressed kernel come from a distribution or a build of the
// operator's own and are untrusted: offsets and counts are checked against them. What
// cannot be opened as the decompressor would is refused with the reason, and is
// packed as it is.
//
// The kernel decides by its structure, never by its version. Sources: the Linux that
// package opened names; arch/x86/tools/relocs.c and scripts/Makefile.vmlinux for the
// table behind the ELF file.
package extract

import (
	"bytes"
	"encoding/binary"
	"errors"
	"fmt"
	"slices"

	"ferry/boot"
	"ferry/boot/opened"
	"ferry/boot/protocol"
)

// ErrOpen is wrapped by the reasons for which a kernel is not opened.
var ErrOpen = errors.New("extract: not opened")

// refuse returns the error that a kernel is not opened.
func refuse(format string, args ...any) error {
	return fmt.Errorf("%w: %w", ErrOpen, fmt.Errorf(format, args...))
}

// kaslr is a message of the decompressor of a kernel that moves itself
// (CONFIG_RANDOMIZE_BASE), which is uncompressed in its image.
var kaslr = []byte("Physical KASLR disabled: no suitable memory region!\x00")

// Open opens the kernel of a bzImage. vmlinux is that kernel decompressed, with all
// that is behind it, as [vmlinux.Decompress] returns it.
func Open(image, vmlinux []byte) (*opened.Image, error) {
	k, err := boot.ParseKernel(image)
	if err != nil {
		return nil, err
	}
	switch {
	case !k.Relocatable:
		return nil, refuse("it is not relocatable")
	case !k.FiveLevel:
		return nil, refuse("it cannot be entered with five levels of page tables (no XLF_5LEVEL)")
	}
	f, err := parseELF(vmlinux)
	if err != nil {
		return nil, err
	}
	if f.link != k.PrefAddress {
		return nil, refuse("it is linked for %v, but its header names %v", f.link, k.PrefAddress)
	}
	i := &opened.Image{
		Link: f.link, Memory: f.memory, Entry: f.entry, Alignment: k.Alignment, Space: opened.FixedSpace,
		Setup:   bytes.Clone(image[protocol.OffHeader : protocol.OffMagic+int(image[protocol.OffHeaderLen])]),
		Release: k.Release,
		Bytes:   f.image,
	}
	if table := vmlinux[f.end:]; len(table) > 0 {
		i.Space = opened.RandomSpace
		if i.Wide, i.Narrow, err = f.relocations(table); err != nil {
			return nil, err
		}
	} else if bytes.Contains(image, kaslr) {
		return nil, refuse("it moves itself, but no relocations follow it")
	}
	// What the stage would refuse is not opened.
	if _, err := i.Part(); err != nil {
		return nil, refuse("%w", err)
	}
	return i, nil
}

// relocations reads the table that follows an ELF file: from its end backwards
// where addresses of 32 bits lie, up to a zero, and then those of 64. Each is
// a virtual address of which the table has the lower half. The second zero begins
// the table: a third list, as kernels before 6.15 have, cannot be recognised
// otherwise.
func (f *file) relocations(table []byte) (wide, narrow []uint32, err error) {
	if len(table)%4 != 0 {
		return nil, nil, refuse("%d bytes follow its ELF file, no table of relocations", len(table))
	}
	narrow, rest, err := f.list(table, "32-bit", 4)
	if err != nil {
		return nil, nil, err
	}
	if wide, rest, err = f.list(rest, "64-bit", 8); err != nil {
		return nil, nil, err
	}
	if len(rest) > 0 {
		return nil, nil, refuse("%d bytes lie between its ELF file and the two lists of relocations", len(rest))
	}
	return wide, narrow, nil
}

// list reads the last list of the table, up to the zero before it, and returns what
// is before that.
func (f *file) list(table []byte, name string, size uint64) (places []uint32, rest []byte, err error) {
	for end := len(table) - 4; end >= 0; end -= 4 {
		v := binary.LittleEndian.Uint32(table[end:])
		if v == 0 {
			slices.Sort(places)
			return places, table[:end], nil
		}
		// Sign-extended, as the decompressor does.
		at := uint64(int64(int32(v))) - opened.BaseVirtual - uint64(f.link)
		if !f.holds(at, size) {
			return nil, nil, refuse("its %s relocation of %#x lies outside of its segments", name, v)
		}
		places = append(places, uint32(at))
	}
	return nil, nil, refuse("its list of %s relocations has no end", name)
}

// holds reports whether a segment of the file has all bytes of [at, at+size) of the
// image.
func (f *file) holds(at, size uint64) bool {
	for _, s := range f.segments {
		if at >= s.at && at < s.at+s.size && s.at+s.size-at >= size {
			return true
		}
	}
	return false
}

// hugePage is the page size by which the kernel maps itself, in bytes.
const hugePage = 2 << 20

// hugeUp rounds up to such pages.
func hugeUp(n uint64) uint64 { return (n + hugePage - 1) &^ (hugePage - 1) }

package main

import (
	"encoding/binary"
	"fmt"

	"ferry/phys"
)

// An image is what the setup header of a bzImage says about it. Source: Documentation/arch/x86/boot.rst, "The
// Real-Mode Kernel Header".
type image struct {
	FileSize    uint64 // bytes
	SetupSize   uint64 // bytes of the 16-bit part in the file
	Version     uint16 // boot protocol, 0x020f is 2.15
	LoadFlags   uint16 // xloadflags
	InitSize    uint32 // bytes of memory that belong to it
	Alignment   uint32 // of its address, a power of two
	PrefAddress phys.Addr
	CmdlineSize uint32 // longest command line in bytes, without the end
}

const (
	xlf64Bit   = 1 << 0 // has the 64-bit entry at +0x200
	xlfAbove4G = 1 << 1 // may be placed above 4 GiB
	xlf5Level  = 1 << 5 // may be entered with five levels of page tables
)

// parseImage reads the setup header. It refuses what the stage cannot start: anything that is no bzImage, that is cut
// short, or that has no 64-bit entry.
func parseImage(file []byte) (image, error) {
	im := image{FileSize: uint64(len(file))}
	if len(file) < 1024 {
		return im, fmt.Errorf("no bzImage: %d bytes, want at least 1024", len(file))
	}
	le := binary.LittleEndian
	if sig := le.Uint16(file[0x1fe:]); sig != 0xaa55 {
		return im, fmt.Errorf("no bzImage: boot flag %#04x at 0x1fe, want 0xaa55", sig)
	}
	if magic := string(file[0x202:0x206]); magic != "HdrS" {
		return im, fmt.Errorf("no bzImage: %q at 0x202, want \"HdrS\"", magic)
	}
	im.Version = le.Uint16(file[0x206:])
	if im.Version < 0x020c {
		return im, fmt.Errorf("boot protocol %d.%02d, want 2.12 or later, which has the 64-bit entry", im.Version>>8, im.Version&0xff)
	}
	if file[0x211]&1 == 0 {
		return im, fmt.Errorf("a zImage, loaded below 1 MiB: loadflags %#x", file[0x211])
	}
	sectors := uint64(file[0x1f1])
	if sectors == 0 {
		sectors = 4
	}
	im.SetupSize = (sectors + 1) * 512
	im.Alignment = le.Uint32(file[0x230:])
	im.LoadFlags = le.Uint16(file[0x236:])
	im.CmdlineSize = le.Uint32(file[0x238:])
	im.PrefAddress = phys.Addr(le.Uint64(file[0x258:]))
	im.InitSize = le.Uint32(file[0x260:])

	if im.LoadFlags&xlf64Bit == 0 {
		return im, fmt.Errorf("no 64-bit entry: xloadflags %#x, want bit 0", im.LoadFlags)
	}
	body := uint64(le.Uint32(file[0x1f4:])) * 16
	if have := im.FileSize; have <= im.SetupSize || have-im.SetupSize < body {
		return im, fmt.Errorf("cut short: %d bytes, the header says %d", have, im.SetupSize+body)
	}
	if im.Alignment == 0 || im.Alignment&(im.Alignment-1) != 0 {
		return im, fmt.Errorf("kernel_alignment %#x is no power of two", im.Alignment)
	}
	if uint64(im.InitSize) < im.FileSize-im.SetupSize {
		return im, fmt.Errorf("does not fit: init_size is %s, the image itself takes %s", size(uint64(im.InitSize)), size(im.FileSize-im.SetupSize))
	}
	return im, nil
}

package linker

import (
	"encoding/binary"
	"fmt"
)

// Fields of the setup header: offsets in the setup part, boot.rst "The
// Real-Mode Kernel Header". Fields not named here stay zero.
const (
	setupSects     = 0x1f1
	syssize        = 0x1f4
	vidMode        = 0x1fa
	bootFlag       = 0x1fe
	jump           = 0x200
	header         = 0x202
	version        = 0x206
	startSysSeg    = 0x20c
	kernelVersion  = 0x20e
	loadflags      = 0x211
	setupMoveSize  = 0x212
	code32Start    = 0x214
	initrdAddrMax  = 0x22c
	kernelAlign    = 0x230
	relocatable    = 0x234
	minAlignment   = 0x235
	xloadflags     = 0x236
	cmdlineSize    = 0x238
	prefAddress    = 0x258
	initSize       = 0x260
	kernelInfoPtr  = 0x268
	headerEnd      = 0x26c
	versionString  = 0x3d0
	setupSize      = PageSize
	setupSectors   = setupSize/512 - 1
	minAlignShift  = 12   // the board maps the image in 4 KiB pages
	maxCommandLine = 2047 // what Linux takes: the kernel before refuses to load a line that the next one could not take
)

const (
	loadedHigh = 1 // loadflags: protected-mode code at 1 MiB and above

	xlf64Bit          = 1 << 0 // 64-bit entry at +0x200
	xlfAbove4G        = 1 << 1 // kernel, zero page, command line and initrd may lie above 4 GiB
	xlf5Level         = 1 << 5 // may be entered with five page table levels; kexec insists under LA57
	xlf5LevelEnabled  = 1 << 6 // and copes with them
	kernelInfoOffset  = 0x7e0  // in the protected-mode part
	kernelInfoSize    = 16
	setupTypeMax      = 1<<31 | 10 // setup_data types known: up to SETUP_KEXEC_KHO, and SETUP_INDIRECT
	protocol2_15      = 0x020f
	vidModeNormal     = 0xffff
	bootSegment       = 0x1000
	initrdAddrHighest = 0x7fffffff
)

// setupPart returns the 16-bit part of the image: header and real-mode stub.
func setupPart(p *Params, name string) ([]byte, error) {
	stub, err := assemble(real16, headerEnd)
	if err != nil {
		return nil, fmt.Errorf("16-bit entry: %w", err)
	}
	if headerEnd+len(stub) > versionString || versionString+len(name) >= setupSize {
		return nil, fmt.Errorf("setup part: stub of %d bytes and version of %d do not fit", len(stub), len(name))
	}
	b := make([]byte, setupSize)
	le := binary.LittleEndian

	b[setupSects] = setupSectors
	le.PutUint32(b[syssize:], uint32(p.FileSize/16))
	le.PutUint16(b[vidMode:], vidModeNormal)
	le.PutUint16(b[bootFlag:], 0xaa55)
	b[jump] = 0xeb // jmp rel8 over the header; loaders take the header's length from the distance
	b[jump+1] = headerEnd - (jump + 2)
	copy(b[header:], "HdrS")
	le.PutUint16(b[version:], protocol2_15)
	le.PutUint16(b[startSysSeg:], bootSegment)
	le.PutUint16(b[kernelVersion:], versionString-0x200)
	b[loadflags] = loadedHigh
	le.PutUint16(b[setupMoveSize:], 0x8000)
	le.PutUint32(b[code32Start:], 1<<20)
	le.PutUint32(b[initrdAddrMax:], initrdAddrHighest)
	le.PutUint32(b[kernelAlign:], Alignment)
	b[relocatable] = 1
	b[minAlignment] = minAlignShift
	le.PutUint16(b[xloadflags:], xlf64Bit|xlfAbove4G|xlf5Level|xlf5LevelEnabled)
	le.PutUint32(b[cmdlineSize:], maxCommandLine)
	le.PutUint64(b[prefAddress:], PrefAddress)
	le.PutUint32(b[initSize:], uint32(p.InitSize))
	le.PutUint32(b[kernelInfoPtr:], kernelInfoOffset)

	copy(b[headerEnd:], stub)
	copy(b[versionString:], name)
	return b, nil
}

// kernelInfo writes the kernel_info structure, boot.rst "The kernel_info".
func kernelInfo(b []byte) {
	copy(b, "LToP")
	binary.LittleEndian.PutUint32(b[4:], kernelInfoSize)
	binary.LittleEndian.PutUint32(b[8:], kernelInfoSize)
	binary.LittleEndian.PutUint32(b[12:], setupTypeMax)
}

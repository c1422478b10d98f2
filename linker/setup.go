package linker

import (
	"encoding/binary"
	"fmt"

	"ferry/boot/protocol"
	"ferry/linker/header"
)

// What the setup header says. Fields that are not set stay zero.
const (
	setupSize         = PageSize
	setupSectors      = setupSize/512 - 1
	versionString     = 0x3d0 // offset in the setup part
	minAlignShift     = 12    // the board maps the image in 4 KiB pages
	maxCommandLine    = 2047  // what Linux takes: the kernel before refuses to load a line that the next one could not take
	vidModeNormal     = 0xffff
	bootSegment       = 0x1000
	setupMoveSize     = 0x8000
	initrdAddrHighest = 0x7fffffff

	kernelInfoSize = 16
	setupTypeMax   = protocol.SetupIndirect | protocol.SetupKHO // the highest setup_data type that is known, and whether in indirect nodes
)

// headerEnd is where the real-mode stub begins.
const headerEnd = protocol.HeaderEnd215

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

	b[protocol.OffSetupSects] = setupSectors
	le.PutUint32(b[protocol.OffSyssize:], uint32(p.FileSize/16))
	le.PutUint16(b[protocol.OffVidMode:], vidModeNormal)
	le.PutUint16(b[protocol.OffBootFlag:], protocol.BootFlag)
	b[protocol.OffJump] = 0xeb // jmp rel8 over the header; loaders take the header's length from the distance
	b[protocol.OffHeaderLen] = headerEnd - protocol.OffMagic
	copy(b[protocol.OffMagic:], protocol.Magic)
	le.PutUint16(b[protocol.OffVersion:], protocol.Version215)
	le.PutUint16(b[protocol.OffStartSysSeg:], bootSegment)
	le.PutUint16(b[protocol.OffRelease:], versionString-0x200)
	b[protocol.OffLoadflags] = protocol.LoadedHigh
	le.PutUint16(b[protocol.OffSetupMove:], setupMoveSize)
	le.PutUint32(b[protocol.OffCode32:], 1<<20)
	le.PutUint32(b[protocol.OffInitrdMax:], initrdAddrHighest)
	le.PutUint32(b[protocol.OffAlignment:], Alignment)
	b[protocol.OffRelocatable] = 1
	b[protocol.OffMinAlignment] = minAlignShift
	le.PutUint16(b[protocol.OffXloadflags:], protocol.XLFKernel64|protocol.XLFAbove4G|protocol.XLF5Level|protocol.XLF5LevelEnabled)
	le.PutUint32(b[protocol.OffCmdlineSize:], maxCommandLine)
	le.PutUint64(b[protocol.OffPrefAddress:], PrefAddress)
	le.PutUint32(b[protocol.OffInitSize:], uint32(p.InitSize))
	le.PutUint32(b[protocol.OffKernelInfo:], header.KernelInfo)

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

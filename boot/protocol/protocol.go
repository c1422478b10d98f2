// Package protocol is the Linux x86 boot protocol as numbers: where the fields of
// struct boot_params (the zero page), of the setup header and of setup_data nodes
// lie, what their flags mean, and by which rule an e820 map is kept.
//
// It is pure and allocates nothing, so that the board uses it before there are page
// tables, and package boot and the linker use the same. Nothing is checked here; who
// reads a page that somebody else wrote checks what it says.
//
// All numbers in memory are little endian. Sources: Documentation/arch/x86/boot.rst
// and zero-page.rst, and from Linux 7.3 arch/x86/include/uapi/asm/bootparam.h and
// setup_data.h.
package protocol

// Offsets in struct boot_params. The setup header is in it at the same offsets as
// in the first sectors of a bzImage, see below.
const (
	PageSize = 4096 // bytes of the zero page

	OffRSDP         = 0x070 // u64 acpi_rsdp_addr
	OffExtInitrd    = 0x0c0 // u32 upper half of ramdisk_image
	OffExtInitrdLen = 0x0c4 // u32 upper half of ramdisk_size
	OffExtCmdline   = 0x0c8 // u32 upper half of cmd_line_ptr
	OffCCBlob       = 0x13c // u32 cc_blob_address
	OffEFI          = 0x1c0 // struct efi_info, 32 bytes
	OffScratch      = 0x1e4 // u32 for the 32-bit entry
	OffE820Entries  = 0x1e8 // u8
	OffSentinel     = 0x1ef // u8, zero in a page that a careful loader wrote
	OffE820         = 0x2d0 // struct boot_e820_entry[128]
)

// Offsets of the setup header, boot.rst "The Real-Mode Kernel Header".
const (
	OffHeader    = 0x1f1 // struct setup_header
	OffHeaderMax = 0x290 // it ends here at the latest

	OffSetupSects    = 0x1f1 // u8, see [SetupSize]
	OffSyssize       = 0x1f4 // u32, units of 16 bytes
	OffVidMode       = 0x1fa // u16
	OffBootFlag      = 0x1fe // u16, [BootFlag]
	OffJump          = 0x200 // jmp rel8; its distance is at OffHeaderLen
	OffHeaderLen     = 0x201 // u8, the header ends this far behind OffMagic
	OffMagic         = 0x202 // [Magic]
	OffVersion       = 0x206 // u16
	OffStartSysSeg   = 0x20c // u16
	OffRelease       = 0x20e // u16, offset of the release string less 0x200
	OffLoader        = 0x210 // u8 type_of_loader
	OffLoadflags     = 0x211 // u8
	OffSetupMove     = 0x212 // u16 setup_move_size
	OffCode32        = 0x214 // u32
	OffInitrd        = 0x218 // u32 ramdisk_image
	OffInitrdLen     = 0x21c // u32 ramdisk_size
	OffCmdline       = 0x228 // u32 cmd_line_ptr
	OffInitrdMax     = 0x22c // u32 initrd_addr_max
	OffAlignment     = 0x230 // u32 kernel_alignment
	OffRelocatable   = 0x234 // u8 relocatable_kernel
	OffMinAlignment  = 0x235 // u8, a power of two
	OffXloadflags    = 0x236 // u16
	OffCmdlineSize   = 0x238 // u32, without terminator
	OffSubarch       = 0x23c // u32 hardware_subarch
	OffSubarchData   = 0x240 // u64
	OffPayload       = 0x248 // u32, from the start of the protected-mode part
	OffPayloadLength = 0x24c // u32, bytes; the size that follows the stream is part of it
	OffSetupData     = 0x250 // u64, the first node
	OffPrefAddress   = 0x258 // u64
	OffInitSize      = 0x260 // u32
	OffKernelInfo    = 0x268 // u32, from the start of the protected-mode part
	HeaderEnd210     = 0x264 // where the header of protocol 2.10 ends, the first with init_size
	HeaderEnd215     = 0x26c // and that of 2.15
)

// Values of the setup header.
const (
	BootFlag    = 0xaa55
	Magic       = "HdrS"
	Version212  = 0x20c // of the 64-bit entry and xloadflags
	Version215  = 0x20f
	LoaderKexec = 0xd0  // type_of_loader as kexec_file_load sets it
	Entry64     = 0x200 // offset of the 64-bit entry in the protected-mode part

	// Loadflags.
	LoadedHigh = 1 << 0 // protected-mode code at 1 MiB and above
	KASLR      = 1 << 1
	CanUseHeap = 1 << 7

	// Xloadflags.
	XLFKernel64      = 1 << 0 // has the 64-bit entry
	XLFAbove4G       = 1 << 1 // kernel, zero page, command line and initrd may lie above 4 GiB
	XLF5Level        = 1 << 5 // may be entered with five levels of page tables
	XLF5LevelEnabled = 1 << 6 // and copes with them
	XLFMemEncryption = 1 << 7
)

// SetupSize returns the bytes of the setup part of an image, up to the protected-mode
// part, by the byte at OffSetupSects.
func SetupSize(sects byte) uint64 {
	if sects == 0 {
		sects = 4
	}
	return (uint64(sects) + 1) * 512
}

// A node of the setup_data list: the address of the next one, type, bytes of data, data.
const (
	OffNodeType = 8  // u32
	OffNodeLen  = 12 // u32
	NodeHeader  = 16 // bytes before the data
	NodeAlign   = 8
	MaxNodes    = 64 // that are read of a list
)

// Types of setup_data nodes.
const (
	SetupNone     = 0 // no loader writes one: it is what a pointer to anything else finds
	SetupE820Ext  = 1
	SetupEFI      = 4
	SetupCCBlob   = 7 // of a guest whose memory is encrypted
	SetupIMA      = 8
	SetupRNGSeed  = 9
	SetupKHO      = 10
	SetupIndirect = 1 << 31
)

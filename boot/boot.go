// Package boot speaks the Linux x86 boot protocol in both directions: it reads
// what another kernel or a loader started us with, and places the next kernel
// and everything it is handed.
//
// What came in was written by kexec_file_load of the kernel before us, or by a
// boot loader: the zero page (struct boot_params), the command line, the list of
// setup_data nodes, the initrd. It is foreign: every address is checked by
// [phys.Memory] before it is followed, lists are bounded, and nothing is
// allocated in a size that memory claims. The image of the next kernel comes
// from the payload and is treated the same way.
//
// Sources: Documentation/arch/x86/boot.rst and zero-page.rst, and from Linux
// 7.3 arch/x86/include/uapi/asm/bootparam.h, setup_data.h, and
// arch/x86/kernel/kexec-bzimage64.c, whose image checks and zero page are
// repeated here. All numbers in memory are little endian.
package boot

import (
	"encoding/binary"
	"errors"

	"ferry/phys"
)

// Reasons for which something is refused.
var (
	ErrZeroPage  = errors.New("boot: zero page is not usable")
	ErrSetupData = errors.New("boot: setup_data list is damaged")
	ErrKernel    = errors.New("boot: not a kernel that can be started")
	ErrCmdline   = errors.New("boot: command line does not fit")
	ErrNoRoom    = errors.New("boot: no room")
)

// Offsets in the zero page, from which the setup header takes 0x1f1 onward at
// the same offsets as in an image.
const (
	offRSDP         = 0x070 // u64 acpi_rsdp_addr
	offExtInitrd    = 0x0c0 // u32 upper half of ramdisk_image
	offExtInitrdLen = 0x0c4 // u32 upper half of ramdisk_size
	offExtCmdline   = 0x0c8 // u32 upper half of cmd_line_ptr
	offCCBlob       = 0x13c // u32 cc_blob_address
	offEFI          = 0x1c0 // struct efi_info, 32 bytes
	offScratch      = 0x1e4 // u32 for the 32-bit entry
	offE820Entries  = 0x1e8 // u8
	offSentinel     = 0x1ef // u8, zero in a page made by a careful loader
	offHeader       = 0x1f1 // struct setup_header
	offHeaderMax    = 0x290 // the header ends here at the latest
	offE820         = 0x2d0 // struct boot_e820_entry[128]

	offSetupSects   = 0x1f1 // u8
	offSyssize      = 0x1f4 // u32, units of 16 bytes
	offBootFlag     = 0x1fe // u16 0xaa55
	offHeaderLen    = 0x201 // u8, header ends at 0x202 + this
	offMagic        = 0x202 // "HdrS"
	offVersion      = 0x206 // u16
	offRelease      = 0x20e // u16, offset of the release string less 0x200
	offLoader       = 0x210 // u8 type_of_loader
	offLoadflags    = 0x211 // u8
	offCode32       = 0x214 // u32
	offInitrd       = 0x218 // u32
	offInitrdLen    = 0x21c // u32
	offHeapEnd      = 0x224 // u16
	offCmdline      = 0x228 // u32
	offInitrdMax    = 0x22c // u32
	offAlignment    = 0x230 // u32
	offRelocatable  = 0x234 // u8 relocatable_kernel
	offXloadflags   = 0x236 // u16
	offCmdlineSize  = 0x238 // u32
	offSubarch      = 0x23c // u32
	offSubarchData  = 0x240 // u64
	offSetupData    = 0x250 // u64
	offPrefAddress  = 0x258 // u64
	offInitSize     = 0x260 // u32
	minHeaderLength = 0x264 // protocol 2.10 and later have init_size

	e820Size = 20  // bytes of an entry: address u64, size u64, type u32
	e820Max  = 128 // entries in the zero page
)

const (
	loadedHigh = 1 << 0 // loadflags
	kaslrFlag  = 1 << 1
	canUseHeap = 1 << 7
	xlf64      = 1 << 0 // xloadflags
	xlfAbove4G = 1 << 1
	xlf5Level  = 1 << 5

	xlfMemEncryption = 1 << 7

	entry64     = 0x200 // of the protected-mode code
	loaderKexec = 0xd0  // type_of_loader as kexec_file_load sets it
	fourGiB     = 1 << 32
	maxPhys     = 1 << 52 // architectural limit of physical addresses
)

func u16(b []byte, off int) uint16      { return binary.LittleEndian.Uint16(b[off:]) }
func u32(b []byte, off int) uint32      { return binary.LittleEndian.Uint32(b[off:]) }
func u64(b []byte, off int) uint64      { return binary.LittleEndian.Uint64(b[off:]) }
func put32(b []byte, off int, v uint32) { binary.LittleEndian.PutUint32(b[off:], v) }
func put64(b []byte, off int, v uint64) { binary.LittleEndian.PutUint64(b[off:], v) }
func split(b []byte, lo, hi int) uint64 { return uint64(u32(b, hi))<<32 | uint64(u32(b, lo)) }
func join(b []byte, lo, hi int, v uint64) {
	put32(b, lo, uint32(v))
	put32(b, hi, uint32(v>>32))
}

// damaged returns the error about one object in memory.
func damaged(object string, at phys.Addr, found, want string, rule error) error {
	return &phys.Error{Object: object, Addr: at, Found: found, Want: want, Err: rule}
}

// Package boot implements the Linux x86 boot protocol in both directions: it reads
// what another kernel or a loader started us with, and places the next kernel
// and everything it is handed.
//
// The input was written by kexec_file_load of the kernel before us, or by a
// boot loader: the zero page (struct boot_params), the command line, the list of
// setup_data nodes, the initrd. It is untrusted: every address is checked by
// [phys.Memory] before it is followed, lists are bounded, and nothing is
// allocated in a size that memory claims. The image of the next kernel comes
// from the payload and is treated alike.
//
// Sources: Documentation/arch/x86/boot.rst and zero-page.rst, and from Linux
// 7.3 arch/x86/include/uapi/asm/bootparam.h, setup_data.h, and
// arch/x86/kernel/kexec-bzimage64.c, whose image checks and zero page are
// repeated here. All numbers in memory are little endian.
package boot

import (
	"encoding/binary"
	"errors"

	"ferry/boot/protocol"
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

const (
	fourGiB = 1 << 32
	maxPhys = protocol.MaxPhys
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

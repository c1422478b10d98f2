// Package vmlinux looks into a bzImage: it decompresses the kernel and finds the
// strings by which the kernel knows the formats of a handover.
//
// The image comes from a distribution or a build of the operator's own and is
// untrusted: lengths are checked against the file, no more than [MaxSize] bytes
// are decompressed, memory grows with what was decompressed and not with what a
// header claims, and damage is an error. What is found is what the file says of
// itself; it proves nothing about how the kernel behaves.
//
// The package belongs to the host tool. It brings decompressors along and is not
// linked into the stage.
//
// Sources: Documentation/arch/x86/boot.rst (payload_offset, payload_length),
// scripts/Makefile.lib of Linux 7.3 (how the payload is compressed, and that its
// size follows it), lib/decompress_*.c (limits).
package vmlinux

import (
	"bytes"
	"encoding/binary"
	"errors"
	"fmt"

	"ferry/boot"
	"ferry/boot/protocol"
)

// Reasons for which an image is refused.
var (
	ErrPayload     = errors.New("vmlinux: no compressed kernel in the image")
	ErrCompression = errors.New("vmlinux: compression is not supported")
	ErrDamaged     = errors.New("vmlinux: the compressed kernel is damaged")
	ErrSize        = errors.New("vmlinux: the kernel is larger than we decompress")
)

// MaxSize is the largest kernel that is decompressed, in bytes. A distribution's
// kernel takes some 60 MiB, one with debugging aids compiled in up to 200 MiB.
const MaxSize = 512 << 20

// Kernel is what was found in an image.
type Kernel struct {
	// Release is the kernel's release, such as "7.3.4" or "6.12.48+deb13-amd64":
	// that of the banner ("Linux version ..."), or if there is none that of the
	// setup header. Empty if neither has one.
	Release     string
	Compression string // "gzip", "zstd", "xz", "lz4", "lzo", "bzip2", "lzma" or "none"
	Formats     Formats

	// KASAN says that the kernel has a shadow of all memory, an eighth of it, in
	// which it keeps what may be accessed (CONFIG_KASAN_GENERIC).
	KASAN bool
}

// kasan is what such a kernel says when the shadow is there: kasan_init_generic in
// mm/kasan/generic.c, kasan_init in arch/x86/mm/kasan_init_64.c before Linux 6.18.
var kasan = []byte("KernelAddressSanitizer initialized")

// Open decompresses the kernel of a bzImage and looks for the strings.
func Open(image []byte) (*Kernel, error) {
	compression, vmlinux, err := Decompress(image)
	if err != nil {
		return nil, err
	}
	return Look(image, compression, vmlinux)
}

// Look is Open for a kernel that [Decompress] returned.
func Look(image []byte, compression string, vmlinux []byte) (*Kernel, error) {
	k, err := boot.ParseKernel(image)
	if err != nil {
		return nil, err
	}
	return look(k, compression, vmlinux), nil
}

// LookOpened is Look for a kernel that was opened.
func LookOpened(k *boot.Kernel) *Kernel { return look(k, "none", k.Opened().Pages()) }

func look(k *boot.Kernel, compression string, vmlinux []byte) *Kernel {
	found := &Kernel{Compression: compression, Formats: FindFormats(vmlinux), Release: banner(vmlinux), KASAN: bytes.Contains(vmlinux, kasan)}
	if found.Release == "" {
		found.Release = firstWord(k.Release)
	}
	return found
}

// Decompress returns the kernel of a bzImage, an ELF file and what the build has put
// behind it, and how it was compressed.
func Decompress(image []byte) (compression string, vmlinux []byte, err error) {
	if _, err := boot.ParseKernel(image); err != nil {
		return "", nil, err
	}
	payload, err := compressed(image)
	if err != nil {
		return "", nil, err
	}
	if compression, vmlinux, err = decompress(payload, MaxSize); err != nil {
		return "", nil, err
	}
	if !bytes.HasPrefix(vmlinux, []byte(elfMagic)) {
		return "", nil, fmt.Errorf("%w: it starts with % x, want an ELF file", ErrDamaged, vmlinux[:min(4, len(vmlinux))])
	}
	return compression, vmlinux, nil
}

// compressed returns the compressed kernel of an image that boot.ParseKernel took.
// The fields that name it are there since boot protocol 2.08; boot.ParseKernel wants
// 2.12.
func compressed(image []byte) ([]byte, error) {
	setup := protocol.SetupSize(image[protocol.OffSetupSects])
	offset := uint64(binary.LittleEndian.Uint32(image[protocol.OffPayload:]))
	length := uint64(binary.LittleEndian.Uint32(image[protocol.OffPayloadLength:]))
	if offset == 0 || length == 0 {
		return nil, fmt.Errorf("%w: its header names none, this is no Linux kernel", ErrPayload)
	}
	if start := setup + offset; start+length <= uint64(len(image)) {
		return image[start : start+length : start+length], nil
	}
	return nil, fmt.Errorf("%w: %d bytes at offset %#x of an image of %d: the image is cut short",
		ErrDamaged, length, setup+offset, len(image))
}

package vmlinux

import (
	"bytes"
	"compress/bzip2"
	"compress/gzip"
	"encoding/binary"
	"fmt"
	"io"

	"github.com/klauspost/compress/zstd"
	"github.com/pierrec/lz4/v4"
	"github.com/therootcompany/xz"
	"github.com/ulikunitz/xz/lzma"
)

const elfMagic = "\x7fELF"

// format is one way in which a kernel is compressed.
type format struct {
	name  string
	magic string
	// open reads a stream whose content has the given size in bytes.
	open func(r io.Reader, size uint64) (io.Reader, error)
}

// formats are those that init/Kconfig of Linux offers for x86. "lzma" comes last:
// its magic is that of the usual parameters, and the shortest.
var formats = []format{
	{"gzip", "\x1f\x8b\x08", func(r io.Reader, _ uint64) (io.Reader, error) {
		z, err := gzip.NewReader(r)
		if err == nil {
			z.Multistream(false)
		}
		return z, err
	}},
	{"zstd", "\x28\xb5\x2f\xfd", openZstd},
	{"xz", "\xfd7zXZ\x00", openXZ},
	{"lz4", "\x02\x21\x4c\x18", func(r io.Reader, _ uint64) (io.Reader, error) {
		return lz4.NewReader(r), nil // "legacy" frame, as lz4 -l writes
	}},
	{"lzo", lzopMagic, openLzop},
	{"bzip2", "BZh", func(r io.Reader, _ uint64) (io.Reader, error) { return bzip2.NewReader(r), nil }},
	{"lzma", "\x5d\x00\x00", openLZMA},
}

// sizeBytes is the length of the size of the kernel, a little endian number at
// the end of the payload. That of gzip belongs to its stream, the build appends
// it to the others.
const sizeBytes = 4

// decompress returns the kernel and how it was compressed. At most limit bytes
// are decompressed.
func decompress(payload []byte, limit uint64) (name string, vmlinux []byte, err error) {
	if bytes.HasPrefix(payload, []byte(elfMagic)) {
		return "none", payload, nil
	}
	for _, f := range formats {
		if !bytes.HasPrefix(payload, []byte(f.magic)) {
			continue
		}
		vmlinux, err = f.decompress(payload, limit)
		if err != nil {
			return "", nil, fmt.Errorf("%s: %w", f.name, err)
		}
		return f.name, vmlinux, nil
	}
	return "", nil, fmt.Errorf("%w: the payload starts with % x, want gzip, zstd, xz, lz4, lzo, bzip2, lzma or none",
		ErrCompression, payload[:min(6, len(payload))])
}

func (f format) decompress(payload []byte, limit uint64) ([]byte, error) {
	if len(payload) < len(f.magic)+sizeBytes {
		return nil, fmt.Errorf("%w: %d bytes", ErrDamaged, len(payload))
	}
	stream, tail := payload[:len(payload)-sizeBytes], payload[len(payload)-sizeBytes:]
	size := uint64(binary.LittleEndian.Uint32(tail))
	if size > limit {
		return nil, fmt.Errorf("%w: %d bytes, at most %d", ErrSize, size, limit)
	}
	if f.name == "gzip" {
		stream = payload
	}
	r, err := f.open(bytes.NewReader(stream), size)
	if err != nil {
		return nil, fmt.Errorf("%w: %w", ErrDamaged, err)
	}
	if c, ok := r.(io.Closer); ok {
		defer c.Close()
	}
	var b bytes.Buffer
	if _, err := b.ReadFrom(io.LimitReader(r, int64(size)+1)); err != nil {
		return nil, fmt.Errorf("%w: after %d bytes of the kernel: %w", ErrDamaged, b.Len(), err)
	}
	if uint64(b.Len()) != size {
		return nil, fmt.Errorf("%w: %d bytes of the kernel or more, want the %d that follow the stream", ErrDamaged, b.Len(), size)
	}
	return b.Bytes(), nil
}

// maxWindow bounds the history that a decompressor keeps, in bytes: the most that
// Linux builds with, for zstd -22 and for xz.
const maxWindow = 128 << 20

// openZstd reads a zstd frame.
func openZstd(r io.Reader, _ uint64) (io.Reader, error) {
	z, err := zstd.NewReader(r, zstd.WithDecoderConcurrency(1), zstd.WithDecoderMaxWindow(maxWindow), zstd.WithDecoderLowmem(true))
	if err != nil {
		return nil, err
	}
	return z.IOReadCloser(), nil
}

// openXZ reads one .xz stream: LZMA2, with or without the x86 filter. The library
// allocates the dictionary that a block declares, and refuses more than maxWindow.
func openXZ(r io.Reader, _ uint64) (io.Reader, error) {
	z, err := xz.NewReader(r, maxWindow)
	if err != nil {
		return nil, err
	}
	z.Multistream(false)
	return z, nil
}

// dictionary returns how much history content of a size can refer to. The
// library allocates it at once.
func dictionary(declared, size uint64) int {
	return int(max(lzma.MinDictCap, min(declared, size, maxWindow)))
}

// lzmaHeader is the length of the header of an .lzma file: parameters, the
// dictionary's size as a little endian u32, and the content's as a u64.
const lzmaHeader = 13

// openLZMA reads an .lzma file. The library allocates the dictionary that the
// header demands, up to 4 GiB; the header that it sees demands no more than
// the content can use.
func openLZMA(r io.Reader, size uint64) (io.Reader, error) {
	h := make([]byte, lzmaHeader)
	if _, err := io.ReadFull(r, h); err != nil {
		return nil, err
	}
	declared := uint64(binary.LittleEndian.Uint32(h[1:]))
	binary.LittleEndian.PutUint32(h[1:], uint32(dictionary(declared, size)))
	return lzma.NewReader(io.MultiReader(bytes.NewReader(h), r))
}

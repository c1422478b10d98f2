package vmlinux

import (
	"bufio"
	"bytes"
	"crypto/sha256"
	"encoding/binary"
	"errors"
	"fmt"
	"hash"
	"hash/crc32"
	"hash/crc64"
	"io"

	"github.com/ulikunitz/xz/lzma"
)

// The .xz file format, version 1.2.1 (https://tukaani.org/xz/xz-file-format.txt),
// as far as a kernel has it: one stream, and in its blocks LZMA2, with the x86
// filter before it or without. The xz package that has our LZMA2 decoder knows
// no other filter, so the container is read here.
const (
	xzMagic = "\xfd7zXZ\x00"

	filterX86   = 0x04
	filterLZMA2 = 0x21

	xzIndex = 0x00 // in the place of a block header's size: the blocks end here
)

var errXZ = errors.New("xz")

// xzReader gives the content of the blocks, one after another.
type xzReader struct {
	in    *counted
	check func() hash.Hash // nil for none
	width int              // of a check, in bytes
	size  uint64           // of the content that is left to expect, in bytes
	block bytes.Reader     // what is left of a block that was read
}

// counted is a reader that knows how much was read.
type counted struct {
	*bufio.Reader
	n uint64
}

func (c *counted) Read(b []byte) (int, error) {
	n, err := c.Reader.Read(b)
	c.n += uint64(n)
	return n, err
}

func (c *counted) ReadByte() (byte, error) {
	b, err := c.Reader.ReadByte()
	if err == nil {
		c.n++
	}
	return b, err
}

// openXZ reads the stream header.
func openXZ(r io.Reader, size uint64) (*xzReader, error) {
	x := &xzReader{in: &counted{Reader: bufio.NewReader(r)}, size: size}
	h := make([]byte, 12)
	if _, err := io.ReadFull(x.in, h); err != nil {
		return nil, err
	}
	if h[6] != 0 || crc32.ChecksumIEEE(h[6:8]) != binary.LittleEndian.Uint32(h[8:]) {
		return nil, fmt.Errorf("%w: stream header % x", errXZ, h)
	}
	switch h[7] {
	case 0:
	case 1:
		x.width, x.check = 4, func() hash.Hash { return crc32.NewIEEE() }
	case 4:
		x.width, x.check = 8, func() hash.Hash { return crc64.New(crc64.MakeTable(crc64.ECMA)) }
	case 10:
		x.width, x.check = 32, sha256.New
	default:
		return nil, fmt.Errorf("%w: check %d, want none, CRC32, CRC64 or SHA-256", errXZ, h[7])
	}
	return x, nil
}

// Read implements [io.Reader].
func (x *xzReader) Read(b []byte) (int, error) {
	for x.block.Len() == 0 {
		content, err := x.next()
		if err != nil {
			return 0, err
		}
		x.size -= uint64(len(content))
		x.block.Reset(content)
	}
	return x.block.Read(b)
}

// next reads a block whole: the filter needs to see it so, and the check comes
// at its end. The error is io.EOF after the last block.
func (x *xzReader) next() ([]byte, error) {
	filters, err := x.blockHeader()
	if err != nil {
		return nil, err
	}
	start := x.in.n
	r, err := lzma.Reader2Config{DictCap: dictionary(filters.dictionary, x.size)}.NewReader2(x.in)
	if err != nil {
		return nil, fmt.Errorf("%w: %w", errXZ, err)
	}
	var b bytes.Buffer
	if _, err := b.ReadFrom(io.LimitReader(r, int64(x.size)+1)); err != nil {
		return nil, fmt.Errorf("%w: %w", errXZ, err)
	}
	if uint64(b.Len()) > x.size {
		return nil, fmt.Errorf("%w: a block of more than the %d bytes that are left", errXZ, x.size)
	}
	content := b.Bytes()
	if filters.x86 {
		undoX86(content, filters.start)
	}
	tail := make([]byte, int(-(x.in.n-start)&3)+x.width)
	if _, err := io.ReadFull(x.in, tail); err != nil {
		return nil, fmt.Errorf("%w: end of a block: %w", errXZ, err)
	}
	return content, x.verify(content, tail[len(tail)-x.width:])
}

// verify compares a block with its check. Those of CRC are little endian.
func (x *xzReader) verify(content, want []byte) error {
	if x.check == nil {
		return nil
	}
	h := x.check()
	h.Write(content)
	got := h.Sum(nil)
	if x.width <= 8 {
		for i := range x.width / 2 {
			got[i], got[x.width-1-i] = got[x.width-1-i], got[i]
		}
	}
	if !bytes.Equal(got, want) {
		return fmt.Errorf("%w: the check of a block is %x, want %x", errXZ, got, want)
	}
	return nil
}

// xzFilters are the filters of a block.
type xzFilters struct {
	x86        bool
	start      uint32 // the position that the x86 filter gives the first byte
	dictionary uint64 // bytes
}

// blockHeader reads the header of a block. The error is io.EOF where the index
// follows instead.
func (x *xzReader) blockHeader() (f xzFilters, err error) {
	first, err := x.in.ReadByte()
	if err != nil {
		return f, io.ErrUnexpectedEOF
	}
	if first == xzIndex {
		return f, io.EOF
	}
	h := make([]byte, (int(first)+1)*4)
	h[0] = first
	if _, err := io.ReadFull(x.in, h[1:]); err != nil {
		return f, fmt.Errorf("%w: block header: %w", errXZ, err)
	}
	fields, sum := h[:len(h)-4], binary.LittleEndian.Uint32(h[len(h)-4:])
	if crc32.ChecksumIEEE(fields) != sum {
		return f, fmt.Errorf("%w: block header % x: its check is %#x", errXZ, fields, sum)
	}
	flags := fields[1]
	r := bytes.NewReader(fields[2:])
	for _, size := range []byte{0x40, 0x80} { // of the compressed data, of the content: not needed
		if flags&size != 0 {
			if _, err := binary.ReadUvarint(r); err != nil {
				return f, fmt.Errorf("%w: block header % x: %w", errXZ, fields, err)
			}
		}
	}
	if err := f.read(r, int(flags&3)+1); err != nil {
		return f, fmt.Errorf("%w: block header % x: %w", errXZ, fields, err)
	}
	return f, nil
}

// read reads the filters, of which LZMA2 must be the last.
func (f *xzFilters) read(r *bytes.Reader, count int) error {
	for i := range count {
		id, err := binary.ReadUvarint(r)
		if err != nil {
			return err
		}
		length, err := binary.ReadUvarint(r)
		if err != nil {
			return err
		}
		props := make([]byte, min(length, 4))
		if _, err := io.ReadFull(r, props); err != nil {
			return err
		}
		last := i == count-1
		switch {
		case id == filterX86 && !last && !f.x86 && (length == 0 || length == 4):
			f.x86 = true
			if length == 4 {
				f.start = binary.LittleEndian.Uint32(props)
			}
		case id == filterLZMA2 && last && length == 1 && props[0] < 40:
			f.dictionary = (2 | uint64(props[0]&1)) << (props[0]/2 + 11)
		default:
			return fmt.Errorf("filter %#x with %d bytes of properties, want LZMA2, after the x86 filter or alone", id, length)
		}
	}
	return nil
}

package vmlinux

import (
	"encoding/binary"
	"errors"
	"fmt"
	"hash/adler32"
	"hash/crc32"
	"io"

	"github.com/anchore/go-lzo"
)

// The file format of lzop, as lib/decompress_unlzo.c of Linux 7.3 reads it:
// numbers are big endian; a header, then blocks of at most 256 KiB, each with
// the size of its content, the size of its data, and checksums; a content of
// size 0 is the end.
const (
	lzopMagic = "\x89LZO\x00\r\n\x1a\n"

	lzopLevels = 0x0940 // since this version of the format the header has four fields more

	// Flags: which checksums there are, of the content (D) and of the data (C).
	lzopAdlerD = 0x001
	lzopAdlerC = 0x002
	lzopCRCD   = 0x100
	lzopCRCC   = 0x200
	lzopFilter = 0x800
)

var errLzop = errors.New("lzop")

// lzopReader gives the content of the blocks.
type lzopReader struct {
	in    io.Reader
	flags uint32
	left  uint64 // content that is left to expect, in bytes
	block []byte // what is left of a block that was read
}

// number reads a big endian number of some bytes.
func (l *lzopReader) number(bytes int) (uint32, error) {
	var b [4]byte
	_, err := io.ReadFull(l.in, b[4-bytes:])
	return binary.BigEndian.Uint32(b[:]), err
}

// skip reads numbers of the given widths and returns the last.
func (l *lzopReader) skip(widths ...int) (n uint32, err error) {
	for _, w := range widths {
		if n, err = l.number(w); err != nil {
			return n, err
		}
	}
	return n, nil
}

// openLzop reads the header. Its checksum is not looked at: nothing of the header
// but the flags is used, and what they say must fit the blocks.
func openLzop(r io.Reader, size uint64) (io.Reader, error) {
	l := &lzopReader{in: r, left: size}
	if _, err := io.CopyN(io.Discard, r, int64(len(lzopMagic))); err != nil {
		return nil, err
	}
	version, err := l.number(2)
	if err != nil {
		return nil, err
	}
	before := []int{2, 1, 4} // library's version; method; flags
	between := []int{4, 4}   // mode, time
	if version >= lzopLevels {
		before = []int{2, 2, 1, 1, 4} // version needed; level
		between = append(between, 4)  // upper half of the time
	}
	if l.flags, err = l.skip(before...); err != nil {
		return nil, err
	}
	if l.flags&lzopFilter != 0 {
		return nil, fmt.Errorf("%w: flags %#x ask for a filter", errLzop, l.flags)
	}
	if _, err = l.skip(between...); err != nil {
		return nil, err
	}
	name, err := l.number(1)
	if err != nil {
		return nil, err
	}
	_, err = io.CopyN(io.Discard, r, int64(name)+4) // the name and the header's checksum
	return l, err
}

// Read implements [io.Reader].
func (l *lzopReader) Read(b []byte) (int, error) {
	for len(l.block) == 0 {
		if err := l.next(); err != nil {
			return 0, err
		}
	}
	n := copy(b, l.block)
	l.block = l.block[n:]
	return n, nil
}

// next reads a block.
func (l *lzopReader) next() error {
	size, err := l.number(4)
	if err != nil {
		return io.ErrUnexpectedEOF
	}
	if size == 0 {
		return io.EOF
	}
	length, err := l.number(4)
	if err != nil {
		return io.ErrUnexpectedEOF
	}
	if uint64(size) > l.left || length == 0 || length > size {
		return fmt.Errorf("%w: block of %d bytes in %d, at most %d are left", errLzop, size, length, l.left)
	}
	l.left -= uint64(size)
	ofContent, err := l.sums(lzopAdlerD, lzopCRCD)
	if err != nil {
		return err
	}
	var ofData sums
	if length < size {
		if ofData, err = l.sums(lzopAdlerC, lzopCRCC); err != nil {
			return err
		}
	}
	data, err := io.ReadAll(io.LimitReader(l.in, int64(length)))
	if err != nil || len(data) < int(length) {
		return io.ErrUnexpectedEOF
	}
	if err := ofData.verify(data); err != nil {
		return err
	}
	l.block = data
	if length < size {
		l.block = make([]byte, size)
		n, err := lzo.Decompress(data, l.block)
		if err != nil {
			return fmt.Errorf("%w: block of %d bytes in %d: %w", errLzop, size, length, err)
		}
		if n != int(size) {
			return fmt.Errorf("%w: block of %d bytes in %d: only %d", errLzop, size, length, n)
		}
	}
	return ofContent.verify(l.block)
}

// sums are the checksums of some bytes, nil if there is none.
type sums struct{ adler, crc *uint32 }

// sums reads the checksums that the flags announce.
func (l *lzopReader) sums(adler, crc uint32) (s sums, err error) {
	for _, sum := range []struct {
		flag uint32
		to   **uint32
	}{{adler, &s.adler}, {crc, &s.crc}} {
		if l.flags&sum.flag == 0 {
			continue
		}
		n, err := l.number(4)
		if err != nil {
			return s, io.ErrUnexpectedEOF
		}
		*sum.to = &n
	}
	return s, nil
}

// verify compares bytes with their checksums.
func (s sums) verify(b []byte) error {
	if s.adler != nil && *s.adler != adler32.Checksum(b) || s.crc != nil && *s.crc != crc32.ChecksumIEEE(b) {
		return fmt.Errorf("%w: a block's checksum is wrong", errLzop)
	}
	return nil
}

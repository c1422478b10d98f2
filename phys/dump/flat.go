//go:build linux

package dump

import (
	"bytes"
	"cmp"
	"container/heap"
	"encoding/binary"
	"fmt"
	"slices"
)

// image is a file as one that was written by seeks: parts in ascending order, none over
// another. What lies between them is zero.
type image struct {
	size   uint64
	parts  []part
	filled uint64 // bytes of all parts: more are never copied at a time, whatever the size is
}

type part struct {
	off  uint64
	data []byte
}

// head returns the first n bytes, fewer if there are not as many.
func (f image) head(n uint64) []byte {
	b, _ := f.bytes(0, min(n, f.size))
	return b
}

// bytes returns n bytes at offset off, a window on the file if they lie in one piece. It
// returns false if the file ends before, or has not as much data at all.
func (f image) bytes(off, n uint64) ([]byte, bool) {
	if off > f.size || n > f.size-off {
		return nil, false
	}
	i, _ := slices.BinarySearchFunc(f.parts, off, func(p part, off uint64) int { return cmp.Compare(p.off+uint64(len(p.data)), off+1) })
	if i < len(f.parts) {
		if p := f.parts[i]; p.off <= off && n <= uint64(len(p.data))-(off-p.off) {
			return p.data[off-p.off:][:n:n], true
		}
	}
	if n > min(f.filled, maxCopy) {
		return nil, false
	}
	b := make([]byte, n)
	for ; i < len(f.parts) && f.parts[i].off < off+n; i++ {
		if p := f.parts[i]; p.off < off {
			copy(b, p.data[off-p.off:])
		} else {
			copy(b[p.off-off:], p.data)
		}
	}
	return b, true
}

// each calls visit for what the file has of n bytes at offset off, in pieces.
func (f image) each(off, n uint64, visit func(off uint64, data []byte) error) error {
	i, _ := slices.BinarySearchFunc(f.parts, off, func(p part, off uint64) int { return cmp.Compare(p.off+uint64(len(p.data)), off+1) })
	for ; i < len(f.parts) && f.parts[i].off < off+n; i++ {
		p := f.parts[i]
		from, to := max(p.off, off), min(p.off+uint64(len(p.data)), off+n)
		if err := visit(from, p.data[from-p.off:to-p.off]); err != nil {
			return err
		}
	}
	return nil
}

// The flattened form, makedumpfile -F, is a file that can be written to a pipe: a header
// and then records of an offset, a length, and as many bytes to be written there. Numbers
// are big endian. Source: makedumpfile.h, struct makedumpfile_header and
// makedumpfile_data_header; QEMU's dump/dump.c writes the same.
const (
	flatMagic  = "makedumpfile\x00\x00\x00\x00"
	flatHeader = 4096
	flatRecord = 16
	flatEnd    = ^uint64(0) // offset and length of the last record
)

func isFlat(file []byte) bool { return bytes.HasPrefix(file, []byte(flatMagic)) }

// flattened returns the file that a flattened one describes.
func flattened(file []byte) (image, error) {
	be := binary.BigEndian
	if len(file) < flatHeader {
		return image{}, fmt.Errorf("flattened: %d bytes, want a header of %d: %w", len(file), flatHeader, ErrTruncated)
	}
	if typ, version := be.Uint64(file[16:]), be.Uint64(file[24:]); typ != 1 || version != 1 {
		return image{}, fmt.Errorf("flattened: type %d version %d, want 1 and 1: %w", typ, version, ErrFormat)
	}
	var f image
	var all []part
	for at := flatHeader; ; {
		if len(file)-at < flatRecord {
			return image{}, fmt.Errorf("flattened: no last record before the end of the file at %#x: %w", len(file), ErrTruncated)
		}
		off, n := be.Uint64(file[at:]), be.Uint64(file[at+8:])
		if at += flatRecord; off == flatEnd && n == flatEnd {
			break
		}
		if n > uint64(len(file)-at) {
			return image{}, fmt.Errorf("flattened: %#x bytes at %#x of a file of %#x: %w", n, at, len(file), ErrTruncated)
		}
		if off > 1<<62 {
			return image{}, fmt.Errorf("flattened: record at %#x goes to offset %#x: %w", at-flatRecord, off, ErrDamaged)
		}
		if n > 0 {
			all = append(all, part{off, file[at : at+int(n) : at+int(n)]})
			f.size = max(f.size, off+n)
			f.filled += n
		}
		at += int(n)
	}
	f.parts = lastWins(all)
	return f, nil
}

// lastWins puts parts into ascending order. Of those that overlap the later one counts,
// as if they were written one by one.
func lastWins(all []part) []part {
	order := make([]int, len(all))
	for i := range order {
		order[i] = i
	}
	slices.SortFunc(order, func(a, b int) int { return cmp.Compare(all[a].off, all[b].off) })
	var out []part
	open := &latest{}
	put := func(i int, from, to uint64) { // part i is what counts there
		if from < to {
			p := all[i]
			out = append(out, part{from, p.data[from-p.off : to-p.off : to-p.off]})
		}
	}
	at := uint64(0)
	next := func(to uint64) { // everything before to is decided
		for open.Len() > 0 {
			i := open.list[0]
			if end := all[i].off + uint64(len(all[i].data)); end > at {
				put(i, max(at, all[i].off), min(end, to))
				if at = max(at, min(end, to)); end > to {
					return
				}
			}
			heap.Pop(open)
		}
		at = to
	}
	for _, i := range order {
		next(all[i].off)
		heap.Push(open, i)
	}
	next(flatEnd)
	return out
}

// latest is a heap of parts, the one that was written last first.
type latest struct{ list []int }

func (l *latest) Len() int           { return len(l.list) }
func (l *latest) Less(i, j int) bool { return l.list[i] > l.list[j] }
func (l *latest) Swap(i, j int)      { l.list[i], l.list[j] = l.list[j], l.list[i] }
func (l *latest) Push(x any)         { l.list = append(l.list, x.(int)) }
func (l *latest) Pop() any {
	last := l.list[len(l.list)-1]
	l.list = l.list[:len(l.list)-1]
	return last
}

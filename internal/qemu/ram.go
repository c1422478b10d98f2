//go:build linux

package qemu

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"os"

	"golang.org/x/sys/unix"

	"ferry/phys"
)

// RAM is a machine's memory in a sparse file, byte 0 of which is physical address
// 0: the memory of a machine without any above 4 GiB. It implements [phys.Memory].
// A machine may run on the file meanwhile.
type RAM struct {
	Path string

	size       uint64
	view, edit []byte
	ram        phys.Ranges
}

// MaxRAM is the most memory, in bytes, that QEMU's q35 puts below 4 GiB.
const MaxRAM = 2 << 30

// NewRAM makes a file of zeros.
func NewRAM(path string, size uint64) (*RAM, error) {
	f, err := os.OpenFile(path, os.O_RDWR|os.O_CREATE|os.O_TRUNC, 0o600)
	if err != nil {
		return nil, err
	}
	if err := errors.Join(f.Truncate(int64(size)), f.Close()); err != nil {
		return nil, err
	}
	return OpenRAM(path)
}

// OpenRAM opens the memory of a machine. All of it is RAM until [RAM.Limit].
func OpenRAM(path string) (*RAM, error) {
	f, err := os.OpenFile(path, os.O_RDWR, 0)
	if err != nil {
		return nil, err
	}
	defer f.Close()
	info, err := f.Stat()
	if err != nil {
		return nil, err
	}
	if n := info.Size(); n <= 0 || n > MaxRAM || n%phys.PageSize != 0 {
		return nil, fmt.Errorf("%s: %d bytes, want whole pages and at most %d bytes", path, n, MaxRAM)
	}
	r := &RAM{Path: path, size: uint64(info.Size())}
	if r.view, err = unix.Mmap(int(f.Fd()), 0, int(r.size), unix.PROT_READ, unix.MAP_SHARED); err != nil {
		return nil, err
	}
	if r.edit, err = unix.Mmap(int(f.Fd()), 0, int(r.size), unix.PROT_READ|unix.PROT_WRITE, unix.MAP_SHARED); err != nil {
		return nil, errors.Join(err, unix.Munmap(r.view))
	}
	r.ram = phys.NewRanges(phys.Range{End: phys.Addr(r.size)})
	return r, nil
}

// Close gives the mappings back; the file stays.
func (r *RAM) Close() error { return errors.Join(unix.Munmap(r.view), unix.Munmap(r.edit)) }

// Limit says what of the memory the firmware's map calls RAM.
func (r *RAM) Limit(ram phys.Ranges) { r.ram = ram }

// View implements [phys.Memory].
func (r *RAM) View(a phys.Addr, n uint64) ([]byte, error) { return r.window(r.view, a, n) }

// Edit implements [phys.Memory].
func (r *RAM) Edit(a phys.Addr, n uint64) ([]byte, error) { return r.window(r.edit, a, n) }

func (r *RAM) window(b []byte, a phys.Addr, n uint64) ([]byte, error) {
	if err := phys.Check(r.ram, a, n); err != nil {
		return nil, err
	}
	return b[uint64(a) : uint64(a)+n : uint64(a)+n], nil
}

// Bytes returns all of the memory to read, what is not RAM included. It is valid
// until [RAM.Close].
func (r *RAM) Bytes() []byte { return r.view }

// Writable is [RAM.Bytes] to write.
func (r *RAM) Writable() []byte { return r.edit }

// RAM implements [phys.Memory].
func (r *RAM) RAM() phys.Ranges { return r.ram }

// Copy writes the memory as it is to another file, which stays sparse.
func (r *RAM) Copy(path string) (err error) {
	to, err := os.OpenFile(path, os.O_RDWR|os.O_CREATE|os.O_TRUNC, 0o600)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, to.Close()) }()
	if err := to.Truncate(int64(r.size)); err != nil {
		return err
	}
	touched, err := r.touched()
	if err != nil {
		return err
	}
	from, err := os.Open(r.Path)
	if err != nil {
		return err
	}
	defer from.Close()
	for _, t := range touched {
		if _, err := io.Copy(io.NewOffsetWriter(to, int64(t.Start)), io.NewSectionReader(from, int64(t.Start), int64(t.Size()))); err != nil {
			return err
		}
	}
	return nil
}

// touched returns the pages of the file that are there at all; the others are zero.
func (r *RAM) touched() (all phys.Ranges, err error) {
	f, err := os.Open(r.Path)
	if err != nil {
		return nil, err
	}
	defer f.Close()
	for at := int64(0); at < int64(r.size); {
		data, err := unix.Seek(int(f.Fd()), at, unix.SEEK_DATA)
		if errors.Is(err, unix.ENXIO) {
			break
		}
		if err != nil {
			return nil, err
		}
		if at, err = unix.Seek(int(f.Fd()), data, unix.SEEK_HOLE); err != nil {
			return nil, err
		}
		all = append(all, phys.Range{Start: phys.Addr(data), End: phys.Addr(at)})
	}
	return phys.NewRanges(all...), nil
}

// Differ returns the pages in which two memories of a size differ.
func Differ(a, b *RAM) (phys.Ranges, error) {
	if a.size != b.size {
		return nil, fmt.Errorf("memories of %d and %d bytes", a.size, b.size)
	}
	inA, err := a.touched()
	if err != nil {
		return nil, err
	}
	inB, err := b.touched()
	if err != nil {
		return nil, err
	}
	fa, err := os.Open(a.Path)
	if err != nil {
		return nil, err
	}
	defer fa.Close()
	fb, err := os.Open(b.Path)
	if err != nil {
		return nil, err
	}
	defer fb.Close()
	// Read, not mapped: a look at a hole of a mapping fills it.
	const chunk = 1 << 20
	var pageA, pageB [chunk]byte
	var all []phys.Range
	for _, t := range inA.Add(inB...) {
		for at := t.Start; at < t.End; at += chunk {
			n := min(chunk, int(t.End-at))
			if _, err := fa.ReadAt(pageA[:n], int64(at)); err != nil {
				return nil, err
			}
			if _, err := fb.ReadAt(pageB[:n], int64(at)); err != nil {
				return nil, err
			}
			if bytes.Equal(pageA[:n], pageB[:n]) {
				continue
			}
			for i := 0; i < n; i += phys.PageSize {
				if !bytes.Equal(pageA[i:i+phys.PageSize], pageB[i:i+phys.PageSize]) {
					all = append(all, phys.Block{Addr: at + phys.Addr(i)}.Range())
				}
			}
		}
	}
	return phys.NewRanges(all...), nil
}

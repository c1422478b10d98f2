//go:build linux

// Package dump makes physical memory of a file: what a machine left that failed, or a
// snapshot of one that runs. It is for hosts.
//
// These forms are read:
//
//   - an ELF core with physical addresses: QEMU's dump-guest-memory, /proc/vmcore
//   - kdump-compressed, as makedumpfile and QEMU write it: pages as they are, or packed
//     by zlib, LZO, Snappy or Zstandard
//   - either of them in makedumpfile's flattened form
//   - LiME's ranges
//   - the bytes of RAM as they are: QEMU's pmemsave and file-backed memory
//
// A dump is untrusted: everything in it is checked against the file, every window
// against what the dump holds. Holes of a sparse file, and pages that a dump names as
// one page of zeros, cost no time and no memory: see [Memory.Stored].
package dump

import (
	"cmp"
	"encoding/binary"
	"errors"
	"fmt"
	"os"
	"slices"
	"syscall"

	"golang.org/x/sys/unix"

	"ferry/phys"
)

// Reasons for which a file is no dump that can be read, for [errors.Is].
var (
	ErrFormat    = errors.New("no known form of a memory dump")
	ErrTruncated = errors.New("the dump is cut short")
	ErrDamaged   = errors.New("the dump is damaged")
)

// ErrLeftOut is wrapped by the errors about memory that the machine had and the dump
// does not hold: who made it left out such pages.
var ErrLeftOut = errors.New("left out of the dump")

// maxCopy bounds a window that is not in the file as it is, in bytes.
const maxCopy = 1 << 30

// Memory is the memory in a dump, a [phys.Memory] that is only read.
type Memory struct {
	mapped []byte // to be given back, nil for nothing
	form   string
	ram    phys.Ranges
	stored phys.Ranges

	segments []segment // in ascending order of their starts
	pages    *pages    // nil: the memory is in segments
}

// segment is memory that the file holds as it is.
type segment struct {
	phys.Range
	data []byte
	off  uint64 // where in the file
}

// Open maps the dump in the file of this name until [Memory.Close]. Of a file in no known
// form the bytes start at address base. The error names the file and what it holds.
func Open(name string, base phys.Addr) (*Memory, error) {
	f, err := os.Open(name)
	if err != nil {
		return nil, err
	}
	defer f.Close()
	info, err := f.Stat()
	if err != nil {
		return nil, err
	}
	if !info.Mode().IsRegular() || info.Size() == 0 || int64(int(info.Size())) != info.Size() {
		return nil, fmt.Errorf("%s: %d bytes, mode %v: want a file with a dump of memory", name, info.Size(), info.Mode())
	}
	file, err := syscall.Mmap(int(f.Fd()), 0, int(info.Size()), syscall.PROT_READ, syscall.MAP_PRIVATE)
	if err != nil {
		return nil, fmt.Errorf("%s: %w", name, err)
	}
	m, err := read(file, base, extents(f, info.Size()))
	if err != nil {
		syscall.Munmap(file)
		return nil, fmt.Errorf("%s: %w", name, err)
	}
	m.mapped = file
	return m, nil
}

// extents returns the parts of a file that have data, all of it if the file system
// cannot tell.
func extents(f *os.File, size int64) phys.Ranges {
	var rs []phys.Range
	for at := int64(0); at < size; {
		start, err := unix.Seek(int(f.Fd()), at, unix.SEEK_DATA)
		if errors.Is(err, unix.ENXIO) {
			break // no more of it
		}
		end := size
		if err == nil {
			end, err = unix.Seek(int(f.Fd()), start, unix.SEEK_HOLE)
		}
		if err != nil || end <= start {
			return phys.Ranges{{Start: 0, End: phys.Addr(size)}}
		}
		rs = append(rs, phys.Range{Start: phys.Addr(start), End: phys.Addr(end)})
		at = end
	}
	return phys.NewRanges(rs...)
}

// Of returns the memory in a dump that file holds. Of one in no known form the bytes
// start at address base. The file must not change as long as the memory is used.
func Of(file []byte, base phys.Addr) (*Memory, error) {
	return read(file, base, phys.Ranges{{Start: 0, End: phys.Addr(len(file))}})
}

// read finds out which form the file has, and reads what the dump says of itself. held
// is which bytes of the file are no holes.
func read(file []byte, base phys.Addr, held phys.Ranges) (*Memory, error) {
	m := &Memory{}
	f := image{size: uint64(len(file)), parts: []part{{0, file}}, filled: uint64(len(file))}
	flat := isFlat(file)
	if flat {
		var err error
		if f, err = flattened(file); err != nil {
			return nil, err
		}
	}
	var err error
	switch head := f.head(8); {
	case isELF(head):
		m.form = "ELF core"
		err = m.readELF(f)
	case isKdump(head):
		err = m.readKdump(f)
	case flat:
		err = fmt.Errorf("makedumpfile's flattened form with % x inside, want an ELF core or a kdump-compressed dump: %w", head, ErrFormat)
	case isLiME(head):
		m.form = "LiME"
		err = m.readLiME(file)
	default:
		m.form = "raw memory"
		if err = foreign(file); err == nil {
			err = m.add(base, 0, file)
		}
		if err == nil {
			err = m.seal()
		}
	}
	if err != nil {
		return nil, err
	}
	if flat {
		m.form += ", flattened"
	}
	slices.SortStableFunc(m.segments, func(a, b segment) int { return cmp.Compare(a.Start, b.Start) })
	if m.pages == nil {
		m.store(held, flat)
	}
	return m, nil
}

// store finds the memory that is no hole of the file; a flattened one has none.
func (m *Memory) store(held phys.Ranges, flat bool) {
	var rs []phys.Range
	for _, s := range m.segments {
		if flat {
			rs = append(rs, s.Range)
			continue
		}
		first, end := phys.Addr(s.off), phys.Addr(s.off)+phys.Addr(len(s.data))
		i, _ := slices.BinarySearchFunc(held, first, func(r phys.Range, a phys.Addr) int { return cmp.Compare(r.End, a+1) })
		for ; i < len(held) && held[i].Start < end; i++ {
			from, to := max(held[i].Start, first), min(held[i].End, end)
			rs = append(rs, phys.Range{Start: s.Start + (from - first), End: s.Start + (to - first)})
		}
	}
	m.stored = phys.NewRanges(rs...)
}

// add adds memory that the file holds as it is, at offset off.
func (m *Memory) add(start phys.Addr, off uint64, data []byte) error {
	r, ok := phys.Span(start, uint64(len(data)))
	if !ok {
		return fmt.Errorf("%#x bytes at %v wrap: %w", len(data), start, ErrDamaged)
	}
	m.segments = append(m.segments, segment{r, data, off})
	m.ram = append(m.ram, r)
	return nil
}

// seal orders what is RAM, once all of it is known.
func (m *Memory) seal() error {
	if m.ram = phys.NewRanges(m.ram...); len(m.ram) == 0 {
		return fmt.Errorf("the %s holds no memory: %w", m.form, ErrDamaged)
	}
	return nil
}

// Close gives the windows on the dump back: none may be used any more.
func (m *Memory) Close() error {
	if m.mapped == nil {
		return nil
	}
	return syscall.Munmap(m.mapped)
}

// Form names the form of the dump.
func (m *Memory) Form() string { return m.form }

// View implements [phys.Memory]. The window is one on the file if that holds the memory
// as it is and in one piece, and a copy of at most 1 GiB if not. An error wraps
// [phys.ErrNotRAM], and [ErrLeftOut] if the machine had the memory and the dump has not.
func (m *Memory) View(a phys.Addr, n uint64) ([]byte, error) {
	if err := phys.Check(m.ram, a, n); err != nil {
		return nil, err
	}
	if m.pages != nil {
		return m.pages.view(a, n)
	}
	// The first segments behind a are not looked at; among those before, later ones may
	// be shorter than earlier ones only if they overlap, which sound dumps do not.
	i, _ := slices.BinarySearchFunc(m.segments, a, func(s segment, a phys.Addr) int { return cmp.Compare(s.Start, a+1) })
	at, _ := phys.Span(a, n)
	for j := i - 1; j >= 0; j-- {
		if s := m.segments[j]; s.Contains(at) {
			off := int(a - s.Start)
			return s.data[off : off+int(n) : off+int(n)], nil
		} else if j < i-maxOverlap {
			break
		}
	}
	return m.gather(a, n)
}

// maxOverlap bounds how many segments over one another are looked at.
const maxOverlap = 8

// gather copies memory that lies in several segments.
func (m *Memory) gather(a phys.Addr, n uint64) ([]byte, error) {
	if n > maxCopy {
		return nil, tooLarge(a, n)
	}
	b := make([]byte, n)
	for done := uint64(0); done < n; {
		at := a + phys.Addr(done)
		i, _ := slices.BinarySearchFunc(m.segments, at, func(s segment, a phys.Addr) int { return cmp.Compare(s.Start, a+1) })
		k := 0
		for j := i - 1; j >= 0 && j >= i-maxOverlap && k == 0; j-- {
			if s := m.segments[j]; at < s.End {
				k = copy(b[done:], s.data[at-s.Start:])
			}
		}
		if k == 0 {
			return nil, leftOut(at, "the segment of the core has none of it")
		}
		done += uint64(k)
	}
	return b, nil
}

func tooLarge(a phys.Addr, n uint64) error {
	return &phys.Error{Object: "memory", Addr: a, Found: fmt.Sprintf("%d bytes that are not in the dump in one piece", n),
		Want: fmt.Sprintf("at most %d", maxCopy), Err: phys.ErrNotRAM}
}

func leftOut(a phys.Addr, why string) error {
	return &phys.Error{Object: "memory", Addr: a, Found: "a page that is not in the dump: " + why,
		Hint: "make a dump of all memory, makedumpfile -d 0", Err: &absent{}}
}

// absent is both of what an error about memory left out is.
type absent struct{}

func (*absent) Error() string   { return ErrLeftOut.Error() }
func (*absent) Unwrap() []error { return []error{ErrLeftOut, phys.ErrNotRAM} }

// Edit implements [phys.Memory]: a dump does not change.
func (m *Memory) Edit(a phys.Addr, _ uint64) ([]byte, error) {
	return nil, &phys.Error{Object: "memory", Addr: a, Found: "a dump", Err: phys.ErrReadOnly}
}

// RAM implements [phys.Memory]. Of kdump-compressed dumps, and of cores with segments
// that are longer than their data, not all of it can be read.
func (m *Memory) RAM() phys.Ranges { return m.ram }

// Stored returns the memory of which the dump holds data, in whole pages if the dump has
// pages: what is RAM and not in it is zero or left out. The caller must not change it.
func (m *Memory) Stored() phys.Ranges { return m.stored }

// Scan returns the memory without all that holds nothing, for who looks at all of it: its
// RAM is [Memory.Stored].
func (m *Memory) Scan() phys.Memory { return scan{m} }

type scan struct{ *Memory }

func (s scan) RAM() phys.Ranges { return s.stored }

func (s scan) View(a phys.Addr, n uint64) ([]byte, error) {
	if err := phys.Check(s.stored, a, n); err != nil {
		return nil, err
	}
	return s.Memory.View(a, n)
}

// The numbers of most forms are little endian.
var le = binary.LittleEndian

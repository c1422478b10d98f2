//go:build linux

// Package dump makes physical memory of a file: what a machine left that failed, or a
// snapshot of one that runs. It is for hosts.
//
// A dump is an ELF core with physical addresses, as QEMU's dump-guest-memory and
// kdump's vmcore are, or the bytes of RAM as they are, as QEMU's pmemsave and
// file-backed memory are. It is untrusted: segments are checked against the file, and
// every window against the segments.
package dump

import (
	"bytes"
	"debug/elf"
	"fmt"
	"os"
	"syscall"

	"ferry/phys"
)

// Memory is the memory in a dump, a [phys.Memory] that is only read.
type Memory struct {
	file     []byte
	mapped   bool
	segments []segment
	ram      phys.Ranges
}

type segment struct {
	phys.Range
	data []byte
}

// Open maps the dump in the file of this name until [Memory.Close]. Of a file that is
// no ELF core the bytes start at address base.
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
	m, err := Of(file, base)
	if err != nil {
		syscall.Munmap(file)
		return nil, fmt.Errorf("%s: %w", name, err)
	}
	m.mapped = true
	return m, nil
}

// Of returns the memory in a dump that file holds. Of one that is no ELF core the bytes
// start at address base. The file must not change as long as the memory is used.
func Of(file []byte, base phys.Addr) (*Memory, error) {
	m := &Memory{file: file}
	if err := m.read(base); err != nil {
		return nil, err
	}
	return m, nil
}

// Close gives the windows on the dump back: none may be used any more.
func (m *Memory) Close() error {
	if !m.mapped {
		return nil
	}
	return syscall.Munmap(m.file)
}

// read finds the segments.
func (m *Memory) read(base phys.Addr) error {
	if !bytes.HasPrefix(m.file, []byte(elf.ELFMAG)) {
		return m.add(base, m.file)
	}
	core, err := elf.NewFile(bytes.NewReader(m.file))
	if err != nil {
		return err
	}
	if core.Type != elf.ET_CORE {
		return fmt.Errorf("ELF file of %v, want a core of a machine's memory", core.Type)
	}
	for i, p := range core.Progs {
		if p.Type != elf.PT_LOAD || p.Filesz == 0 {
			continue
		}
		if size := uint64(len(m.file)); p.Off > size || p.Filesz > size-p.Off {
			return fmt.Errorf("segment %d: %#x bytes at offset %#x of %#x: the dump is cut short", i, p.Filesz, p.Off, size)
		}
		if err := m.add(phys.Addr(p.Paddr), m.file[p.Off:p.Off+p.Filesz]); err != nil {
			return fmt.Errorf("segment %d: %w", i, err)
		}
	}
	if len(m.segments) == 0 {
		return fmt.Errorf("the core holds no memory")
	}
	return nil
}

func (m *Memory) add(start phys.Addr, data []byte) error {
	r, ok := phys.Span(start, uint64(len(data)))
	if !ok {
		return fmt.Errorf("%#x bytes at %v wrap", len(data), start)
	}
	m.segments = append(m.segments, segment{r, data})
	m.ram = m.ram.Add(r)
	return nil
}

// View implements [phys.Memory]. No window reaches over two segments of a core.
func (m *Memory) View(a phys.Addr, n uint64) ([]byte, error) {
	if err := phys.Check(m.ram, a, n); err != nil {
		return nil, err
	}
	for _, s := range m.segments {
		if at, ok := phys.Span(a, n); ok && s.Contains(at) {
			i := int(a - s.Start)
			return s.data[i : i+int(n) : i+int(n)], nil
		}
	}
	return nil, &phys.Error{Object: "memory", Addr: a, Found: fmt.Sprintf("%d bytes in two segments of the dump", n), Err: phys.ErrNotRAM}
}

// Edit implements [phys.Memory]: a dump does not change.
func (m *Memory) Edit(a phys.Addr, _ uint64) ([]byte, error) {
	return nil, &phys.Error{Object: "memory", Addr: a, Found: "a dump", Err: phys.ErrReadOnly}
}

// RAM implements [phys.Memory].
func (m *Memory) RAM() phys.Ranges { return m.ram }

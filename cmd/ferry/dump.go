package main

import (
	"bytes"
	"debug/elf"
	"fmt"
	"os"

	"golang.org/x/sys/unix"

	"ferry/phys"
)

// A dump is the memory of a machine in a file: an ELF core with physical addresses, as QEMU's dump-guest-memory and
// kdump's vmcore are, or the bytes of RAM as they are, as QEMU's pmemsave and file-backed memory are. It comes from a
// machine that failed and is foreign: segments are checked against the file, and views against the segments.
type dump struct {
	file     []byte // mapped
	segments []segment
	ram      phys.Ranges
}

type segment struct {
	phys.Range
	data []byte
}

// openDump maps a dump. Bytes as they are start at base.
func openDump(name string, base phys.Addr) (*dump, error) {
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
	d := &dump{}
	if d.file, err = unix.Mmap(int(f.Fd()), 0, int(info.Size()), unix.PROT_READ, unix.MAP_PRIVATE); err != nil {
		return nil, fmt.Errorf("%s: %w", name, err)
	}
	if err := d.read(base); err != nil {
		d.close()
		return nil, fmt.Errorf("%s: %w", name, err)
	}
	return d, nil
}

func (d *dump) close() error { return unix.Munmap(d.file) }

// read finds the segments.
func (d *dump) read(base phys.Addr) error {
	if !bytes.HasPrefix(d.file, []byte(elf.ELFMAG)) {
		return d.add(base, d.file)
	}
	core, err := elf.NewFile(bytes.NewReader(d.file))
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
		if size := uint64(len(d.file)); p.Off > size || p.Filesz > size-p.Off {
			return fmt.Errorf("segment %d: %#x bytes at offset %#x of %#x: the dump is cut short", i, p.Filesz, p.Off, size)
		}
		if err := d.add(phys.Addr(p.Paddr), d.file[p.Off:p.Off+p.Filesz]); err != nil {
			return fmt.Errorf("segment %d: %w", i, err)
		}
	}
	if len(d.segments) == 0 {
		return fmt.Errorf("the core holds no memory")
	}
	return nil
}

func (d *dump) add(start phys.Addr, data []byte) error {
	r, ok := phys.Span(start, uint64(len(data)))
	if !ok {
		return fmt.Errorf("%#x bytes at %v wrap", len(data), start)
	}
	d.segments = append(d.segments, segment{r, data})
	d.ram = d.ram.Add(r)
	return nil
}

// View implements [phys.Memory]. What two segments of a core hold together is not seen as one.
func (d *dump) View(a phys.Addr, n uint64) ([]byte, error) {
	if err := phys.Check(d.ram, a, n); err != nil {
		return nil, err
	}
	for _, s := range d.segments {
		if at, ok := phys.Span(a, n); ok && s.Contains(at) {
			i := int(a - s.Start)
			return s.data[i : i+int(n) : i+int(n)], nil
		}
	}
	return nil, &phys.Error{Object: "memory", Addr: a, Found: fmt.Sprintf("%d bytes in two segments of the dump", n), Err: phys.ErrNotRAM}
}

// Edit implements [phys.Memory]: a dump does not change.
func (d *dump) Edit(a phys.Addr, _ uint64) ([]byte, error) {
	return nil, &phys.Error{Object: "memory", Addr: a, Found: "a dump", Err: phys.ErrReadOnly}
}

// RAM implements [phys.Memory].
func (d *dump) RAM() phys.Ranges { return d.ram }

package extract

import (
	"bytes"
	"debug/elf"
	"encoding/binary"
	"slices"

	"ferry/boot/opened"
	"ferry/phys"
)

// Bounds of a kernel: its linker script has five program headers, and begins a
// segment at the next 2 MiB.
const (
	maxSegments = 16
	maxHole     = 64 << 20
)

// file is the ELF file of a kernel, as far as the decompressor looks at it.
type file struct {
	link     phys.Addr // least physical address: what the kernel is linked for
	entry    uint64    // from there on
	memory   uint64    // bytes from there to the kernel's end, in whole pages of 2 MiB
	image    []byte    // from there to the last byte that is in the file; holes are zero
	segments []segment // ascending
	end      uint64    // of the file: what follows it is not its own
}

// segment is a piece of the image that is in the file.
type segment struct {
	at, size uint64 // in the image
}

// parseELF reads a kernel's ELF file, of which the decompressor reads only the
// loadable segments.
func parseELF(b []byte) (*file, error) {
	var h elf.Header64
	if binary.Read(bytes.NewReader(b), binary.LittleEndian, &h) != nil {
		return nil, refuse("its ELF file is cut short at %d bytes", len(b))
	}
	switch {
	case string(h.Ident[:4]) != elf.ELFMAG, elf.Class(h.Ident[elf.EI_CLASS]) != elf.ELFCLASS64,
		elf.Data(h.Ident[elf.EI_DATA]) != elf.ELFDATA2LSB, elf.Machine(h.Machine) != elf.EM_X86_64, elf.Type(h.Type) != elf.ET_EXEC:
		return nil, refuse("it is no executable ELF file for x86-64")
	case h.Phentsize != 56 || h.Phnum == 0 || h.Phnum > maxSegments:
		return nil, refuse("its ELF file has %d program headers of %d bytes, want at most %d of 56", h.Phnum, h.Phentsize, maxSegments)
	}
	f := &file{}
	var ok bool
	if f.end, ok = extent(h.Shoff, uint64(h.Shnum)*uint64(h.Shentsize), b); !ok || h.Shnum == 0 {
		return nil, refuse("its ELF file has %d section headers at %#x, in %d bytes", h.Shnum, h.Shoff, len(b))
	}
	table, ok := extent(h.Phoff, uint64(h.Phnum)*56, b)
	if !ok {
		return nil, refuse("its ELF file has program headers at %#x, in %d bytes", h.Phoff, len(b))
	}
	progs := make([]elf.Prog64, h.Phnum)
	if err := binary.Read(bytes.NewReader(b[h.Phoff:table]), binary.LittleEndian, progs); err != nil {
		return nil, refuse("%w", err)
	}
	progs = slices.DeleteFunc(progs, func(p elf.Prog64) bool { return elf.ProgType(p.Type) != elf.PT_LOAD })
	if err := f.load(progs, b[:f.end]); err != nil {
		return nil, err
	}
	f.entry = h.Entry - uint64(f.link)
	// From 6.18 on startup_64 lies in .init.text, whose segment is not marked
	// executable: the kernel sets its own rights.
	if !f.holds(f.entry, 1) {
		return nil, refuse("its entry %#x lies in none of its segments", h.Entry)
	}
	return f, nil
}

// extent returns the end of n bytes at an offset of b.
func extent(off, n uint64, b []byte) (end uint64, ok bool) {
	return off + n, off <= uint64(len(b)) && n <= uint64(len(b))-off
}

// load puts the segments where they lie relative to the first.
func (f *file) load(progs []elf.Prog64, b []byte) error {
	last := uint64(0) // end of the segment before
	for i, p := range progs {
		end, ok := extent(p.Off, p.Filesz, b)
		switch {
		case p.Align == 0 || p.Align%hugePage != 0:
			return refuse("segment %d is aligned to %#x, want multiples of 2 MiB", i, p.Align)
		case p.Filesz > p.Memsz:
			return refuse("segment %d has %d bytes in the file, %d in memory", i, p.Filesz, p.Memsz)
		case !ok:
			return refuse("segment %d lies at %#x of the file, %d bytes, behind its end", i, p.Off, p.Filesz)
		case p.Paddr < last || p.Paddr >= opened.RandomSpace || p.Memsz > opened.RandomSpace-p.Paddr:
			return refuse("segment %d lies at physical %#x, %d bytes, want it above %#x and below 1 GiB", i, p.Paddr, p.Memsz, last)
		case p.Vaddr-p.Paddr != opened.BaseVirtual:
			return refuse("segment %d has physical address %#x and virtual address %#x, which do not belong together", i, p.Paddr, p.Vaddr)
		}
		if i == 0 {
			f.link = phys.Addr(p.Paddr)
		}
		at := p.Paddr - uint64(f.link)
		hole := at - uint64(len(f.image))
		if hole > maxHole {
			return refuse("%d bytes before segment %d are in none, want at most %d", hole, i, maxHole)
		}
		if p.Filesz > 0 {
			f.image = append(f.image, make([]byte, hole)...)
			f.image = append(f.image, b[p.Off:end]...)
			f.segments = append(f.segments, segment{at, p.Filesz})
		}
		last = p.Paddr + p.Memsz
		f.memory = hugeUp(last - uint64(f.link))
	}
	if len(f.segments) == 0 {
		return refuse("its ELF file has nothing to load")
	}
	return nil
}

package linker

import (
	"debug/elf"
	"fmt"
	"io"

	"ferry/linker/header"
)

// maxFlat bounds the memory image; a stray segment address shows as a huge one.
const maxFlat = 256 << 20

// flatten checks the program and returns its memory image from the base address,
// page-rounded, with the header page still empty.
func flatten(f *elf.File) (*Params, []byte, error) {
	if f.Class != elf.ELFCLASS64 || f.Data != elf.ELFDATA2LSB || f.Machine != elf.EM_X86_64 {
		return nil, nil, fmt.Errorf("%v %v %v: want a 64-bit little endian x86-64 file", f.Class, f.Data, f.Machine)
	}
	if f.Type != elf.ET_EXEC {
		return nil, nil, fmt.Errorf("file type %v: want ET_EXEC, build without -buildmode=pie", f.Type)
	}
	loads, err := loadable(f)
	if err != nil {
		return nil, nil, err
	}
	p := &Params{Base: base(loads[0])}
	if err := firstPage(f, p.Base); err != nil {
		return nil, nil, err
	}
	var flat []byte
	for _, l := range loads {
		seg, err := p.segment(l)
		if err != nil {
			return nil, nil, err
		}
		p.Segments = append(p.Segments, seg)
		end := roundUp(seg.FileEnd - p.Base)
		if end > maxFlat {
			return nil, nil, fmt.Errorf("segment %#x: ends %#x bytes after the image base %#x, want at most %#x",
				l.Vaddr, end, p.Base, uint64(maxFlat))
		}
		if n := int(end) - len(flat); n > 0 {
			flat = append(flat, make([]byte, n)...)
		}
		skip := seg.Start - l.Vaddr
		to := flat[seg.Start-p.Base : seg.FileEnd-p.Base]
		if _, err := io.ReadFull(io.NewSectionReader(l, int64(skip), int64(len(to))), to); err != nil {
			return nil, nil, fmt.Errorf("segment %#x: %d bytes of the file: %w", l.Vaddr, len(to), err)
		}
	}
	p.FileSize = uint64(len(flat))
	return p, flat, p.checkEntry(f.Entry)
}

// loadable returns the segments that occupy memory, in ascending order, after
// checking each and that no two share a page.
func loadable(f *elf.File) ([]*elf.Prog, error) {
	var loads []*elf.Prog
	for _, l := range f.Progs {
		switch {
		case l.Type == elf.PT_INTERP || l.Type == elf.PT_DYNAMIC:
			return nil, fmt.Errorf("program header %v: the image must be static, build with CGO_ENABLED=0", l.Type)
		case l.Type != elf.PT_LOAD || l.Memsz == 0:
			continue
		case l.Vaddr%PageSize != 0:
			return nil, fmt.Errorf("segment %#x: does not start on a page", l.Vaddr)
		case l.Filesz > l.Memsz:
			return nil, fmt.Errorf("segment %#x: %#x bytes in the file, but %#x in memory", l.Vaddr, l.Filesz, l.Memsz)
		case l.Vaddr+roundUp(l.Memsz) < l.Vaddr || roundUp(l.Memsz) < l.Memsz:
			return nil, fmt.Errorf("segment %#x: %#x bytes pass the end of the address space", l.Vaddr, l.Memsz)
		case l.Flags&(elf.PF_X|elf.PF_W) == elf.PF_X|elf.PF_W:
			return nil, fmt.Errorf("segment %#x: both writable and executable", l.Vaddr)
		}
		if n := len(loads); n > 0 {
			last := loads[n-1]
			if l.Vaddr < last.Vaddr+roundUp(last.Memsz) {
				return nil, fmt.Errorf("segment %#x: overlaps or precedes segment [%#x-%#x]",
					l.Vaddr, last.Vaddr, last.Vaddr+roundUp(last.Memsz)-1)
			}
		}
		loads = append(loads, l)
	}
	switch {
	case len(loads) == 0:
		return nil, fmt.Errorf("no loadable segment")
	case len(loads) > header.MaxSegments:
		return nil, fmt.Errorf("%d loadable segments, want at most %d", len(loads), header.MaxSegments)
	case base(loads[0]) > loads[0].Vaddr:
		return nil, fmt.Errorf("segment %#x: no page below it for the header page", loads[0].Vaddr)
	}
	return loads, nil
}

// base returns the virtual address of the header page: the page of the ELF
// header if the lowest segment maps it, and the page below otherwise.
func base(lowest *elf.Prog) uint64 {
	if lowest.Off == 0 {
		return lowest.Vaddr
	}
	return lowest.Vaddr - PageSize
}

// firstPage proves that the header page replaces nothing that the program uses:
// only headers and notes may be there.
func firstPage(f *elf.File, base uint64) error {
	for _, s := range f.Sections {
		if s.Flags&elf.SHF_ALLOC != 0 && s.Type != elf.SHT_NOTE && s.Size > 0 &&
			s.Addr < base+PageSize && s.Addr+s.Size > base {
			return fmt.Errorf("section %s at %#x: lies in the header page %#x, link the text at %#x (-T)",
				s.Name, s.Addr, base, base+PageSize)
		}
	}
	return nil
}

// segment describes l, less the header page.
func (p *Params) segment(l *elf.Prog) (header.Segment, error) {
	s := header.Segment{Start: l.Vaddr, FileEnd: l.Vaddr + l.Filesz, MemEnd: l.Vaddr + l.Memsz}
	s.Start = max(s.Start, p.Base+PageSize)
	if s.FileEnd < s.Start {
		return s, fmt.Errorf("segment %#x: holds nothing beyond the header page", l.Vaddr)
	}
	for _, m := range []struct {
		elf  elf.ProgFlag
		ours uint64
	}{{elf.PF_X, header.Exec}, {elf.PF_W, header.Write}, {elf.PF_R, header.Read}} {
		if l.Flags&m.elf != 0 {
			s.Flags |= m.ours
		}
	}
	return s, nil
}

// checkEntry proves that the 64-bit entry jumps to code of the image.
func (p *Params) checkEntry(entry uint64) error {
	for _, s := range p.Segments {
		if s.Flags&header.Exec != 0 && s.Start <= entry && entry < s.FileEnd {
			return nil
		}
	}
	return fmt.Errorf("entry %#x: not in an executable segment of the image", entry)
}

// roundUp returns n rounded up to whole pages.
func roundUp(n uint64) uint64 { return (n + PageSize - 1) &^ (PageSize - 1) }

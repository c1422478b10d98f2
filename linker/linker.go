// Package linker turns the ELF file of a stage into a bzImage that QEMU's
// -kernel, boot loaders and kexec_file_load start alike.
//
// The ELF file comes from the Go toolchain of the same build and is trusted as
// far as its author; it is still checked, because a wrong link flag shows here
// and nowhere else before the machine hangs. The format is that of the x86 boot
// protocol 2.15, Documentation/arch/x86/boot.rst in the Linux source.
//
// A bzImage has two parts. The setup part (4 KiB, setup.go) runs in 16-bit mode
// and only if a BIOS loader starts it. The protected-mode part is the memory
// image of the program, byte for byte from its base address: bytes that the ELF
// file maps at virtual address v are at offset v-base. Its first page, the
// ELF header of a Go program, is replaced by the header page of package header.
//
// The image is position independent up to the ELF entry: it runs at the physical
// address that the loader chose, with the program counter at load + (v-base).
// Zero-initialised data is not in the file and is not cleared by any stub.
package linker

import (
	"debug/elf"
	"encoding/binary"
	"fmt"
	"io"

	"ferry/linker/header"
)

// Sizes and places, in bytes.
const (
	PageSize    = header.PageSize
	MinWorkSize = 1 << 20    // memory that a stage must have beyond its file bytes and the tail
	Alignment   = 2 << 20    // physical alignment that the image demands of its loader
	PrefAddress = 16 << 20   // lowest address at which loaders should place it
	InitSize    = 64 << 20   // default size of the stage's memory
	maxInitSize = 0xfffff000 // init_size is a 32-bit field
)

// Params is what the image says about itself in its header page.
type Params struct {
	Base     uint64 // virtual address of the header page
	InitSize uint64 // bytes of RAM from the load address that belong to the stage
	FileSize uint64 // bytes of the protected-mode part, a multiple of the page size
	Segments []header.Segment
}

// Options are the choices of the one who builds an image.
type Options struct {
	InitSize uint64 // bytes, a multiple of the page size; 0 means the default
	Version  string // name shown by file(1) and boot loaders; "" means "ferry" and [Version]
}

// Link reads an ELF executable and returns the bzImage. The result depends on
// nothing but the arguments.
func Link(r io.ReaderAt, o Options) ([]byte, error) {
	if o.InitSize == 0 {
		o.InitSize = InitSize
	}
	if o.Version == "" {
		o.Version = "ferry " + Version
	}
	f, err := elf.NewFile(r)
	if err != nil {
		return nil, fmt.Errorf("linker: not an ELF file: %w", err)
	}
	p, flat, err := flatten(f)
	if err != nil {
		return nil, fmt.Errorf("linker: %w", err)
	}
	p.InitSize = o.InitSize
	if err := p.checkSize(); err != nil {
		return nil, fmt.Errorf("linker: %w", err)
	}
	if err := headerPage(flat[:PageSize], p, f.Entry); err != nil {
		return nil, fmt.Errorf("linker: %w", err)
	}
	setup, err := setupPart(p, o.Version)
	if err != nil {
		return nil, fmt.Errorf("linker: %w", err)
	}
	return append(setup, flat...), nil
}

// checkSize proves that the stage's memory holds the image and some room to work.
func (p *Params) checkSize() error {
	need := p.FileSize + header.TailSize + MinWorkSize
	switch {
	case p.InitSize%PageSize != 0 || p.InitSize > maxInitSize:
		return fmt.Errorf("init size %#x: want a multiple of %#x of at most %#x", p.InitSize, PageSize, uint64(maxInitSize))
	case p.InitSize < need:
		return fmt.Errorf("init size %#x is too small: the file has %#x bytes, so at least %#x are needed",
			p.InitSize, p.FileSize, need)
	}
	return nil
}

// headerPage writes the first page of the protected-mode part.
func headerPage(page []byte, p *Params, entry uint64) error {
	stub, err := assemble(entry32, 0)
	if err != nil {
		return fmt.Errorf("32-bit entry: %w", err)
	}
	if len(stub) > header.Entry64 {
		return fmt.Errorf("32-bit entry of %d bytes reaches into the 64-bit entry", len(stub))
	}
	clear(page)
	copy(page, stub)

	const jump = 5 // e9 and the distance from the next instruction
	distance := int64(entry-p.Base) - header.Entry64 - jump
	if distance != int64(int32(distance)) {
		return fmt.Errorf("entry %#x is too far from the image base %#x", entry, p.Base)
	}
	page[header.Entry64] = 0xe9 // jmp rel32
	binary.LittleEndian.PutUint32(page[header.Entry64+1:], uint32(distance))

	kernelInfo(page[header.KernelInfo:])
	p.put(page[header.Params:])
	return nil
}

// put writes the image parameters.
func (p *Params) put(b []byte) {
	words := []uint64{header.Magic, p.Base, p.InitSize, p.FileSize, uint64(len(p.Segments))}
	for _, s := range p.Segments {
		words = append(words, s.Start, s.FileEnd, s.MemEnd, s.Flags)
	}
	for i, w := range words {
		binary.LittleEndian.PutUint64(b[8*i:], w)
	}
}

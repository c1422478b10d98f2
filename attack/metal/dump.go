//go:build linux

package metal

import (
	"debug/elf"
	"encoding/binary"
	"errors"
	"fmt"
	"time"

	"ferry/boot"
	"ferry/internal/qemu"
	"ferry/kho"
	"ferry/luo"
	"ferry/memfd"
	"ferry/phys"
)

// Image is a program for metal: the image to boot, and the ELF file with its
// symbols.
type Image struct {
	Path string // bzImage
	ELF  string
}

// Symbol returns the virtual address of a symbol.
func (i Image) Symbol(name string) (uint64, error) {
	f, err := elf.Open(i.ELF)
	if err != nil {
		return 0, err
	}
	defer f.Close()
	symbols, err := f.Symbols()
	if err != nil {
		return 0, err
	}
	for _, s := range symbols {
		if s.Name == name {
			return s.Value, nil
		}
	}
	return 0, fmt.Errorf("%s: no symbol %s", i.ELF, name)
}

// Start is where a kernel starts.
type Start struct{ Entry, ZeroPage phys.Addr }

// Leave lets a machine run in the image until it starts the next kernel, and stops before the
// first instruction of that.
func Leave(d *qemu.Debugger, i Image) (s Start, err error) {
	at, err := i.Symbol("ferry/board/amd64/internal/kernel.(*machine).depart")
	if err != nil {
		return s, err
	}
	if err := d.To(at); err != nil {
		return s, err
	}
	to, err := d.Register(qemu.RBX) // *target, of which entry and zero page come first
	if err != nil {
		return s, err
	}
	words, err := d.Words(to, 2)
	if err != nil {
		return s, err
	}
	s = Start{phys.Addr(words[0]), phys.Addr(words[1])}
	return s, d.To(words[0])
}

// Dump is the memory of a machine that is stopped before the first instruction
// of a stage, with the handover that came in for it.
type Dump struct {
	*qemu.RAM
	Start
	Params *boot.Params
	Data   kho.Data
	Raw    *[kho.DataSize]byte

	// Tables are the page tables of the kernel before, by which the machine runs; none
	// where a [qemu.Starter] started it, whose own are in ROM.
	Tables phys.Ranges
}

// Look reads what a kernel that starts so finds in memory.
func Look(ram *qemu.RAM, s Start) (*Dump, error) {
	p, err := boot.Read(ram, s.ZeroPage)
	if err != nil {
		return nil, err
	}
	ram.Limit(p.E820.RAM())
	d := &Dump{RAM: ram, Start: s, Params: p}
	if d.Raw, err = p.KHO(); err != nil || d.Raw == nil {
		return d, err
	}
	d.Data, err = kho.ParseData(s.ZeroPage, d.Raw[:])
	return d, err
}

// Copy returns a dump of its own, of the same bytes.
func (d *Dump) Copy(path string) (*Dump, error) {
	if err := d.RAM.Copy(path); err != nil {
		return nil, err
	}
	ram, err := qemu.OpenRAM(path)
	if err != nil {
		return nil, err
	}
	ram.Limit(d.RAM.RAM())
	c := *d
	c.RAM = ram
	return &c, nil
}

// Scratch returns the areas of the scratch table that are not empty, in its order,
// and the table's own memory.
func (d *Dump) Scratch() (areas []phys.Range, table phys.Range, err error) {
	b, err := d.View(d.Data.Scratch, d.Data.ScratchSize)
	if err != nil {
		return nil, table, err
	}
	table = phys.Range{Start: d.Data.Scratch, End: d.Data.Scratch + phys.Addr(len(b))}
	for ; len(b) >= 16; b = b[16:] {
		le := binary.LittleEndian
		if r, ok := phys.Span(phys.Addr(le.Uint64(b)), le.Uint64(b[8:])); ok && !r.Empty() {
			areas = append(areas, r)
		}
	}
	return areas, table, nil
}

// Load puts another kernel, such as a stage with its payload, in the place of the
// one that was about to start, where kexec would have put it, with the handover as
// it is.
func (d *Dump) Load(kernel, initrd []byte, cmdline string) (Start, error) {
	scratch, table, err := d.Scratch()
	if err != nil {
		return Start{}, err
	}
	p, err := d.Params.Place(boot.Next{
		Kernel: boot.Part{Bytes: kernel}, Initrd: boot.Part{Bytes: initrd}, Cmdline: cmdline,
		KHO: d.Raw, Seed: make([]byte, 32), Scratch: scratch, Occupied: phys.NewRanges(table),
	})
	if err != nil {
		return Start{}, err
	}
	return Start{p.Entry, p.ZeroPage}, p.Write(d.RAM)
}

// Resume is the machine that goes on from the dump: a fresh one, with the dump for
// its memory, in which the kernel starts. It does not run by the dump's Tables, but with
// four levels of its own, and has no others: an opened kernel has to be entered with the
// number that its decompressor would leave.
func (d *Dump) Resume(s Start, timeout time.Duration) qemu.Machine {
	return qemu.Machine{RAM: d.Path, CPU: "max,la57=off", Firmware: qemu.Starter(s.Entry, s.ZeroPage), Timeout: timeout}
}

// Contents is what memory a handover consists of.
type Contents struct {
	*kho.Handover
	State   *luo.State
	Nodes   phys.Ranges // pages of the map
	Blocks  phys.Ranges // all that is preserved
	Files   phys.Ranges // of that, the bytes of files, of reserved memory, and of what nobody names
	Records phys.Ranges // all that says what there is: nodes, trees, records
}

// All is the memory of the handover.
func (c *Contents) All() phys.Ranges { return c.Nodes.Add(c.Blocks...) }

// Read reads the handover that data names with Ferry's readers. hint is as for
// [kho.Open].
func Read(mem phys.Memory, data kho.Data, hint *kho.Format) (*Contents, error) {
	h, err := kho.Open(mem, data, hint)
	if err != nil {
		return nil, err
	}
	c := &Contents{Handover: h}
	check := h.Ledger()
	if c.State, err = luo.Restore(h, check); err != nil {
		return nil, err
	}
	for _, n := range h.Map().Nodes() {
		c.Nodes = append(c.Nodes, phys.Block{Addr: n.Addr()}.Range())
	}
	c.Nodes = phys.NewRanges(c.Nodes...)
	var files []phys.Range
	err = h.Map().Walk(func(b phys.Block) error {
		c.Blocks = append(c.Blocks, b.Range())
		if b.Order > 4 { // more than the largest array of records
			files = append(files, b.Range())
		}
		return nil
	})
	c.Blocks = phys.NewRanges(c.Blocks...)
	regions, bad := h.Reserved()
	err = errors.Join(err, bad, h.TestObjects(func(_ string, b phys.Block) error {
		if b.Order > 0 {
			files = append(files, b.Range())
		}
		return nil
	}))
	for _, r := range regions {
		files = append(files, r.Range)
	}
	for s, bad := range c.State.Sessions() {
		if bad != nil {
			return nil, bad
		}
		for f, bad := range s.Files() {
			if bad != nil {
				return nil, bad
			}
			format := memfd.ByHandler(f.Handler)
			if format == nil {
				continue
			}
			file, bad := memfd.Open(check, memfd.Ref{Format: format, Addr: phys.Addr(f.Data)})
			if bad != nil {
				continue // it is damaged, and its memory nobody's
			}
			file.Walk(func(folio memfd.Folio) error { // as far as it is sound
				if !folio.Hole() && !folio.Lost {
					files = append(files, folio.Block.Range())
				}
				return nil
			})
		}
	}
	c.Files = phys.NewRanges(files...)
	c.Records = c.All().Sub(c.Files...)
	return c, err
}

// Noted reports whether all that differs in a page is that entries of a page table of
// the kernel before have become accessed or dirty: the processor runs on those tables
// until the stage has its own. No other page is forgiven anything.
func (d *Dump) Noted(after *qemu.RAM, a phys.Addr) bool {
	const present, marks = 1, 0x60
	if !d.Tables.Contains(phys.Block{Addr: a}.Range()) {
		return false
	}
	was, err := d.RAM.View(a, phys.PageSize)
	if err != nil {
		return false
	}
	is, err := after.View(a, phys.PageSize)
	if err != nil {
		return false
	}
	for i := 0; i < phys.PageSize; i += 8 {
		w, n := binary.LittleEndian.Uint64(was[i:]), binary.LittleEndian.Uint64(is[i:])
		if w != n && (w&present == 0 || n&^w&^marks != 0 || w&^n != 0) {
			return false
		}
	}
	return true
}

// Package kho models the Kexec HandOver (KHO): what one Linux kernel leaves in
// physical memory for the next one.
//
// A handover is found through one 32-byte payload in the boot protocol's
// setup_data list ([Data]). It names two things: a table of scratch areas, the
// only memory that the next kernel may use early, and a device tree whose root
// holds the address of the preserved-memory map - a set of naturally aligned
// blocks that must survive - and whose child nodes (sub-trees) are addresses of
// whatever the users of the handover left: live update sessions, reserved
// memory, the producer's name.
//
// All of it was written by the previous kernel, which checks little, and is
// untrusted. [Open] proves the whole structure once and writes nothing; after it the
// types here answer without further checks. A [Draft] is the next handover in the making:
// it shares what does not change with the old one and never writes to it.
//
// The formats of the releases differ; each has one file here, named after its
// version string, with all of its constants. Source: Linux,
// kernel/liveupdate/kexec_handover.c and include/linux/kho/abi/.
package kho

import (
	"encoding/binary"
	"errors"
	"fmt"
	"slices"

	"ferry/fdt"
	"ferry/own"
	"ferry/phys"
)

// Rules that a handover can break.
var (
	ErrPayload   = errors.New("bad handover payload")
	ErrScratch   = errors.New("bad scratch table")
	ErrTree      = errors.New("bad handover device tree")
	ErrVersion   = errors.New("unknown handover version")
	ErrAmbiguous = errors.New("more than one format fits the handover")
	ErrMap       = errors.New("bad preserved-memory map")
	ErrOverlap   = errors.New("overlap")
	ErrVmalloc   = errors.New("bad vmalloc area")
	ErrMetadata  = errors.New("bad kexec metadata")
	ErrReserved  = errors.New("bad reserved memory")
	ErrNoMemory  = errors.New("out of memory")
)

// SetupType is the type of the setup_data node whose payload is a [Data].
const SetupType = 10

// DataSize is the size in bytes of the payload, little endian.
const DataSize = 32

// Data is the payload by which one kernel finds the handover of the other.
type Data struct {
	FDT         phys.Addr // root device tree, page aligned
	FDTSize     uint64    // bytes to map for it, always one page
	Scratch     phys.Addr // scratch table
	ScratchSize uint64    // bytes, 16 an entry
}

// ParseData reads the payload b, found at address a.
func ParseData(a phys.Addr, b []byte) (Data, error) {
	if len(b) != DataSize {
		return Data{}, &phys.Error{Object: "handover payload", Addr: a, Found: fmt.Sprintf("%d bytes", len(b)),
			Want: fmt.Sprint(DataSize), Err: ErrPayload}
	}
	u := binary.LittleEndian.Uint64
	return Data{phys.Addr(u(b)), u(b[8:]), phys.Addr(u(b[16:])), u(b[24:])}, nil
}

// Append appends the payload to b.
func (d Data) Append(b []byte) []byte {
	for _, v := range [...]uint64{uint64(d.FDT), d.FDTSize, uint64(d.Scratch), d.ScratchSize} {
		b = binary.LittleEndian.AppendUint64(b, v)
	}
	return b
}

// Handover is an incoming handover that [Open] found sound. What it says was proved,
// and nobody outside this package can change it.
type Handover struct {
	data       Data
	table      []ScratchArea
	scratch    phys.Ranges
	remembered phys.Ranges
	forgotten  error
	subtrees   []Subtree
	preserved  *Map

	mem    phys.Memory
	rules  *own.Rules
	format *Format
	alike  []*Format // all in which it says the same
	tree   *fdt.Tree
}

// Data returns the payload that names the handover.
func (h *Handover) Data() Data { return h.data }

// Compatible returns the version string of the handover's format, such as "kho-v4".
func (h *Handover) Compatible() string { return h.format.Compatible() }

// Table returns the scratch table as it was read, empty areas included.
func (h *Handover) Table() []ScratchArea { return slices.Clone(h.table) }

// Scratch returns the areas of the scratch table as a set, without empty ones.
func (h *Handover) Scratch() phys.Ranges { return slices.Clone(h.scratch) }

// Remembered returns the pieces that earlier crossings cut off scratch: ordinary
// memory, see pool.go.
func (h *Handover) Remembered() phys.Ranges { return slices.Clone(h.remembered) }

// Forgotten says why pieces that the table names are not remembered; nil if all are.
func (h *Handover) Forgotten() error { return h.forgotten }

// Subtrees returns the sub-trees in the order of the device tree.
func (h *Handover) Subtrees() []Subtree { return slices.Clone(h.subtrees) }

// Map returns what is preserved.
func (h *Handover) Map() *Map { return h.preserved }

// Open reads and proves the handover that d names. It writes nothing and reads
// nothing that it has not checked. The error is a [*phys.Error], or several
// [phys.Errors] if more than one sub-tree is damaged.
//
// claim is the format of the kernel that wrote the handover if somebody says which,
// else nil. It need not be one of [Formats]. It counts only among the formats of one
// version string, and memory decides among them. If memory says another one, or leaves
// open which of them it is and that makes a difference, the error wraps
// [ErrAmbiguous]. So sound memory is never read wrongly, whatever is claimed.
//
// Afterwards: the scratch areas are RAM, and their table is in one of them or in
// memory without an owner; every node of the map is RAM outside
// scratch and referenced once; every preserved block is RAM outside scratch,
// above [phys.LowMemory], overlaps no other block and no node; the device tree and
// every byte of every sub-tree are preserved. Only a handover of the older kernels
// that preserves nothing at all does not preserve its device tree either.
func Open(mem phys.Memory, d Data, claim *Format) (*Handover, error) {
	return open(mem, d, claim, func(h *Handover, fit []*Format) (*Handover, error) { return h.choose(fit, claim) })
}

// OpenAs is Open of a handover whose format is known, because the caller wrote it:
// whatever else memory could be taken for does not count. f need not be one of
// [Formats].
func OpenAs(mem phys.Memory, d Data, f *Format) (*Handover, error) {
	return open(mem, d, f, func(h *Handover, fit []*Format) (*Handover, error) {
		if !slices.Contains(fit, f) {
			root := h.tree.Root()
			return nil, &phys.Error{Object: "root device tree: root node", Addr: root.Addr(), Found: fmt.Sprint(fit), Want: f.String(), Err: ErrVersion}
		}
		r := h.as(f)
		return r.Handover, r.err
	})
}

// open opens a handover in one of [Formats] or in f, which may be nil.
func open(mem phys.Memory, d Data, f *Format, choose func(*Handover, []*Format) (*Handover, error)) (*Handover, error) {
	h := &Handover{data: d, mem: mem}
	var err error
	if h.table, h.scratch, err = readScratch(mem, d); err != nil {
		return nil, phys.In("kho", d.Scratch, err)
	}
	h.rules = own.NewRules(mem.RAM(), h.scratch)
	fit, err := h.openTree(formatsAnd(f))
	if err == nil {
		h, err = choose(h, fit)
	}
	if err != nil {
		return nil, phys.In("kho", d.FDT, err)
	}
	_, pieces := splitTable(h.table)
	if h.forgotten = checkPieces(mem.RAM(), h.scratch, pieces); h.forgotten == nil {
		h.remembered = pieces
	}
	return h, nil
}

// Recognise returns the formats that the handover named by d may be in, as far as
// its root device tree can be read at all: the string of the oldest kernels means
// one of two, and memory usually rules out the other. Nothing else is proved.
func Recognise(mem phys.Memory, d Data) []*Format {
	t, err := d.tree(mem)
	if err != nil {
		return nil
	}
	fit, _ := recognise(t.Root(), formats[:])
	if len(fit) > 1 {
		if h, err := Open(mem, d, nil); err == nil {
			return h.Formats()
		}
	}
	return fit
}

// openTree reads the root device tree, and in it the address of the map. It
// returns the formats that it may be in.
func (h *Handover) openTree(all []*Format) ([]*Format, error) {
	d := h.data
	if d.FDTSize != phys.PageSize {
		return nil, &phys.Error{Object: "payload", Addr: d.FDT, Found: fmt.Sprintf("device tree of %d bytes", d.FDTSize),
			Want: fmt.Sprint(phys.PageSize), Err: ErrPayload}
	}
	page, err := h.rules.View(h.mem, "page", d.FDT)
	if err != nil {
		return nil, phys.In("root device tree", d.FDT, err)
	}
	if h.tree, err = fdt.Parse(d.FDT, page); err != nil {
		return nil, phys.In("root", d.FDT, err)
	}
	root := h.tree.Root()
	if err = root.Unique(); err != nil {
		return nil, phys.In("root device tree", d.FDT, err)
	}
	fit, err := recognise(root, all)
	if err != nil {
		return nil, phys.In("root device tree", d.FDT, err)
	}
	pointer, err := root.Uint64(fit[0].mapProperty)
	if err != nil {
		return nil, phys.In("root device tree", d.FDT, err)
	}
	h.preserved = &Map{mem: h.mem, rules: h.rules, root: phys.Addr(pointer)}
	return fit, nil
}

// read reads the map, and what the root device tree names, in the format of h.
func (h *Handover) read() error {
	d, root := h.data, h.tree.Root()
	h.preserved = &Map{mem: h.mem, rules: h.rules, root: h.preserved.root}
	if err := h.preserved.read(h.format); err != nil {
		property, _ := root.Property(h.format.mapProperty)
		return phys.In(fmt.Sprintf("property %v: preserved-memory map", property.Addr), h.preserved.root, err)
	}
	if h.preserved.root == 0 {
		return unfinished(root)
	}
	if b := (phys.Block{Addr: d.FDT}); !h.preserved.Preserved(b) {
		return own.NotPreserved("root device tree", b)
	}
	var bad phys.Errors
	for n := range root.Children() {
		s, err := h.subtree(n)
		bad.Add(phys.In("root device tree", n.Addr(), err))
		if bad.Full() {
			bad.Add(errMore)
			break
		}
		h.subtrees = append(h.subtrees, s)
	}
	return bad.Err()
}

var errMore = errors.New("too much is damaged: the rest of the sub-trees was not looked at")

// unfinished proves a handover that preserves nothing, not even its own device
// tree, to name nothing either.
func unfinished(root fdt.Node) error {
	for n := range root.Children() {
		return &phys.Error{Object: "sub-tree " + phys.Quote(n.Name()), Addr: n.Addr(), Found: "a handover without a map of what is preserved",
			Want: "one that was finished", Hint: "write 1 to kho/out/finalize in debugfs before the kexec, or let live update do it", Err: own.ErrPreserved}
	}
	return nil
}

// Format returns the format that the handover is written in.
func (h *Handover) Format() *Format { return h.format }

// Formats returns all formats in which the handover says the same: kernels of each
// of them read it alike. If there is more than one, nothing in memory says
// which of them its kernel writes, and Format is the one claimed, or the newest.
func (h *Handover) Formats() []*Format { return slices.Clone(h.alike) }

// Memory returns the memory that the handover was opened in.
func (h *Handover) Memory() phys.Memory { return h.mem }

// Ledger returns a new ledger of who owns which preserved block: nobody yet.
func (h *Handover) Ledger() *own.Ledger { return h.space().Ledger() }

func (h *Handover) space() *own.Space { return own.NewSpace(h.mem, h.rules, h.preserved) }

// notPreservedAt says that the block b is not in the map as such. It is a what, and
// its address was read in object at address at.
func notPreservedAt(object string, at phys.Addr, what string, b phys.Block) error {
	return &phys.Error{Object: object, Addr: at, Found: fmt.Sprintf("%s %v, not preserved with order %d", what, b.Addr, b.Order),
		Want: "a block with its own entry in the preserved-memory map", Err: own.ErrPreserved}
}

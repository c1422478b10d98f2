// Package oracle reads a handover without a line of the product: its forms are
// written from the formats' documentation, and it trusts what it reads. What came in,
// read by it, has to be what arrives, read by it. It imports package phys alone.
//
// [Decode] returns a [Model], the facts of a handover in no generation's form. The
// stand-in for both kernels, package standin, writes and checks handovers by itself.
package oracle

import "ferry/phys"

// Form is how the kernels of a generation lay out a handover, as far as the
// decoder has to know it. It is written from the formats' documentation and
// shares nothing with the packages under test.
type Form struct {
	Name   string
	Bitmap uint64 // bytes of a bitmap in the list of preserved memory; 0: a radix tree
	Tree   bool   // the root of live update is a device tree, records lie in arrays
	FLBs   bool
	Text   uint64 // bytes of the string in struct luo_ser
	Memfd  string // handler; empty: no live update
	Seals  bool
	Meta   bool // kexec-metadata reaches the kernel
}

// Forms are those of every generation.
var Forms = []*Form{
	{Name: "A", Bitmap: 512},
	{Name: "B", Bitmap: 4096},
	{Name: "C", Bitmap: 4096, Tree: true, Memfd: "memfd-v1"},
	{Name: "D", Bitmap: 4096, Tree: true, FLBs: true, Memfd: "memfd-v1"},
	{Name: "E", Tree: true, FLBs: true, Memfd: "memfd-v2", Seals: true, Meta: true},
	{Name: "E'", Text: 24, FLBs: true, Memfd: "memfd-v2", Seals: true, Meta: true},
	{Name: "F", Text: 8, FLBs: true, Memfd: "memfd-v2", Seals: true, Meta: true},
}

// FormOf returns the form of a generation.
func FormOf(name string) *Form {
	for _, f := range Forms {
		if f.Name == name {
			return f
		}
	}
	return nil
}

// Kind says what a word of a [Model] is.
type Kind uint8

// Kinds, in the order in which a model lists them.
const (
	Scratch Kind = iota
	Number
	SessionName
	SessionFiles
	Handler
	Token
	Opaque
	Position
	Size
	Seals
	Folios
	FolioPlace
	FolioOrder
	FolioFlags
	FolioIndex
	NotRetrieved
	FLBs
	FLBName
	FLBData
	FLBUsers
	TreeName
	TreePlace
	TreeSize
	TreeData
	RegionName
	RegionStart
	RegionSize
	RegionPages
	TestMagic
	TestSum
	TestFolio
	MetaVersion
	MetaRelease
	MetaCount
	Unowned
	kinds
)

var kindNames = [kinds]string{"scratch table", "liveupdate number", "session name", "files of a session", "handler", "token", "opaque data",
	"position", "size", "seals", "folios of a file", "place of a folio", "order of a folio", "flags of a folio", "index of a folio",
	"file that cannot be retrieved", "number of FLBs", "FLB name", "FLB data", "users of an FLB", "sub-tree name", "sub-tree place", "sub-tree size", "unknown sub-tree",
	"region name", "region start", "region size", "preserved pages of a region", "magic of a test", "checksum of a test", "folio of a test",
	"version of the metadata", "release in the metadata", "kexecs in the metadata", "preserved memory of nobody"}

func (k Kind) String() string { return kindNames[k] }

// Word is one fact of a model, with the session and the file that it is of.
type Word struct {
	Kind          Kind
	Session, File int32
	Value         uint64
}

// FileKey is which file of which session.
type FileKey struct{ Session, File int32 }

// Model is what a handover says, in no generation's form: the words in a fixed
// order.
type Model struct {
	Words  []Word
	Blocks []phys.Block // what is preserved, by address
	keep   bool         // note Refs
	Refs   []Ref
	by     []phys.Addr // who refers to each of them; 0: nobody

	// GivenUp are the files that cannot be retrieved, as Ferry writes them. What came
	// in is read without them: nothing of them counts but that they are there.
	GivenUp map[FileKey]bool

	// Leaves are the bitmaps of the map: where each lies, and the block that its
	// first bit stands for.
	Leaves map[phys.Addr]phys.Block
	Nodes  []phys.Addr // other pages of the map
	Root   phys.Addr   // of the map

	Areas []phys.Range // of the scratch table, those that are not empty

	mem  phys.Memory
	form *Form
	to   *Form
	bad  error

	without map[FileKey]bool // files of which nothing is read
}

// Ref is a record that says where an object is.
type Ref struct {
	Record phys.Range
	Object phys.Addr
}

// Refer notes that the n bytes at a say where object is.
func (m *Model) Refer(a phys.Addr, n uint64, object phys.Addr) {
	if m.keep && object != 0 {
		m.Refs = append(m.Refs, Ref{phys.Range{Start: a, End: a + phys.Addr(n)}, object})
	}
}

// Handover is where a handover is found: the payload of its setup_data node.
type Handover struct {
	FDT         phys.Addr // root device tree
	FDTSize     uint64
	Scratch     phys.Addr // scratch table
	ScratchSize uint64    // bytes, 16 an area
}

// Owner returns the structure that refers to block i of the model, 0 for nobody.
func (m *Model) Owner(i int) phys.Addr { return m.by[i] }

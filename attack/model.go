//go:build linux && !metal

package attack

import "ferry/phys"

// Form is how the kernels of a generation lay out a handover, as far as the
// decoder has to know it. It is written from the formats' documentation and
// shares nothing with the packages under test.
type Form struct {
	Name   string
	bitmap uint64 // bytes of a bitmap in the list of preserved memory; 0: a radix tree
	tree   bool   // the root of live update is a device tree, records lie in arrays
	flbs   bool
	text   uint64 // bytes of the string in struct luo_ser
	memfd  string // handler; empty: no live update
	seals  bool
	meta   bool // kexec-metadata reaches the kernel
}

// Forms are those of every generation.
var Forms = []*Form{
	{Name: "A", bitmap: 512},
	{Name: "B", bitmap: 4096},
	{Name: "C", bitmap: 4096, tree: true, memfd: "memfd-v1"},
	{Name: "D", bitmap: 4096, tree: true, flbs: true, memfd: "memfd-v1"},
	{Name: "E", tree: true, flbs: true, memfd: "memfd-v2", seals: true, meta: true},
	{Name: "E'", text: 24, flbs: true, memfd: "memfd-v2", seals: true, meta: true},
	{Name: "F", text: 8, flbs: true, memfd: "memfd-v2", seals: true, meta: true},
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
	keep   bool         // note refs
	refs   []ref
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

// ref is a record that says where an object is.
type ref struct {
	record phys.Range
	object phys.Addr
}

// refer notes that the n bytes at a say where object is.
func (m *Model) refer(a phys.Addr, n uint64, object phys.Addr) {
	if m.keep && object != 0 {
		m.refs = append(m.refs, ref{phys.Range{Start: a, End: a + phys.Addr(n)}, object})
	}
}

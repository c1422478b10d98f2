// Package header is the layout of the header page, the first page of the stage's
// memory image: what the linker writes into it, the board reads there before it has
// page tables, and the host tool fills in afterwards.
//
//	0x000  32-bit entry: flat segments, ESI = zero page
//	0x200  64-bit entry: RSI = zero page, identity mapped; jumps to the ELF entry
//	0x7e0  kernel_info of the boot protocol
//	0x800  parameters of the image, see below
//	0xfa0  whose payloads the stage takes, see payload.Trust; zeros: anybody's
//
// The parameters are 64-bit little endian numbers: Magic, the virtual address of the
// header page, the bytes of RAM from the load address on that belong to the stage,
// the bytes of the memory image (a multiple of the page size), the number of segments,
// and the segments, each of four numbers as [Segment] has them.
package header

// Places in the header page, in bytes.
const (
	PageSize   = 4096
	Entry64    = 0x200
	KernelInfo = 0x7e0

	Params   = 0x800 // Magic
	Base     = Params + 8
	InitSize = Params + 16
	FileSize = Params + 24
	Count    = Params + 32
	Segments = Params + 40

	Trust     = PageSize - TrustSize
	TrustSize = 96
)

// Magic opens the parameters: "FERRYIMG" read as a little endian number.
const Magic = 0x474d495952524546

// TailSize is how many bytes at the end of the stage's memory the 32-bit entry uses
// for page tables and stack.
const TailSize = 64 << 10

// MaxSegments is the most that an image may have, a power of two: what the board has
// room for, which is less than the page has.
const MaxSegments = 16

const _ = uint(Trust - Segments - MaxSegments*SegmentSize) // not negative: they fit

// Segment is one mapped piece of the program: virtual addresses. Start is page
// aligned; [FileEnd, MemEnd) is zero-initialised and reads as zero only after the
// board saw to it.
type Segment struct {
	Start, FileEnd, MemEnd uint64
	Flags                  uint64 // Exec, Write, Read
}

// SegmentSize is the bytes of a segment in the page.
const SegmentSize = 32

// Flags of a [Segment], those of ELF.
const (
	Exec  = 1
	Write = 2
	Read  = 4
)

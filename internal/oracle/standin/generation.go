package standin

import (
	"fmt"
	"strings"

	"ferry/phys"
)

// Generation is a run of Linux releases whose handovers look alike, as the
// stand-ins know it: what its producer writes and its consumer accepts.
type Generation struct {
	Name    string // A to F, as Ferry's documents call it
	release string // what uname -r of the stand-in says

	kho      string // compatible string of the root device tree
	bitmap   uint64 // bytes of a bitmap in the list of preserved memory; 0: a radix tree
	pointer  string // property of a sub-tree's node that holds its address
	size     string // the one that holds its size; empty: there is none
	inline   bool   // kho_test lists its folios in the tree itself, there is no kho_vmalloc
	capped   bool   // kho_restore_folio refuses orders above 10
	wide     bool   // blocks of orders above 18 have their size: others compute it in an int
	metadata bool   // kexec-metadata is handed over

	luo       string // compatible string of the root object; empty: it has none
	luoString int    // bytes of what struct luo_ser begins with; 0: a device tree
	features  bool   // luo_ser and the state of memfds begin with a header of feature bits
	flb       bool   // there is a page of file-lifecycle-bound records
	memfd     string // handler of memfds; empty: no LUO
	sealed    bool   // their state has seals
}

// The generations. Sources are the trees of the releases, and for E' the patch
// series "liveupdate: Remove limits on sessions and files", version 6.
var (
	A = &Generation{Name: "A", release: "6.17.13-standin", kho: "kho-v1", bitmap: 512, pointer: "fdt", inline: true, capped: true}
	B = &Generation{Name: "B", release: "6.18.15-standin", kho: "kho-v1", bitmap: 4096, pointer: "fdt", capped: true}
	C = &Generation{Name: "C", release: "6.19.14-standin", kho: "kho-v1", bitmap: 4096, pointer: "fdt", capped: true,
		luo: "luo-v1", memfd: "memfd-v1"}
	D = &Generation{Name: "D", release: "7.0.13-standin", kho: "kho-v1", bitmap: 4096, pointer: "fdt", capped: true,
		luo: "luo-v1", flb: true, memfd: "memfd-v1"}
	E = &Generation{Name: "E", release: "7.1.13-standin", kho: "kho-v3", pointer: "preserved-data", size: "blob-size", metadata: true,
		luo: "luo-v1", flb: true, memfd: "memfd-v2", sealed: true}
	EPrime = &Generation{Name: "E'", release: "7.1.0-v6-standin", kho: "kho-v3", pointer: "preserved-data", size: "blob-size", metadata: true,
		luo: "luo-v4-kho-block-v1", luoString: 24, flb: true, memfd: "memfd-v2", sealed: true}
	F = &Generation{Name: "F", release: "7.3.4-standin", kho: "kho-v4", wide: true, pointer: "preserved-data", size: "blob-size", metadata: true,
		luo: "luo-v5", luoString: 8, flb: true, memfd: "memfd-v2", sealed: true}

	// X is a development tree of 2026, linux-mm 29a75107: nobody runs it.
	X = &Generation{Name: "X", release: "7.3.0-x-standin", kho: "kho-v4", wide: true, pointer: "preserved-data", size: "blob-size", metadata: true,
		luoString: featureHeader, features: true, flb: true, memfd: "memfd", sealed: true}

	// Generations are all of them that somebody runs, in the order of their releases.
	Generations = []*Generation{A, B, C, D, E, EPrime, F}
)

// ByName returns the generation of the name, or of its [Generation.Word].
func ByName(name string) (*Generation, error) {
	for _, g := range append(Generations[:len(Generations):len(Generations)], X) {
		if g.Name == name || g.Word() == name {
			return g, nil
		}
	}
	return nil, fmt.Errorf("no generation is called %q: want A, B, C, D, E, Ep, F or X", name)
}

// Word returns the name as [ByName] reads it and a command line holds it without
// quotes.
func (g *Generation) Word() string { return strings.ReplaceAll(g.Name, "'", "p") }

// Sessions reports whether the generation hands over sessions and files.
func (g *Generation) Sessions() bool { return g.memfd != "" }

// maxInt is the largest order whose bytes an int holds.
const maxInt = 18

// list reports whether preserved memory is a list of bitmaps.
func (g *Generation) list() bool { return g.bitmap > 0 }

// blocks reports whether sessions and files are kept in chains of blocks, not in
// arrays.
func (g *Generation) blocks() bool { return g.luoString > 0 }

// featureHeader is the length in bytes of struct luo_feature_hdr: words that say which
// features the writer has, a reader needs, and the structure uses, and 13 of zeros.
const featureHeader = 128

// head returns what a structure begins with if the generation has feature bits: n of
// them, all needed and used.
func (g *Generation) head(n int) []byte {
	if !g.features {
		return nil
	}
	b := make([]byte, featureHeader)
	for word := range 3 {
		le.PutUint64(b[8*word:], 1<<n-1)
	}
	return b
}

// Feature bits: of luo_ser number, sessions and FLBs; of the state of a memfd seals
// and folios.
const luoFeatures, memfdFeatures = 3, 2

// room is the number of entries of the size that fit a block of the chains, or
// that the producer's array has room for.
func (g *Generation) room(size int) int {
	switch {
	case g.blocks():
		return (phys.PageSize - blockHeader) / size
	case size == sessionSize:
		return 819
	}
	return 128
}

// memfdLayout is where the fields of a memfd's state stand.
type memfdLayout struct{ folios, array, size int }

func (g *Generation) layout() memfdLayout {
	if g.sealed {
		return memfdLayout{folios: 24, array: 32, size: 48} // seals and flags at 16
	}
	return memfdLayout{folios: 16, array: 24, size: 40}
}

// Carried returns shape less what a crossing between the two generations cannot
// carry, or what the first never writes: folios without flags where it has seals, sessions and files where one of them has no LUO, seals where one of them
// records none, FLBs and sub-trees that one of them does not know.
func Carried(from, to *Generation, shape Shape) Shape {
	if !from.Sessions() || !to.Sessions() {
		shape.Sessions, shape.Files = 0, 0
	}
	if !to.sealed {
		shape.Plain = true
	}
	if from.list() || to.list() {
		shape.Odd &^= Raw
	}
	if from.sealed {
		shape.Odd &^= Unset
	}
	return shape
}

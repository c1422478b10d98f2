package kho_test

import (
	"encoding/binary"
	"errors"
	"strings"
	"testing"

	"ferry/fdt"
	"ferry/kho"
	"ferry/own"
	"ferry/phys"
)

const outside = uint64(0x7f00_0000) // no RAM there

// corruption breaks one thing in the fixture, and says how that must be refused.
type corruption struct {
	name   string
	damage func(f *fixture) phys.Addr // returns the address to be named
	rule   error
	object string
}

func TestOpenRefusesBadPayload(t *testing.T) {
	run(t, []corruption{
		{"device tree size not one page", func(f *fixture) phys.Addr { f.data.FDTSize = 8192; return f.data.FDT }, kho.ErrPayload, "payload"},
		{"device tree unaligned", func(f *fixture) phys.Addr { f.data.FDT += 8; return f.data.FDT }, own.ErrPlace, "root device tree"},
		{"device tree outside RAM", func(f *fixture) phys.Addr { f.data.FDT = phys.Addr(outside); return f.data.FDT }, phys.ErrNotRAM, "root device tree"},
		{"device tree at 0", func(f *fixture) phys.Addr { f.data.FDT = 0; return 0 }, own.ErrPlace, "root device tree"},
		{"device tree in scratch", func(f *fixture) phys.Addr { f.data.FDT = scratch2; return scratch2 }, own.ErrPlace, "root device tree"},
		{"no device tree there", func(f *fixture) phys.Addr { f.data.FDT = hugeBlock; return hugeBlock }, fdt.ErrHeader, "root"},
		{"table of no bytes", func(f *fixture) phys.Addr { f.data.ScratchSize = 0; return scratch0 }, kho.ErrScratch, "scratch table"},
		{"table of two entries", func(f *fixture) phys.Addr { f.data.ScratchSize = 32; return scratch0 }, kho.ErrScratch, "scratch table"},
		{"table of odd size", func(f *fixture) phys.Addr { f.data.ScratchSize = 56; return scratch0 }, kho.ErrScratch, "scratch table"},
		{"table too large", func(f *fixture) phys.Addr { f.data.ScratchSize = 16 * 16385; return scratch0 }, kho.ErrScratch, "scratch table"},
		{"table outside RAM", func(f *fixture) phys.Addr { f.data.Scratch = phys.Addr(outside); return f.data.Scratch }, phys.ErrNotRAM, "scratch table"},
		{"table outside scratch", func(f *fixture) phys.Addr {
			copy(f.edit(loneBlock, 48), f.edit(scratch0, 48))
			f.data.Scratch = loneBlock
			return loneBlock
		}, kho.ErrScratch, "scratch table"},
	})
}

func TestOpenRefusesBadScratchTable(t *testing.T) {
	set := func(entry int, addr, size uint64) func(*fixture) phys.Addr {
		return func(f *fixture) phys.Addr {
			at := scratch0 + phys.Addr(16*entry)
			f.setWord(at, addr)
			f.setWord(at+8, size)
			return at
		}
	}
	run(t, []corruption{
		{"area outside RAM", set(1, outside&^0x1fffff, 2<<20), kho.ErrScratch, "entry 1"},
		{"area past the end of RAM", set(2, uint64(ramEnd)-2<<20, 4<<20), kho.ErrScratch, "entry 2"},
		{"area that wraps", set(2, uint64(scratch2), ^uint64(0)&^4095), kho.ErrScratch, "entry 2"},
		{"area unaligned", set(2, uint64(scratch2)+4096, 2<<20), kho.ErrScratch, "entry 2"},
		{"preserved memory in the last page of an area that is not whole pages", func(f *fixture) phys.Addr {
			set(1, uint64(hugeBlock)-2<<20, 2<<20+2048)(f)
			return hugeBlock
		}, own.ErrPlace, "block"},
		{"areas overlap", func(f *fixture) phys.Addr { set(1, uint64(scratch0)+2<<20, 4<<20)(f); return scratch0 }, kho.ErrScratch, "scratch table"},
		{"same area twice", func(f *fixture) phys.Addr { set(1, uint64(scratch2), 2<<20)(f); return scratch0 }, kho.ErrScratch, "scratch table"},
		{"preserved memory made scratch", func(f *fixture) phys.Addr { set(1, uint64(hugeBlock), 2<<20)(f); return hugeBlock }, own.ErrPlace, "block"},
	})
}

func TestOpenRefusesBadDeviceTree(t *testing.T) {
	header := func(offset phys.Addr, v uint32) func(*fixture) phys.Addr {
		return func(f *fixture) phys.Addr {
			binary.BigEndian.PutUint32(f.edit(f.data.FDT+offset, 4), v)
			return f.data.FDT + offset
		}
	}
	// rewrite replaces the tree by one that w makes; the error is to name the
	// place of text in it.
	rewrite := func(text string, w func(f *fixture, w *fdt.Writer)) func(*fixture) phys.Addr {
		return func(f *fixture) phys.Addr {
			root := f.root()
			page := f.edit(f.data.FDT, phys.PageSize)
			out := fdt.NewWriter(page)
			out.Begin("")
			out.String("compatible", "kho-v4")
			out.Address("preserved-memory-map", root)
			w(f, out)
			out.End()
			_, err := out.Finish()
			f.check(err)
			return f.data.FDT + phys.Addr(lastIndex(page, text))
		}
	}
	subtree := func(w *fdt.Writer, name string, a phys.Addr, size uint64) {
		w.Begin(name)
		w.Address("preserved-data", a)
		w.Uint64("blob-size", size)
		w.End()
	}
	run(t, []corruption{
		{"total size over a page", header(4, 4097), fdt.ErrHeader, "root"},
		{"total size under what it holds", header(4, 39), fdt.ErrHeader, "root"},
		{"structure cut short", func(f *fixture) phys.Addr {
			page := f.edit(f.data.FDT, phys.PageSize)
			n := binary.BigEndian.Uint32(page[36:]) - 8
			binary.BigEndian.PutUint32(page[36:], n)
			return f.data.FDT + 56 + phys.Addr(n)
		}, fdt.ErrStructure, "root"},
		{"two sub-trees of one name", rewrite("twin", func(f *fixture, w *fdt.Writer) {
			subtree(w, "twin", f.blob, 100)
			subtree(w, "twin", f.blob, 100)
		}), fdt.ErrDuplicate, "root"},
		{"one pointer twice", func(f *fixture) phys.Addr {
			var at phys.Addr
			rewrite("thing", func(f *fixture, w *fdt.Writer) {
				w.Begin("thing")
				w.Address("preserved-data", f.blob)
				w.Address("preserved-data", 0x5eed)
				w.End()
			})(f)
			page := f.edit(f.data.FDT, phys.PageSize)
			at = f.data.FDT + phys.Addr(lastIndex(page, "\xed\x5e"))
			return at
		}, fdt.ErrDuplicate, `node "thing"`},
		{"node below a sub-tree", rewrite("deeper", func(f *fixture, w *fdt.Writer) {
			w.Begin("thing")
			w.Address("preserved-data", f.blob)
			w.Uint64("blob-size", 100)
			w.Begin("deeper")
			w.End()
			w.End()
		}), kho.ErrTree, `node "thing"`},
		{"sub-tree without pointer", rewrite("thing", func(f *fixture, w *fdt.Writer) {
			w.Begin("thing")
			w.Uint64("blob-size", 100)
			w.End()
		}), fdt.ErrProperty, "preserved-data"},
		{"sub-tree without size", rewrite("thing", func(f *fixture, w *fdt.Writer) {
			w.Begin("thing")
			w.Address("preserved-data", f.blob)
			w.End()
		}), fdt.ErrProperty, "blob-size"},
		{"pointer of four bytes", rewrite("\xaa\xbb\xcc\xdd", func(f *fixture, w *fdt.Writer) {
			w.Begin("thing")
			w.Property("preserved-data", []byte("\xaa\xbb\xcc\xdd"))
			w.End()
		}), fdt.ErrProperty, "preserved-data"},
		{"sub-tree of no bytes", func(f *fixture) phys.Addr {
			rewrite("", func(f *fixture, w *fdt.Writer) { subtree(w, "thing", f.blob, 0) })(f)
			return f.value("blob-size")
		}, kho.ErrTree, `"thing"`},
		{"sub-tree past its block", func(f *fixture) phys.Addr {
			rewrite("", func(f *fixture, w *fdt.Writer) { subtree(w, "thing", loneBlock, 4097) })(f)
			return f.value("preserved-data")
		}, own.ErrPreserved, `"thing"`},
		{"sub-tree that wraps", func(f *fixture) phys.Addr {
			rewrite("", func(f *fixture, w *fdt.Writer) { subtree(w, "thing", ^phys.Addr(0)-99, 101) })(f)
			return f.value("preserved-data")
		}, own.ErrPreserved, `"thing"`},
		{"sub-tree that readers take for another", rewrite("LUO@1", func(f *fixture, w *fdt.Writer) {
			subtree(w, "thing", f.blob, 100)
			subtree(w, "LUO@1", f.blob, 100)
		}), kho.ErrTree, `"LUO@1"`},
		{"live update state larger than a page", func(f *fixture) phys.Addr {
			rewrite("", func(f *fixture, w *fdt.Writer) { subtree(w, "LUO", hugeBlock, 4097) })(f)
			return f.value("blob-size")
		}, kho.ErrTree, `"LUO"`},
		{"sub-tree of every size there is", func(f *fixture) phys.Addr {
			rewrite("", func(f *fixture, w *fdt.Writer) { subtree(w, "thing", f.blob, ^uint64(0)) })(f)
			return f.value("blob-size")
		}, kho.ErrTree, `"thing"`},
		{"sub-tree not preserved", func(f *fixture) phys.Addr {
			rewrite("", func(f *fixture, w *fdt.Writer) { subtree(w, "thing", loneBlock+4096, 100) })(f)
			return f.value("preserved-data")
		}, own.ErrPreserved, `"thing"`},
		{"unknown version", func(f *fixture) phys.Addr {
			page := f.edit(f.data.FDT, phys.PageSize)
			page[lastIndex(page, "kho-v4")+5] = '9'
			return f.data.FDT + 56 + 4
		}, kho.ErrVersion, "root node"},
		{"version without end", func(f *fixture) phys.Addr {
			page := f.edit(f.data.FDT, phys.PageSize)
			at := lastIndex(page, "kho-v4")
			page[at+6] = '4'
			return f.data.FDT + phys.Addr(at)
		}, fdt.ErrProperty, "compatible"},
	})
}

func lastIndex(b []byte, text string) int {
	for i := len(b) - len(text); i >= 0; i-- {
		if string(b[i:i+len(text)]) == text {
			return i
		}
	}
	return -1
}

func TestOpenRefusesBadMapRoot(t *testing.T) {
	set := func(v uint64) func(*fixture) phys.Addr {
		return func(f *fixture) phys.Addr { f.setWord(f.value("preserved-memory-map"), v); return phys.Addr(v) }
	}
	run(t, []corruption{
		{"zero", set(0), own.ErrPlace, "preserved-memory map"},
		{"outside RAM", set(outside), phys.ErrNotRAM, "preserved-memory map"},
		{"in scratch", set(uint64(scratch2)), own.ErrPlace, "preserved-memory map"},
		{"in the first MiB", set(0x9000), own.ErrPlace, "preserved-memory map"},
		{"unaligned", set(uint64(hugeBlock) + 8), own.ErrPlace, "preserved-memory map"},
		{"past all memory", set(^uint64(0) &^ 4095), phys.ErrNotRAM, "preserved-memory map"},
		{"an empty page, so nothing is preserved", func(f *fixture) phys.Addr { set(uint64(hugeBlock))(f); return f.data.FDT }, own.ErrPreserved, "root device tree"},
	})
}

func TestOpenRefusesBadMapNodes(t *testing.T) {
	lone := phys.Block{Addr: loneBlock}
	var all []corruption
	for level := 1; level <= 5; level++ {
		set := func(v uint64) func(f *fixture) phys.Addr {
			return func(f *fixture) phys.Addr {
				slots, _, _ := f.path(lone)
				f.setWord(slots[level], v)
				return phys.Addr(v)
			}
		}
		name := "level " + string(rune('0'+level)) + " "
		all = append(all,
			corruption{name + "pointer outside RAM", set(outside), phys.ErrNotRAM, name + "node"},
			corruption{name + "pointer into scratch", set(uint64(scratch2)), own.ErrPlace, name + "node"},
			corruption{name + "pointer unaligned", set(uint64(hugeBlock) + 2048), own.ErrPlace, name + "node"},
			corruption{name + "pointer into the first MiB", set(4096), own.ErrPlace, name + "node"},
			corruption{name + "pointer past all memory", set(^uint64(4095)), phys.ErrNotRAM, name + "node"},
			corruption{name + "pointer to the root, a cycle", func(f *fixture) phys.Addr {
				slots, _, _ := f.path(lone)
				f.setWord(slots[level], uint64(f.root()))
				return slots[level]
			}, kho.ErrMap, name + "node"},
			corruption{name + "pointer to its own node, a cycle", func(f *fixture) phys.Addr {
				slots, _, _ := f.path(lone)
				f.setWord(slots[level], uint64(slots[level].Page()))
				return slots[level]
			}, kho.ErrMap, ""},
		)
	}
	run(t, all)
}

func TestOpenRefusesSharedMapNodes(t *testing.T) {
	// The last order-1 path node of each level is made the child of the
	// order-0 path as well.
	var all []corruption
	for level := 1; level <= 5; level++ {
		all = append(all, corruption{"level " + string(rune('0'+level)), func(f *fixture) phys.Addr {
			zero, _, _ := f.path(phys.Block{Addr: loneBlock})
			one, _, _ := f.path(phys.Block{Addr: pairBlock, Order: 1})
			f.setWord(zero[level], f.word(one[level]))
			return zero[level]
		}, kho.ErrMap, "level"})
	}
	run(t, all)
}

func TestOpenRefusesBadKeys(t *testing.T) {
	// plant hangs nodes with one bit in the leaf into slot i of the node of the given
	// level.
	plant := func(level, i int) func(*fixture) phys.Addr {
		return func(f *fixture) phys.Addr {
			slots, _, _ := f.path(phys.Block{Addr: loneBlock})
			f.plant(slots[level].Page()+phys.Addr(8*i), level)
			f.setWord(planted+phys.Addr(level)<<12-8, 1<<63)
			return slots[level].Page() + phys.Addr(8*i)
		}
	}
	run(t, []corruption{
		{"54 key bits", plant(5, 4), kho.ErrMap, "level 5"},
		{"54 key bits, all ones", plant(5, 511), kho.ErrMap, "level 5"},
		{"order 0 above RAM", plant(5, 3), kho.ErrMap, "level 5"},
		{"order 0 just above RAM", plant(1, 5), kho.ErrMap, "level 1"},
		{"order 0 far above RAM", plant(2, 1), kho.ErrMap, "level 2"},
		{"blocks larger than RAM", func(f *fixture) phys.Addr {
			slots, _, _ := f.path(phys.Block{Addr: hugeBlock, Order: 9})
			f.setWord(slots[4].Page(), uint64(planted))
			f.setWord(planted, uint64(planted+0x1000))
			f.setWord(planted+0x1000, uint64(planted+0x2000))
			f.setWord(planted+0x2000, uint64(planted+0x3000))
			f.setWord(planted+0x3000, 1)
			return planted
		}, kho.ErrMap, "level 3"},
	})
}

func TestOpenRefusesBadBlocks(t *testing.T) {
	set := func(b phys.Block) func(*fixture) phys.Addr {
		return func(f *fixture) phys.Addr { f.setBit(b); return b.Addr }
	}
	run(t, []corruption{
		{"after the end of RAM", set(phys.Block{Addr: ramEnd}), own.ErrPlace, "block"},
		{"before the start of RAM", set(phys.Block{Addr: ramStart - 4096}), own.ErrPlace, "block"},
		{"large, before the start of RAM", set(phys.Block{Addr: ramStart - 8192, Order: 1}), own.ErrPlace, "block"},
		{"in the last page of scratch", set(phys.Block{Addr: scratch0 + 4<<20 - 4096}), own.ErrPlace, "block"},
		{"on the scratch table", set(phys.Block{Addr: scratch0, Order: 9}), own.ErrPlace, "block"},
		{"on half of a larger one", set(phys.Block{Addr: pairBlock + 4096}), kho.ErrOverlap, "block"},
		{"on the head of a larger one", set(phys.Block{Addr: pairBlock}), kho.ErrOverlap, "block"},
		{"at the end of a much larger one", set(phys.Block{Addr: hugeBlock + 2<<20 - 4096}), kho.ErrOverlap, "block"},
		{"of order 1 in a much larger one", set(phys.Block{Addr: hugeBlock + 1<<20, Order: 1}), kho.ErrOverlap, "block"},
		{"over a smaller one", func(f *fixture) phys.Addr {
			f.setBit(phys.Block{Addr: loneBlock, Order: 1})
			return loneBlock
		}, kho.ErrOverlap, "block"},
		{"over a node of the map", func(f *fixture) phys.Addr {
			f.setBit(phys.Block{Addr: f.root()})
			return f.root()
		}, kho.ErrOverlap, "block"},
		{"the device tree with another order", func(f *fixture) phys.Addr {
			_, leaf, bit := f.path(phys.Block{Addr: f.data.FDT})
			f.edit(leaf+phys.Addr(bit/8), 1)[0] &^= 1 << (bit % 8)
			return f.data.FDT
		}, own.ErrPreserved, "root device tree"},
	})
}

func run(t *testing.T, all []corruption) { runAs(t, kho.V4, all) }

func runAs(t *testing.T, format *kho.Format, all []corruption) {
	for _, c := range all {
		t.Run(c.name, func(t *testing.T) {
			f := fixtureAs(t, format)
			f.open() // sound before the damage
			f.refused(c.rule, c.damage(f), c.object)
		})
	}
}

// TestOverlapsNameBothBitmaps: either of two blocks that overlap may be the one
// whose bit is wrong.
func TestOverlapsNameBothBitmaps(t *testing.T) {
	f := newFixture(t)
	small, large := phys.Block{Addr: pairBlock}, phys.Block{Addr: pairBlock, Order: 1}
	f.setBit(small)
	_, inner, _ := f.path(small)
	_, outer, _ := f.path(large)
	f.refused(kho.ErrOverlap, pairBlock, "bitmap "+inner.String()+": block")
	if _, err := kho.Open(f.mem, f.data, f.hint); err == nil || !strings.Contains(err.Error(), "of bitmap "+outer.String()) {
		t.Errorf("got %v, want one that names bitmap %v", err, outer)
	}
	f = newFixture(t)
	node := phys.Block{Addr: f.root()}
	f.setBit(node)
	_, leaf, _ := f.path(node)
	f.refused(kho.ErrOverlap, node.Addr, "bitmap "+leaf.String()+": block")
	f.setWord(f.value("preserved-memory-map"), uint64(outside)&^4095)
	f.refused(phys.ErrNotRAM, phys.Addr(outside)&^4095, "property "+f.value("preserved-memory-map").String())
}

// TestEveryDamagedSubtreeIsReported breaks two sub-trees: the second is not hidden
// by the first.
func TestEveryDamagedSubtreeIsReported(t *testing.T) {
	f := newFixture(t)
	root := f.root()
	w := fdt.NewWriter(f.edit(f.data.FDT, phys.PageSize))
	w.Begin("")
	w.String("compatible", "kho-v4")
	w.Address("preserved-memory-map", root)
	for _, n := range []kho.Subtree{{Name: "first", Data: f.blob}, {Name: "sound", Data: f.blob, Size: 100}, {Name: "second", Data: loneBlock + 4096, Size: 100}} {
		w.Begin(n.Name)
		w.Address("preserved-data", n.Data)
		w.Uint64("blob-size", n.Size)
		w.End()
	}
	w.End()
	_, err := w.Finish()
	f.check(err)
	_, err = kho.Open(f.mem, f.data, f.hint)
	var all *phys.Errors
	if !errors.As(err, &all) || len(all.All()) != 2 {
		t.Fatalf("got %v, want two errors", err)
	}
	refusedAs(t, all.All()[0], kho.ErrTree, f.value("blob-size"), `kho: root device tree: sub-tree "first"`)
	if e, ok := all.All()[1].(*phys.Error); !ok || e.Object != `kho: root device tree: sub-tree "second"` || !errors.Is(e, own.ErrPreserved) {
		t.Errorf("the second error is %v", all.All()[1])
	}
}

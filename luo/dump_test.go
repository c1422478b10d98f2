//go:build linux && !metal

package luo_test

import (
	"encoding/binary"
	"errors"
	"fmt"
	"log"
	"os"

	"ferry/blockset/blocktest"
	"ferry/kho"
	"ferry/luo"
	"ferry/memfd"
	"ferry/phys"
)

// The machine of the example: 32 MiB of RAM.
const (
	dumpBase = phys.Addr(0x1000_0000)
	dumpSize = 32 << 20
)

// rawDump makes a machine that preserved three sessions with two files each, does
// damage to it, and returns the name of a file with its memory.
func rawDump(damage func(kho.Data, phys.Memory)) string {
	must := func(err error) {
		if err != nil {
			log.Fatal(err)
		}
	}
	ram := phys.Range{Start: dumpBase, End: dumpBase + dumpSize}
	mem := blocktest.Heap(ram)
	areas := []kho.ScratchArea{{Addr: dumpBase, Size: 4 << 20}, {Addr: dumpBase + 8<<20, Size: 4 << 20}, {Addr: dumpBase + 16<<20, Size: 4 << 20}}
	d, err := kho.New(mem, kho.V4, phys.NewRanges(ram), dumpBase, areas, nil)
	must(err)
	st := luo.New(1)
	for i := range 3 {
		must(st.AddSession(fmt.Sprintf("vm-%d", i)))
		for token := range uint64(2) {
			a, _, err := d.AllocBlock(2)
			must(err)
			size := 4*phys.PageSize - token*100
			at, err := memfd.Write(d, memfd.V2, memfd.Meta{Size: size}, []memfd.Folio{{Block: phys.Block{Addr: a, Order: 2}, Flags: memfd.Dirty | memfd.UpToDate}})
			must(err)
			must(st.AddFile(memfd.V2.Handler(), uint64(at), token))
		}
	}
	must(luo.Serialize(st, d, luo.Options{Format: luo.V5}))
	data, err := d.Commit()
	must(err)
	node, err := mem.Edit(dumpBase+0x1_0000, 16+kho.DataSize)
	must(err)
	binary.LittleEndian.PutUint32(node[8:], kho.SetupType)
	binary.LittleEndian.PutUint32(node[12:], kho.DataSize)
	data.Append(node[16:16])
	if damage != nil {
		damage(data, mem)
	}
	all, err := mem.View(ram.Start, ram.Size())
	must(err)
	f, err := os.CreateTemp("", "ferry-dump-")
	must(err)
	_, err = f.Write(all)
	must(errors.Join(err, f.Close()))
	return f.Name()
}

// breakSession makes the second session say that it has five files.
func breakSession(data kho.Data, mem phys.Memory) {
	h, err := kho.Open(mem, data, nil)
	if err != nil {
		log.Fatal(err)
	}
	st, err := luo.Restore(h, h.Ledger())
	if err != nil {
		log.Fatal(err)
	}
	for s := range st.Sessions() {
		if s.Index == 1 {
			b, err := mem.Edit(s.Addr+72, 8)
			if err != nil {
				log.Fatal(err)
			}
			binary.LittleEndian.PutUint64(b, 5)
		}
	}
}

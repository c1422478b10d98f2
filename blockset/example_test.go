//go:build !metal

package blockset_test

import (
	"fmt"
	"log"

	"ferry/blockset"
	"ferry/blockset/blocktest"
	"ferry/own"
	"ferry/phys"
)

// Records are written through a page source and read back through one ledger a
// handover. On the way both are memory of the other kernel.
func Example() {
	ram := phys.Range{Start: 1 << 20, End: 2 << 20}
	pages := blocktest.New(blocktest.Heap(ram), ram)

	layout, err := blockset.LayoutOf(80) // session records
	if err != nil {
		log.Fatal(err)
	}
	out := blockset.New(layout, pages)
	if err := out.Append(make([]byte, 130*80)); err != nil {
		log.Fatal(err)
	}

	check := own.NewLedger(pages.Mem, pages, nil)
	in, err := blockset.Restore(check, layout, out.Head(), nil)
	if err != nil {
		log.Fatal(err)
	}
	fmt.Println(in.Len(), "records in", len(in.Blocks()), "blocks of", layout.Capacity())
	_, err = blockset.Restore(check, layout, out.Head(), nil)
	fmt.Println(err)
	// Output:
	// 130 records in 3 blocks of 51
	// block 0 0x100000: already part of block 0x100000, want a block of its own
}

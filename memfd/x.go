package memfd

import (
	"ferry/kho"
	"ferry/phys"
)

// X is what a development tree of 2026 (linux-mm 29a75107) writes, and no release: the
// structure of [V2] behind a header of feature bits, and a handler without a version.
// It mirrors struct memfd_luo_ser of include/linux/kho/abi/memfd.h there. A reader was
// never published, so that a crossing reads and writes it only if the operator wants that.
var X = &Format{
	handler:  "memfd",
	releases: "none (linux-mm of 2026)",

	pos:    128,
	size:   136,
	seals:  144,
	flags:  148,
	count:  152,
	folios: 160,
	sealed: true,

	written: true,

	head: features{0b11, 0b11, 0b11},
}

// features is a head of feature bits: 0 seals, 1 folios.
type features kho.Features

func (f features) check(a phys.Addr, b []byte) error {
	return kho.Features(f).Check("structure", a, b, ErrStruct)
}

func (f features) put(b []byte) { kho.Features(f).Put(b) }

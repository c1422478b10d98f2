package memfd

// V2 is what Linux 7.1 to 7.3 write: struct memfd_luo_ser of
// include/linux/kho/abi/memfd.h there.
var V2 = &Format{
	handler:  "memfd-v2",
	releases: "7.1, 7.2, 7.3",

	pos:    0,
	size:   8,
	seals:  16,
	flags:  20,
	count:  24,
	folios: 32,
	sealed: true,

	written: true,
}

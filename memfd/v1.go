package memfd

// V1 is what Linux 6.19 and 7.0 write: struct memfd_luo_ser of
// include/linux/kho/abi/memfd.h there. It has no seals: those kernels make every
// file that they restore anew without MFD_ALLOW_SEALING, which seals it against
// seals and against nothing else. Nor do they remember which files are preserved: one
// that is preserved under two tokens is written twice (luo_preserve_file; from 7.1 on
// that is EBUSY).
var V1 = &Format{
	handler:  "memfd-v1",
	releases: "6.19, 7.0",

	pos:    0,
	size:   8,
	count:  16,
	folios: 24,

	twice: true,
}

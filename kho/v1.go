package kho

import "ferry/phys"

// V1 is what Linux 6.18, 6.19 and 7.0 write ("kho-v1"): a list of bitmaps of one
// page. It shares its version string with that of 6.17. These kernels compute the
// size of a block in 32 bits, so larger ones than 1 GiB are written in parts, and
// give back no block above order 10. Sub-trees are device trees, whose sizes
// are only in their own headers.
//
// Source: kernel/kexec_handover.c of Linux 6.18, kernel/liveupdate/kexec_handover.c
// of 6.19 and 7.0 (KHO_FDT_COMPATIBLE, PROP_PRESERVED_MEMORY_MAP, PROP_SUB_FDT,
// PRESERVE_BITS, MAX_PAGE_ORDER).
var V1 = &Format{
	name:            "kho-v1",
	root:            version("kho-v1"),
	mapProperty:     "preserved-memory-map",
	pointerProperty: "fdt",
	maxBlock:        18,
	maxRestore:      10,
	liveUpdate:      true,
	index:           list{bitmap: phys.PageSize},
}

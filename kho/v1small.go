package kho

// V1Small is what Linux 6.16 and 6.17 write: [V1] except for bitmaps of 512 bytes,
// which are kernel objects and may share pages with each other and with anything
// else. Its kernels say "kho-v1" as well and know no live update. Source:
// kernel/kexec_handover.c of Linux 6.17 (PRESERVE_BITS).
var V1Small = &Format{
	name:            "kho-v1/512",
	root:            version("kho-v1"),
	mapProperty:     "preserved-memory-map",
	pointerProperty: "fdt",
	maxBlock:        18,
	maxRestore:      10,
	index:           list{bitmap: 512},
	inline:          true,
}

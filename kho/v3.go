package kho

// V3 is what Linux 7.1 writes ("kho-v3"), and the sixth series of patches that
// became 7.2. It is [V4] under another string. The kernel of 7.1 computes the
// size of a block in 32 bits, so larger ones than 1 GiB are written in parts; it
// has no separate bound for what it takes back as a unit. Source:
// include/linux/kho/abi/kexec_handover.h and kho_radix_tree.h of Linux 7.1.
var V3 = &Format{
	name:            "kho-v3",
	root:            version("kho-v3"),
	mapProperty:     "preserved-memory-map",
	pointerProperty: "preserved-data",
	sizeProperty:    "blob-size",
	maxBlock:        18,
	maxRestore:      18,
	liveUpdate:      true,
	index:           radix{},
}

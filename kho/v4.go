package kho

// V4 is what Linux 7.2 and 7.3 write ("kho-v4"). Mirrors of the kernel's names,
// from include/linux/kho/abi/kexec_handover.h of Linux 7.3:
//
//	KHO_FDT_COMPATIBLE             root
//	KHO_FDT_MEMORY_MAP_PROP_NAME   mapProperty
//	KHO_SUB_TREE_PROP_NAME         pointerProperty
//	KHO_SUB_TREE_SIZE_PROP_NAME    sizeProperty
//
// Numbers in the tree are 8 raw little-endian bytes. The map is the radix tree
// of radix.go; lengths of everything are those of the structures in memory.
var V4 = &Format{
	name:            "kho-v4",
	root:            version("kho-v4"),
	mapProperty:     "preserved-memory-map",
	pointerProperty: "preserved-data",
	sizeProperty:    "blob-size",
	maxBlock:        maxOrder,
	maxRestore:      maxOrder,
	liveUpdate:      true,
	index:           radix{},
}

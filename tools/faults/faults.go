package main

const boots = "make -s build/trial.bzimage build/linker && go test -tags qemu -count=1 ./board/amd64 -run "

// faults are kept to one line or two of the code, so that they move with it.
var faults = []fault{
	{
		name: "arithmetic: the flags of a folio lie one bit too low",
		file: "memfd/write.go",
		old:  "uint64(folio.Flags)<<pfnBits)", new: "uint64(folio.Flags)<<(pfnBits-1))",
		test: "go test ./memfd",
	},
	{
		name: "off by one: a page of a folio array holds one folio too few",
		file: "memfd/write.go",
		old:  "i := w.n % pageEntries", new: "i := w.n % (pageEntries - 1)",
		test: "go test ./memfd",
	},
	{
		name: "order of writes: a setup_data node is linked to itself, not to the next one",
		file: "boot/write.go",
		old:  "\t\tput64(link, 0, base+at)\n\t\tlink = b[at:]\n", new: "\t\tlink = b[at:]\n\t\tput64(link, 0, base+at)\n",
		test: "go test ./boot",
	},
	{
		name: "arithmetic: setup_data nodes are aligned to 4 bytes, not to 8",
		file: "boot/place.go",
		old:  "return (n + 7) &^ 7", new: "return (n + 3) &^ 3",
		test: "go test ./boot",
	},
	{
		name: "range: the zero page keeps what the header before had behind the new one's end",
		file: "boot/write.go",
		old:  "\tclear(b[protocol.OffHeader:protocol.OffHeaderMax])\n", new: "",
		test: "go test ./boot",
	},
	{
		name: "range: of memory map entries without room only the first is reserved",
		file: "boot/protocol/e820.go",
		old:  "max(end, rest.Addr+rest.Size)", new: "rest.Addr+rest.Size",
		test: "go test ./boot",
	},
	{
		name: "off by one in paging: the page in which a range ends is not mapped",
		file: "board/amd64/internal/kernel/tables.go",
		old:  "t.linear(DirectMap, start, min((end+PageSize-1)&^(PageSize-1), DirectEnd), 0)", new: "t.linear(DirectMap, start, min(end&^(PageSize-1), DirectEnd), 0)",
		test: "go test ./board/amd64/internal/kernel",
	},
	{
		name: "arithmetic: the upper half of a node's slots falls into the lower one",
		file: "kho/radixwrite.go",
		old:  "slot := below[i].prefix & (tableSlots - 1)", new: "slot := below[i].prefix & (tableSlots/2 - 1)",
		test: "go test ./kho",
	},
	{
		name: "order: the new device tree names the old map",
		file: "kho/commit.go",
		old:  "w.Address(f.mapProperty, d.now.root)", new: "w.Address(f.mapProperty, d.old.root)",
		test: "go test ./kho",
	},
	{
		name: "missing wipe: pages of the new handover hold what was in scratch",
		file: "kho/draft.go",
		old:  "\tclear(b)\n\td.stats.Pages", new: "\td.stats.Pages",
		test: "go test ./kho ./crossing",
	},
	{
		name: "arithmetic: the image says that it has half of its paragraphs",
		file: "linker/setup.go",
		old:  "uint32(p.FileSize/16)", new: "uint32(p.FileSize/32)",
		test: "go test ./linker",
	},
	{
		name: "missing flush: memory that a program gave back can still be read",
		file: "board/amd64/internal/syscalls/memory.go",
		old:  "\t\t\t*e = 0\n\t\t\tkernel.Flush(a)\n", new: "\t\t\t*e = 0\n",
		test: "make -s METAL_PKGS=./board/amd64/internal/syscalls test-metal",
	},
	{
		name: "missing flush: memory that became read-only can still be written",
		file: "board/amd64/internal/syscalls/memory.go",
		old:  "\t\t\tkernel.Flush(p)\n", new: "",
		test: "make -s METAL_PKGS=./board/amd64/internal/syscalls test-metal",
	},
	{
		name: "wipe range: the kernel's stacks stay for the next kernel",
		file: "board/amd64/internal/kernel/depart.go",
		old:  "n = out.add(n, m.image.area(), m.image.area()+areaSize)", new: "n = out.add(n, m.image.area(), m.image.area()+machineSize)",
		test: boots + "TestNextKernelFindsNoSecrets",
	},
}

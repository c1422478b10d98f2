package syscalls

import "ferry/board/amd64/internal/kernel"

// Places in the lower half of the address space. Go puts its heap below 2^46 and
// maps those addresses itself; what it leaves to the kernel goes above the
// image.
const (
	mmapBase  = 0x4100_0000_0000
	stackTop  = 0x7fff_ff00_0000
	stackSize = 256 << 10
	userEnd   = 0x7fff_ffff_f000
	userStart = 0x1_0000
	directMap = kernel.DirectMap
)

// Protection and flags of mmap, asm-generic/mman-common.h.
const (
	protRead          = 1
	protWrite         = 2
	protExec          = 4
	mapFixed          = 0x10
	mapAnonymous      = 0x20
	mapFixedNoReplace = 0x100000
	madvDontNeed      = 4
	madvFree          = 8
	madvHugePage      = 14
	madvCollapse      = 25
)

// maxAreas bounds the mapped areas: the runtime's arenas merge, so that a
// program has some dozens.
const maxAreas = 1024

// area is a run of mapped pages with equal protection. Pages come when they are
// touched. An image area's pages are the image's own and never freed.
type area struct {
	start, end, prot uint64
	image            bool
}

func pageUp(a uint64) uint64   { return (a + kernel.PageSize - 1) &^ (kernel.PageSize - 1) }
func pageDown(a uint64) uint64 { return a &^ (kernel.PageSize - 1) }

// at returns area i; i must be below areaCount.
func at(i uint64) *area { return &k.areas[i&(maxAreas-1)] }

// findArea returns the index of the first area that ends after a.
func findArea(a uint64) uint64 {
	lo, hi := uint64(0), k.areaCount
	for lo < hi {
		if mid := (lo + hi) / 2; at(mid).end <= a {
			lo = mid + 1
		} else {
			hi = mid
		}
	}
	return lo
}

// areaOf returns the area that holds address a, or nil.
func areaOf(a uint64) *area {
	if i := findArea(a); i < k.areaCount && at(i).start <= a {
		return at(i)
	}
	return nil
}

// openSlot makes room for an area at index i. It reports false if the table
// is full.
func openSlot(i uint64) bool {
	if k.areaCount >= maxAreas {
		return false
	}
	for j := k.areaCount; j > i; j-- {
		*at(j) = *at(j - 1)
	}
	k.areaCount++
	return true
}

func closeSlot(i uint64) {
	for k.areaCount--; i < k.areaCount; i++ {
		*at(i) = *at(i + 1)
	}
}

// insertArea adds [start, end), which must be free, and joins it to its
// neighbours if they are alike.
func insertArea(start, end, prot uint64, image bool) bool {
	i := findArea(start)
	if !image && i > 0 && at(i-1).end == start && at(i-1).prot == prot && !at(i-1).image {
		at(i - 1).end = end
		if i < k.areaCount && at(i).start == end && at(i).prot == prot && !at(i).image {
			at(i - 1).end = at(i).end
			closeSlot(i)
		}
		return true
	}
	if !image && i < k.areaCount && at(i).start == end && at(i).prot == prot && !at(i).image {
		at(i).start = start
		return true
	}
	if !openSlot(i) {
		return false
	}
	*at(i) = area{start, end, prot, image}
	return true
}

// splitArea makes address a a border between areas, if one holds it.
func splitArea(a uint64) bool {
	i := findArea(a)
	if i >= k.areaCount || at(i).start >= a {
		return true
	}
	if !openSlot(i) {
		return false
	}
	at(i).end = a
	at(i + 1).start = a
	return true
}

// removeAreas unmaps [start, end) and frees its pages. It reports false, and does
// nothing, if a part is the image's or the table of areas is full.
func removeAreas(start, end uint64) bool {
	for i := findArea(start); i < k.areaCount && at(i).start < end; i++ {
		if at(i).image {
			return false
		}
	}
	if !splitArea(start) || !splitArea(end) {
		return false
	}
	for i := findArea(start); i < k.areaCount && at(i).start < end; {
		dropPages(at(i).start, at(i).end)
		closeSlot(i)
	}
	return true
}

// reach is what the tables of one level 2 entry span: if none is there, nothing in
// this much memory is mapped.
const reach = 2 << 20

// dropPages frees the pages of [start, end).
func dropPages(start, end uint64) {
	for a := start; a < end; {
		e := kernel.Entry(a, false)
		if e == nil {
			a = a&^(reach-1) + reach
			continue
		}
		if *e != 0 {
			kernel.FreeFrame(*e & pteAddress)
			*e = 0
			kernel.Flush(a)
		}
		a += kernel.PageSize
	}
}

const (
	pteAddress = 0x000f_ffff_ffff_f000
	entryBits  = kernel.PTEPresent | kernel.PTEWrite
)

// pageFlags returns the entry bits for a protection. Without any, the page is
// kept but not present.
func pageFlags(prot uint64) uint64 {
	flags := uint64(0)
	if prot != 0 {
		flags = kernel.PTEPresent
	}
	if prot&protWrite != 0 {
		flags |= kernel.PTEWrite
	}
	if prot&protExec == 0 {
		flags |= kernel.NoExecute()
	}
	return flags
}

// What became of a fault.
const (
	faultDone   = iota // the page is there now
	faultMap           // nothing is mapped at the address
	faultAccess        // something is, but not for that
	faultMemory        // there is no memory left
	faultTables        // the page tables allow the access
)

// Bits of a page fault's error code.
const (
	errorWrite    = 1 << 1
	errorReserved = 1 << 3 // a bit is set in the tables that must not be
	errorFetch    = 1 << 4
)

// fault brings in the page at address a for the access that the error code
// describes.
func fault(a, code uint64) int {
	v := areaOf(a)
	switch {
	case v == nil:
		return faultMap
	case v.prot == 0, code&errorWrite != 0 && v.prot&protWrite == 0, code&errorFetch != 0 && v.prot&protExec == 0:
		return faultAccess
	}
	e := kernel.Entry(a, true)
	switch {
	case code&errorReserved != 0:
		return faultTables
	case e == nil:
		return faultMemory
	case *e&entryBits == pageFlags(v.prot)&entryBits && *e&kernel.PTEPresent != 0:
		// It may have been the processor's old copy of the entry, but not twice.
		if k.allowed == a {
			return faultTables
		}
		k.allowed = a
	}
	pa := *e & pteAddress
	if pa == 0 {
		if pa = kernel.Frame(); pa == 0 {
			return faultMemory
		}
	}
	*e = pa | pageFlags(v.prot)
	kernel.Flush(pageDown(a))
	return faultDone
}

// touch makes the n bytes at a safe for the kernel to read, or to write. It
// reports false if the Go program could not have accessed them either; with no
// memory left it does not return, as the program's own access would not.
func touch(a, n uint64, write bool) bool {
	if n == 0 {
		return true
	}
	if a+n < a {
		return false
	}
	code := uint64(0)
	if write {
		code = errorWrite
	}
	for p := pageDown(a); p < a+n; p += kernel.PageSize {
		if p >= userEnd && p < directMap {
			return false // not even an address: the tables would show another's page
		}
		e := kernel.Leaf(p)
		if e != 0 && (!write || e&kernel.PTEWrite != 0) {
			continue
		}
		if p >= userEnd {
			return false
		}
		switch fault(p, code) {
		case faultDone:
		case faultMemory:
			kernel.FatalMemory(&k.threads[k.current&(maxThreads-1)].ctx, noMemory)
		default:
			return false
		}
	}
	return true
}

// writesCode reports whether the protection would let memory be written and
// executed, which no memory is.
func writesCode(prot uint64) bool {
	return prot&(protWrite|protExec) == protWrite|protExec
}

// inUser reports whether the n bytes at a are where the Go program may map memory.
func inUser(a, n uint64) bool { return a < userEnd && n <= userEnd-a }

// sysMmap serves mmap: anonymous memory only.
func sysMmap(a, n, prot, flags uint64) uint64 {
	n = pageUp(n)
	switch {
	case n == 0 || writesCode(prot) || a&(kernel.PageSize-1) != 0 && flags&(mapFixed|mapFixedNoReplace) != 0:
		return fail(eINVAL)
	case flags&mapAnonymous == 0:
		return fail(eNODEV)
	case n > userEnd:
		return fail(eNOMEM)
	}
	a = pageDown(a)
	fits := a >= userStart && inUser(a, n)
	free := fits
	if i := findArea(a); fits && i < k.areaCount && at(i).start < a+n {
		free = false
	}
	switch {
	case flags&mapFixed != 0:
		if !fits || !removeAreas(a, a+n) {
			return fail(eNOMEM)
		}
	case free:
	case flags&mapFixedNoReplace != 0:
		return fail(eEXIST)
	default:
		if a = findGap(n); a == 0 {
			return fail(eNOMEM)
		}
	}
	if !insertArea(a, a+n, prot&(protRead|protWrite|protExec), false) {
		return fail(eNOMEM)
	}
	return a
}

// findGap returns an address with n free bytes above the image, 0 if there is
// none.
func findGap(n uint64) uint64 {
	a := k.mmapNext
	for i := findArea(a); i < k.areaCount && at(i).start < a+n; i++ {
		a = at(i).end
	}
	if a+n > stackTop-stackSize {
		return 0
	}
	k.mmapNext = a + n
	return a
}

func sysMunmap(a, n uint64) uint64 {
	if a&(kernel.PageSize-1) != 0 || n == 0 || !inUser(a, n) {
		return fail(eINVAL)
	}
	if !removeAreas(a, a+pageUp(n)) {
		return fail(eNOMEM)
	}
	return 0
}

func sysMprotect(a, n, prot uint64) uint64 {
	end := a + pageUp(n)
	if a&(kernel.PageSize-1) != 0 || writesCode(prot) || !inUser(a, n) || !splitArea(a) || !splitArea(end) {
		return fail(eINVAL)
	}
	for i := findArea(a); i < k.areaCount && at(i).start < end; i++ {
		at(i).prot = prot & (protRead | protWrite | protExec)
	}
	for p := a; p < end; {
		e := kernel.Entry(p, false)
		if e == nil {
			p = p&^(reach-1) + reach
			continue
		}
		if *e != 0 {
			*e = *e&pteAddress | pageFlags(prot)
			kernel.Flush(p)
		}
		p += kernel.PageSize
	}
	return 0
}

func sysMadvise(a, n, advice uint64) uint64 {
	end := a + pageUp(n)
	if a&(kernel.PageSize-1) != 0 || !inUser(a, n) {
		return fail(eINVAL)
	}
	switch advice {
	case madvDontNeed, madvFree:
		for i := findArea(a); i < k.areaCount && at(i).start < end; i++ {
			if !at(i).image {
				dropPages(max(a, at(i).start), min(end, at(i).end))
			}
		}
	case madvCollapse:
		return fail(eINVAL)
	}
	return 0
}

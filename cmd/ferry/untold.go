package main

import (
	"fmt"
	"io/fs"

	"ferry/boot"
	"ferry/phys"
)

// untold returns the memory that the running kernel takes for RAM and that no kernel is told of when it is started with
// kexec: what was added while it runs, what its command line added, and what stands behind the first 128 entries of the
// firmware's map (setup_e820_entries in arch/x86/kernel/kexec-bzimage64.c). Empty where nobody says.
func (h host) untold() phys.Ranges {
	page, _ := fs.ReadFile(h.root, "sys/kernel/boot_params/data")
	told := boot.MapOf(page).RAM()
	if len(told) == 0 {
		return nil
	}
	return wholePages(h.systemRAM().Sub(told...))
}

// wholePages returns the pages that lie in the ranges as a whole.
func wholePages(rs phys.Ranges) (all phys.Ranges) {
	for _, r := range rs {
		start, ok := phys.AlignUp(r.Start, phys.PageSize)
		if end := r.End.Page(); ok && start < end {
			all = append(all, phys.Range{Start: start, End: end})
		}
	}
	return all
}

// introducedRAM is the line with a word on RAM that neither a map nor the line names.
func (h host) introducedRAM(l line) line {
	if more := h.untold().Sub(boot.AddedRAM(l.text)...); len(more) > 0 {
		l.text = boot.Append(l.text, boot.RAMWord(more))
	}
	return l
}

// untold says what memory a kernel of the payload will not know of. The stage knows it, and what is preserved there crosses;
// then this kernel finds it where it has no memory.
func (k *check) untold(what, cmdline string) {
	for _, r := range k.host.untold().Sub(boot.AddedRAM(cmdline)...) {
		says := fmt.Sprintf("the running kernel has %s of memory at %v of which the %s is not told, as after any kexec", size(r.Size()), r, what)
		word := fmt.Sprintf("memmap=%#x@%#x", r.Size(), uint64(r.Start))
		if inAny(k.scratch, r) {
			k.review.doubt(says+", and scratch lies there", "it dies without a word", "add "+word+" to its command line")
			continue
		}
		k.review.warn("%s: what is preserved there is lost, or it panics; add %s to its command line", says, word)
	}
}

func inAny(areas []phys.Range, r phys.Range) bool {
	for _, a := range areas {
		if a.Overlaps(r) {
			return true
		}
	}
	return false
}

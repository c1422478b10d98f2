package main

import (
	"fmt"
	"io/fs"

	"ferry/boot"
	"ferry/boot/cmdline"
	"ferry/phys"
)

// addedRAM returns the memory that the running kernel takes for RAM and that no kernel is told of when it is started with
// kexec: what was added while it runs, what its command line added, and what stands behind the first 128 entries of the
// firmware's map (setup_e820_entries in arch/x86/kernel/kexec-bzimage64.c). Empty if nobody says.
func (h host) addedRAM() phys.Ranges {
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
	if more := h.addedRAM().Sub(boot.AddedRAM(l.text)...); len(more) > 0 {
		l.text = cmdline.Append(l.text, boot.RAMWord(more))
	}
	return l
}

// namesAllRAM wants a kernel of the payload to be told of all memory. The stage knows it, and what is preserved there crosses; but
// this kernel finds it where it has no memory, and dies before its console works, as it does after a plain kexec.
func (k *check) namesAllRAM(what, line string) {
	for _, r := range k.host.addedRAM().Sub(boot.AddedRAM(line)...) {
		k.review.doubt(fmt.Sprintf("the running kernel has %s of memory at %v of which the %s is not told, as after any kexec", size(r.Size()), r, what),
			"it dies without a word if something is preserved there", fmt.Sprintf("add memmap=%#x@%#x to its command line", r.Size(), uint64(r.Start)))
	}
}

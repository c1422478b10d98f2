package boot

import (
	"fmt"
	"strings"

	"ferry/boot/cmdline"
	"ferry/boot/protocol"
	"ferry/phys"
)

// AddedRAM returns the memory that the words of a command line call RAM, see
// [cmdline.RAM], as far as there are physical addresses.
func AddedRAM(line string) (all []phys.Range) {
	for words := (cmdline.RAM{Line: line}); ; {
		start, size, ok := words.Next()
		if !ok {
			return all
		}
		if r, ok := phys.Span(phys.Addr(start), size); ok && r.End <= maxPhys {
			all = append(all, r)
		}
	}
}

// RAMWord returns the word that names RAM of no map to the stage.
func RAMWord(all phys.Ranges) string {
	var parts []string
	for _, r := range all {
		parts = append(parts, fmt.Sprintf("%#x@%#x", r.Size(), uint64(r.Start)))
	}
	return cmdline.WordRAM + "=" + strings.Join(parts, ",")
}

// MapOf returns the memory map in a zero page, without what extensions hold: all
// that kexec_file_load passes on (setup_e820_entries of Linux'
// arch/x86/kernel/kexec-bzimage64.c).
func MapOf(page []byte) E820 {
	if len(page) < phys.PageSize {
		return nil
	}
	var e820 protocol.Map
	n := min(int(page[protocol.OffE820Entries]), protocol.E820Max)
	take(&e820, page[protocol.OffE820:protocol.OffE820+protocol.E820Size*n])
	return entries(&e820)
}

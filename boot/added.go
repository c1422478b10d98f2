package boot

import (
	"fmt"
	"strconv"
	"strings"

	"ferry/boot/protocol"
	"ferry/phys"
)

// Words of a command line that call memory RAM beside the map. Both have the form
// size@start, with commas between several.
const (
	wordMemmap = "memmap"    // Linux's own, which the next kernel gets too
	wordRAM    = "ferry.ram" // from ferry load: what the kernel before has and does not pass on
)

// AddedRAM returns the memory that the words of a command line call RAM: memmap=,
// as parse_memmap_one of Linux reads it (arch/x86/kernel/e820.c), and ferry.ram=.
// What other forms of memmap= say is not looked at.
func AddedRAM(cmdline string) (all []phys.Range) {
	for o := range Options(cmdline) {
		if o.Name != wordMemmap && o.Name != wordRAM {
			continue
		}
		some, _ := ranges(o.Value)
		all = append(all, some...)
	}
	return all
}

// IsRAM reports whether the value of a word names RAM and nothing else.
func IsRAM(value string) bool {
	_, whole := ranges(value)
	return whole
}

// ranges reads what is between commas; whole is false where some of it is no RAM.
func ranges(value string) (all []phys.Range, whole bool) {
	whole = true
	for more := true; more; {
		var part string
		part, value, more = strings.Cut(value, ",")
		if r, ok := addedRAM(part); ok {
			all = append(all, r)
		} else {
			whole = false
		}
	}
	return all, whole
}

// RAMWord returns the word that tells the stage of RAM that no map names.
func RAMWord(all phys.Ranges) string {
	var parts []string
	for _, r := range all {
		parts = append(parts, fmt.Sprintf("%#x@%#x", r.Size(), uint64(r.Start)))
	}
	return wordRAM + "=" + strings.Join(parts, ",")
}

// addedRAM reads size@start.
func addedRAM(s string) (phys.Range, bool) {
	size, start, ok := strings.Cut(s, "@")
	n, ok1 := ParseBytes(size)
	at, ok2 := ParseBytes(start)
	r, ok3 := phys.Span(phys.Addr(at), n)
	return r, ok && ok1 && ok2 && ok3 && !r.Empty() && r.End <= maxPhys
}

// ParseBytes reads a number of bytes as memparse of Linux does (lib/cmdline.c): in
// C's notation, with a suffix from K to E. What follows the number is passed over,
// as Linux does for most words.
func ParseBytes(s string) (uint64, bool) {
	digits, start := "0123456789", 0
	if len(s) > 2 && s[0] == '0' && s[1]|0x20 == 'x' {
		digits, start = "0123456789abcdefABCDEF", 2
	}
	end := len(s) - len(strings.TrimLeft(s[start:], digits))
	n, err := strconv.ParseUint(s[:end], 0, 64)
	shift := 0
	if end < len(s) {
		shift = 10 * (strings.IndexByte("kmgtpe", s[end]|0x20) + 1)
	}
	return n << shift, err == nil && n<<shift>>shift == n
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

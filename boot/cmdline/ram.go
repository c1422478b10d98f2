package cmdline

// Bytes reads a number of bytes at s[i:end], as memparse of Linux does
// (lib/cmdline.c): in C's notation, with a suffix from K to E. It returns where the
// number ends; ok is false if there is none, or none that 64 bits hold.
func Bytes(s string, i, end int) (n uint64, next int, ok bool) {
	at := func(i int) byte {
		if i < end {
			return byteAt(s, uint(i))
		}
		return 0
	}
	base := uint64(10)
	if at(i) == '0' {
		base = 8
		if _, hex := digit(at(i+2), 16); hex && at(i+1)|0x20 == 'x' {
			base, i = 16, i+2
		}
	}
	first, fits := i, true
	for {
		d, ok := digit(at(i), base)
		if !ok {
			break
		}
		fits = fits && n <= (1<<64-1-d)/base
		n = n*base + d
		i++
	}
	if i == first {
		return 0, i, false
	}
	const suffixes = "kmgtpe"
	for k := range len(suffixes) {
		if at(i)|0x20 == suffixes[k] {
			shift := 10 * uint(k+1)
			return n << (shift & 63), i + 1, fits && n<<(shift&63)>>(shift&63) == n
		}
	}
	return n, i, fits
}

// digit returns the value of a digit in a base of at most 16.
func digit(c byte, base uint64) (uint64, bool) {
	d := uint64(c - '0')
	if c |= 0x20; c >= 'a' && c <= 'f' {
		d = uint64(c-'a') + 10
	}
	return d, d < base
}

// ParseBytes is [Bytes] of a whole text; what follows the number is skipped, as Linux
// does for most words.
func ParseBytes(s string) (uint64, bool) {
	n, _, ok := Bytes(s, 0, len(s))
	return n, ok
}

// Words that call memory RAM beside the firmware's map. Both have the form size@start,
// with commas between several.
const (
	WordMemmap = "memmap"    // Linux's own, which the next kernel gets too
	WordRAM    = "ferry.ram" // from ferry load: what the kernel before has and does not pass on
)

// RAM finds the memory that the words of a line call RAM: memmap=, as parse_memmap_one
// of Linux reads it (arch/x86/kernel/e820.c of 7.3), and ferry.ram=. Other forms of
// memmap= are skipped.
type RAM struct {
	Line    string
	at, end int // of what is left of the value
	next    int // where the next word is looked for
}

// Next returns the next piece of memory in bytes; ok is false at the end.
func (r *RAM) Next() (start, size uint64, ok bool) {
	for {
		for r.at < r.end {
			start, size, r.at, ok = piece(r.Line, r.at, r.end)
			if ok {
				return start, size, true
			}
		}
		w, more := Next(r.Line, r.next)
		if !more || w.Dashes(r.Line) {
			return 0, 0, false
		}
		r.next = w.End
		if w.Named(r.Line, WordMemmap) || w.Named(r.Line, WordRAM) {
			r.at, r.end = w.Value, w.ValueEnd
		}
	}
}

// piece reads size@start, and returns where the next piece begins.
func piece(line string, i, end int) (start, size uint64, next int, ok bool) {
	size, i, ok = Bytes(line, i, end)
	if ok = ok && i < end && byteAt(line, uint(i)) == '@'; ok {
		start, i, ok = Bytes(line, i+1, end)
		ok = ok && size > 0 && start+size > start
	}
	for i < end && byteAt(line, uint(i)) != ',' {
		i++
	}
	return start, size, i + 1, ok
}

// OnlyRAM reports whether the value of such a word names RAM and nothing else.
func OnlyRAM(value string) bool {
	for i := 0; i <= len(value); {
		_, _, next, ok := piece(value, i, len(value))
		if !ok {
			return false
		}
		i = next
	}
	return true
}

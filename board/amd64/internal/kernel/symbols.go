package kernel

// The runtime's own function table names the functions in a fatal report. Read
// here and not with package runtime, which may be what broke. The layout is that
// of runtime.pcHeader since Go 1.20, checked by the magic number.

const (
	pclnMagic    = 0xfffffff1
	pclnCount    = 8
	pclnNames    = 32
	pclnFuncs    = 64
	functabEntry = 8
)

// pclntab returns the address of the table.
func pclntab() uint64

// InText reports whether pc may be code of the image.
func InText(pc uint64) bool {
	s := &mach.image.segments[0]
	return pc > s.Start && pc < s.FileEnd
}

// PrintSymbol prints the function that pc is in, and the distance from its start.
func PrintSymbol(pc uint64) {
	tab := pclntab()
	if !InText(pc) || mach.tables.leaf(tab) == 0 || *half(tab) != pclnMagic {
		Print("?")
		return
	}
	off := uint32(pc - mach.image.segments[0].Start)
	names, funcs := tab+*word(tab + pclnNames), tab+*word(tab + pclnFuncs)
	lo, hi := uint64(0), *word(tab + pclnCount)
	if hi == 0 || off >= *half(funcs + hi*functabEntry) {
		Print("?")
		return
	}
	for hi-lo > 1 {
		if mid := (lo + hi) / 2; *half(funcs + mid*functabEntry) <= off {
			lo = mid
		} else {
			hi = mid
		}
	}
	entry := *half(funcs + lo*functabEntry)
	name := names + uint64(*half(funcs + uint64(*half(funcs + lo*functabEntry + 4)) + 4))
	for n := 0; n < 200 && *byteAt(name) != 0; n++ {
		Printk(*byteAt(name))
		name++
	}
	Print("+")
	PrintHex(uint64(off - entry))
}

package amd64

// FiveLevel reports whether the processor runs with five levels of page tables,
// which a kernel started from here must be able to take over.
func FiveLevel() bool { return mach.levels == 5 }

// HasFiveLevel reports whether the processor could run with five levels of page
// tables (CPUID.7.0:ECX.LA57).
func HasFiveLevel() bool {
	if top, _, _, _ := cpuid(0, 0); top < 7 {
		return false
	}
	_, _, c, _ := cpuid(7, 0)
	return c&(1<<16) != 0
}

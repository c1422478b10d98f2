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

// Encrypted reports whether this is a guest whose memory is encrypted: of TDX
// (CPUID.21H has its signature) or of SEV (CPUID.8000001FH:EAX.SEV, and MSR C0010131H
// has a feature on). What the board does then was never tried.
func Encrypted() bool {
	if top, _, _, _ := cpuid(0, 0); top >= 0x21 {
		// "IntelTDX    " in EBX, EDX, ECX.
		if _, b, c, d := cpuid(0x21, 0); b == 0x65746e49 && d == 0x5844546c && c == 0x20202020 {
			return true
		}
	}
	const sev, sevStatus = 1 << 1, 0xc001_0131
	if top, _, _, _ := cpuid(0x8000_0000, 0); top < 0x8000_001f {
		return false
	}
	a, _, _, _ := cpuid(0x8000_001f, 0)
	return a&sev != 0 && rdmsr(sevStatus) != 0
}

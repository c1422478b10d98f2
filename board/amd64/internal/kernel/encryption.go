package kernel

// Memory that is encrypted for the one system that runs there, as in confidential
// guests. Sources: AMD64 Architecture Programmer's Manual, volume 2, section
// 15.34, and the Intel TDX Module Base Architecture Specification; sme_enable in
// arch/x86/boot/startup/sme.c of Linux 7.3 reads the same.
const (
	leafSEV = 0x8000_001f
	sevBit  = 1 << 1 // of EAX: the processor knows SEV, as one that runs such guests does, too

	msrSEV    = 0xc001_0131 // what of it is in use, there if sevBit is set
	sevActive = 1 << 0
	sevVTOM   = 1 << 3 // an address says what is encrypted, not a bit in page tables

	leafTDX = 0x21 // EBX, EDX, ECX: its name
	tdxB    = 0x65746e49
	tdxD    = 0x5844546c
	tdxC    = 0x20202020
)

// What encrypts memory: values of machine.encrypted.
const (
	encryptedNot    = iota
	encryptedMarked // SEV: what page tables do not mark is not decrypted, the board's own variables included
	encryptedSEV    // SEV that takes no mark
	encryptedTDX
)

// encryption reads it from the processor. Guests with SEV-ES, SEV-SNP and TDX get as far as
// this only if somebody below them handles their exceptions.
func encryption() uint64 {
	if top, _, _, _ := cpuid(0x8000_0000, 0); top >= leafSEV {
		if a, _, _, _ := cpuid(leafSEV, 0); a&sevBit != 0 {
			if kind := sevKind(rdmsr(msrSEV)); kind != encryptedNot {
				return kind
			}
		}
	}
	if top, _, _, _ := cpuid(0, 0); top >= leafTDX {
		_, b, c, d := cpuid(leafTDX, 0)
		return tdxKind(b, c, d)
	}
	return encryptedNot
}

// sevKind is what the status of SEV says.
func sevKind(status uint64) uint64 {
	if status&sevActive == 0 {
		return encryptedNot
	}
	if status&sevVTOM == 0 {
		return encryptedMarked
	}
	return encryptedSEV
}

// tdxKind is what the name of leaf 0x21 says.
func tdxKind(b, c, d uint32) uint64 {
	if b == tdxB && c == tdxC && d == tdxD {
		return encryptedTDX
	}
	return encryptedNot
}

// Encryption names what encrypts memory, nothing if nothing is known to.
func Encryption() string {
	switch mach.encrypted {
	case encryptedNot:
		return ""
	case encryptedTDX:
		return "Intel TDX"
	}
	return "AMD SEV"
}

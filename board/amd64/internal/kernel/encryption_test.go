package kernel

import (
	"encoding/binary"
	"testing"
)

func TestSEVIsToldByWhatIsInUse(t *testing.T) {
	for status, want := range map[uint64]uint64{
		0:   encryptedNot, // a host that can run such guests
		0x1: encryptedMarked, 0x3: encryptedMarked, 0x7: encryptedMarked,
		0xd: encryptedSEV, 0x8: encryptedNot, 1 << 32: encryptedNot,
	} {
		if got := sevKind(status); got != want {
			t.Errorf("status %#x: %d, want %d", status, got, want)
		}
	}
}

func TestTDXIsToldByItsName(t *testing.T) {
	for name, want := range map[string]uint64{"IntelTDX    ": encryptedTDX, "Intel TDX   ": encryptedNot, "IntelTDX   \x00": encryptedNot,
		"GenuineIntel": encryptedNot, "            ": encryptedNot} {
		word := func(i int) uint32 { return binary.LittleEndian.Uint32([]byte(name[4*i:])) }
		if got := tdxKind(word(0), word(2), word(1)); got != want { // EBX, ECX, EDX
			t.Errorf("%q: %d, want %d", name, got, want)
		}
	}
}

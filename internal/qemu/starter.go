//go:build linux

package qemu

import (
	"encoding/binary"

	"ferry/phys"
)

// The starter's places: a ROM of 64 KiB that ends with the first 4 GiB, as the
// processor starts in its last 16 bytes.
const (
	starterSize = 64 << 10
	starterBase = 1<<32 - starterSize

	starterPDs  = 0x2000 // after the PML4 and its one PDPT
	starterGDT  = 0x6000
	starterGDTR = 0x6040
	starterData = 0x6080 // entry
	starterReal = 0x7000
	starterLong = 0x7100
	starterSP   = starterBase + 0xf000
)

// Starter returns firmware that does nothing but to start a kernel by the 64-bit
// boot protocol, in the state in which kexec starts it: interrupts off, identity
// page tables of 2 MiB pages over the first 4 GiB, flat segments, RSI = zeroPage,
// all other registers 0. It takes no memory: code, tables and stack are in ROM, so
// that the machine's RAM is as it was found.
func Starter(entry, zeroPage phys.Addr) []byte {
	rom := make([]byte, starterSize)
	le := binary.LittleEndian
	// Accessed, and dirty in leaves: the processor has nothing to write.
	const table, page = 0x23, 0xe3
	le.PutUint64(rom, starterBase+0x1000|table)
	for i := range uint64(4) {
		le.PutUint64(rom[0x1000+8*i:], starterBase+starterPDs+i<<12|table)
	}
	for i := range uint64(4 * 512) {
		le.PutUint64(rom[starterPDs+8*i:], i<<21|page)
	}
	// 0x10: 64-bit code, 0x18: data; both accessed.
	le.PutUint64(rom[starterGDT+0x10:], 0x00af9b000000ffff)
	le.PutUint64(rom[starterGDT+0x18:], 0x00cf93000000ffff)
	le.PutUint16(rom[starterGDTR:], 0x1f)
	le.PutUint32(rom[starterGDTR+2:], starterBase+starterGDT)
	le.PutUint64(rom[starterData:], uint64(entry))

	imm32 := func(op []byte, v uint32) []byte { return le.AppendUint32(op, v) }
	put(rom, starterReal,
		[]byte{0xfa, 0xfc},                                                  // cli; cld
		imm32([]byte{0x66, 0xb8}, starterBase),                              // mov eax, PML4
		[]byte{0x0f, 0x22, 0xd8},                                            // mov cr3, eax
		imm32([]byte{0x66, 0xb8}, 0x20),                                     // mov eax, PAE
		[]byte{0x0f, 0x22, 0xe0},                                            // mov cr4, eax
		imm32([]byte{0x66, 0xb9}, 0xc0000080),                               // mov ecx, EFER
		imm32([]byte{0x66, 0xb8}, 0x901),                                    // mov eax, NXE | LME | SCE
		[]byte{0x66, 0x31, 0xd2},                                            // xor edx, edx
		[]byte{0x0f, 0x30},                                                  // wrmsr
		[]byte{0x66, 0x2e, 0x0f, 0x01, 0x16},                                // lgdt cs:[..
		le.AppendUint16(nil, starterGDTR),                                   // ..]
		imm32([]byte{0x66, 0xb8}, 0x80000033),                               // mov eax, PG | NE | ET | MP | PE
		[]byte{0x0f, 0x22, 0xc0},                                            // mov cr0, eax
		imm32([]byte{0x66, 0xea}, starterBase+starterLong), []byte{0x10, 0}, // jmp 0x10:long
	)
	at := put(rom, starterLong,
		imm32([]byte{0xb8}, 0x18),                             // mov eax, 0x18
		[]byte{0x8e, 0xd8, 0x8e, 0xc0, 0x8e, 0xd0},            // mov ds, eax; mov es, eax; mov ss, eax
		[]byte{0x31, 0xc0, 0x8e, 0xe0, 0x8e, 0xe8},            // xor eax, eax; mov fs, eax; mov gs, eax
		[]byte{0x31, 0xdb, 0x31, 0xc9, 0x31, 0xd2},            // xor ebx, ebx; xor ecx, ecx; xor edx, edx
		[]byte{0x31, 0xff, 0x31, 0xed},                        // xor edi, edi; xor ebp, ebp
		imm32([]byte{0xbc}, starterSP),                        // mov esp, stack
		le.AppendUint64([]byte{0x48, 0xbe}, uint64(zeroPage)), // mov rsi, zeroPage
	)
	// jmp [rip + the entry's place], behind these six bytes
	put(rom, at, imm32([]byte{0xff, 0x25}, uint32(starterData-(at+6))))
	put(rom, 0xfff0, []byte{0xe9}, le.AppendUint16(nil, uint16(0x10000+starterReal-0xfff3)))
	return rom
}

// put writes the pieces one after another and returns where they end.
func put(rom []byte, at int, pieces ...[]byte) int {
	for _, p := range pieces {
		at += copy(rom[at:], p)
	}
	return at
}

#include "go_asm.h"
#include "textflag.h"

// func jump(entry, zeroPage uint64)
TEXT ·jump(SB),NOSPLIT,$0-16
	CLI
	CLD
	MOVQ entry+0(FP), R8
	MOVQ zeroPage+8(FP), R9
	MOVQ $const_machineBase, R12
	MOVQ $1, machine_inKernel(R12)
	MOVQ machine_stackTop(R12), SP
	LEAQ (machine_tls+8)(R12), AX
	MOVQ AX, DX
	SHRQ $32, DX
	MOVL $0xc0000100, CX     // FS base: the kernel's g
	WRMSR
	SUBQ $48, SP
	MOVQ R8, 32(SP)
	MOVQ R9, 40(SP)
	CALL ·leave(SB)
	MOVQ 0(SP), AX
	MOVQ 8(SP), R12
	MOVQ 16(SP), CX
	MOVQ 32(SP), BX
	MOVQ 40(SP), SI
	TESTQ AX, AX
	JEQ  stuck
	JMP  CX

stuck:
	HLT
	JMP stuck

// func depart()
// AX: page tables, BX: entry, SI: zero page, R12: physical address of the board's
// memory. Runs at its physical address.
TEXT ·depart(SB),NOSPLIT|NOFRAME|TOPFRAME,$0-0
	MOVQ AX, CR3
	LEAQ (const_machineSize+const_stackSize)(R12), SP
	SUBQ $16, SP
	MOVW $(8*8-1), 0(SP)
	LEAQ machine_gdt(R12), AX
	MOVQ AX, 2(SP)
	LGDT (SP)
	MOVQ $0, 0(SP)
	MOVQ $0, 8(SP)
	LIDT (SP)
	ADDQ $16, SP

	MOVL $0x18, AX
	BYTE $0x8e; BYTE $0xd8   // mov ds, ax
	BYTE $0x8e; BYTE $0xc0   // mov es, ax
	BYTE $0x8e; BYTE $0xd0   // mov ss, ax
	BYTE $0x8e; BYTE $0xe0   // mov fs, ax
	BYTE $0x8e; BYTE $0xe8   // mov gs, ax

	MOVQ CR4, AX
	ANDQ $0x1000, AX         // LA57 cannot change in long mode
	ORQ  $0x20, AX           // PAE
	MOVQ AX, CR4
	MOVL $0x80000033, AX     // PG, NE, ET, MP, PE
	MOVQ AX, CR0

	PUSHQ $0x10
	PUSHQ BX
	XORL AX, AX
	XORL BX, BX
	XORL CX, CX
	XORL DX, DX
	XORL DI, DI
	BYTE $0x31; BYTE $0xed   // xor ebp, ebp: vet takes BP for the frame pointer
	XORL R8, R8
	XORL R9, R9
	XORL R10, R10
	XORL R11, R11
	XORL R12, R12
	XORL R13, R13
	XORL R14, R14
	XORL R15, R15
	BYTE $0x48; BYTE $0xcb   // retfq

// func addressOfDepart() uint64
TEXT ·addressOfDepart(SB),NOSPLIT,$0-8
	LEAQ ·depart(SB), AX
	MOVQ AX, ret+0(FP)
	RET

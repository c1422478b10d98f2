#include "go_asm.h"
#include "textflag.h"

// To the kernel stack and the kernel's g, interrupts off. R12: machine.
#define KERNEL_STACK \
	CLI \
	MOVQ $const_machineBase, R12 \
	MOVQ SP, machine_leaveSP(R12) \
	MOVL $0xc0000100, CX \
	RDMSR \
	SHLQ $32, DX \
	ORQ  DX, AX \
	MOVQ AX, machine_leaveFS(R12) \
	MOVQ $1, machine_inKernel(R12) \
	MOVQ machine_stackTop(R12), SP \
	LEAQ (machine_tls+8)(R12), AX \
	MOVQ AX, DX \
	SHRQ $32, DX \
	WRMSR

// And back.
#define OWN_STACK \
	MOVQ $const_machineBase, R12 \
	MOVL $0xc0000100, CX \
	MOVQ machine_leaveFS(R12), AX \
	MOVQ AX, DX \
	SHRQ $32, DX \
	WRMSR \
	MOVQ machine_leaveSP(R12), SP \
	MOVQ $0, machine_inKernel(R12) \
	STI

// func unlockPages(start, end uint64) bool
TEXT ·unlockPages(SB),NOSPLIT,$24-17
	MOVQ start+0(FP), R8
	MOVQ end+8(FP), R9
	KERNEL_STACK
	SUBQ $32, SP
	MOVQ R8, 0(SP)
	MOVQ R9, 8(SP)
	CALL ·unlock(SB)
	MOVB 16(SP), R8
	OWN_STACK
	MOVB R8, ret+16(FP)
	RET

// func leave()
TEXT ·leave(SB),NOSPLIT,$24-0
	KERNEL_STACK
	SUBQ $16, SP
	CALL ·prepareJump(SB)
	MOVQ $const_machineBase, R12
	CMPB 0(SP), $0
	JNE  jump

	OWN_STACK
	RET

jump:
	LEAQ ·depart(SB), AX
	ANDL $(const_PageSize-1), AX
	MOVQ $const_gateBase, DX
	ADDQ DX, AX
	JMP  AX

// func depart()
// At the gate. R12: machine. Nothing else of the old tables is in the next.
TEXT ·depart(SB),NOSPLIT,$8-0
	MOVQ machine_jumpStack(R12), SP
	MOVQ machine_jumpGDT(R12), R8
	MOVQ machine_jumpEntry(R12), R9
	MOVQ machine_jumpZeroPage(R12), SI
	MOVQ machine_jumpCR3(R12), AX
	MOVQ AX, CR3
	MOVQ CR4, AX
	ANDQ $0x1000, AX         // LA57
	ORQ  $0x20, AX           // PAE
	MOVQ AX, CR4
	MOVL $0x80000033, AX     // PG, NE, ET, MP, PE
	MOVQ AX, CR0

	SUBQ $16, SP
	MOVW $0x1f, 0(SP)
	MOVQ R8, 2(SP)
	LGDT (SP)
	MOVQ $0, 0(SP)
	MOVQ $0, 8(SP)
	LIDT (SP)
	ADDQ $16, SP
	MOVL $0x18, AX
	BYTE $0x8e; BYTE $0xd8   // mov ds, ax
	BYTE $0x8e; BYTE $0xc0   // mov es, ax
	BYTE $0x8e; BYTE $0xd0   // mov ss, ax
	XORL AX, AX
	BYTE $0x8e; BYTE $0xe0   // mov fs, ax
	BYTE $0x8e; BYTE $0xe8   // mov gs, ax
	MOVL $0xc0000100, CX
	XORL DX, DX
	WRMSR
	PUSHQ $0x10
	PUSHQ R9
	XORL BX, BX
	XORL CX, CX
	XORL DI, DI
	XORL BP, BP
	XORL R8, R8
	XORL R9, R9
	XORL R10, R10
	XORL R11, R11
	XORL R12, R12
	XORL R13, R13
	XORL R14, R14
	XORL R15, R15
	BYTE $0x48; BYTE $0xcb   // retfq

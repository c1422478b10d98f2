#include "go_asm.h"
#include "textflag.h"

// To the kernel stack and the kernel's g, interrupts off. R12: machine.
#define KERNEL_STACK \
	CLI \
	MOVQ $const_machineBase, R12 \
	MOVQ SP, (machine_exits+exits_sp)(R12) \
	MOVL $0xc0000100, CX \
	RDMSR \
	SHLQ $32, DX \
	ORQ  DX, AX \
	MOVQ AX, (machine_exits+exits_fs)(R12) \
	MOVQ $1, (machine_traps+traps_inKernel)(R12) \
	MOVQ (machine_traps+traps_stackTop)(R12), SP \
	LEAQ (machine_traps+traps_tls+8)(R12), AX \
	MOVQ AX, DX \
	SHRQ $32, DX \
	WRMSR

// And back.
#define OWN_STACK \
	MOVQ $const_machineBase, R12 \
	MOVL $0xc0000100, CX \
	MOVQ (machine_exits+exits_fs)(R12), AX \
	MOVQ AX, DX \
	SHRQ $32, DX \
	WRMSR \
	MOVQ (machine_exits+exits_sp)(R12), SP \
	MOVQ $0, (machine_traps+traps_inKernel)(R12) \
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

// func readyJump() bool
TEXT ·readyJump(SB),NOSPLIT,$24-1
	KERNEL_STACK
	SUBQ $16, SP
	CALL ·buildJump(SB)
	MOVB 0(SP), R8
	OWN_STACK
	MOVB R8, ret+0(FP)
	RET

// func leave()
TEXT ·leave(SB),NOSPLIT,$24-0
	KERNEL_STACK
	CALL ·departNext(SB)
	INT  $3

// func finishFromGo(c *Context, cause record.Cause, code uint64, what string)
TEXT ·finishFromGo(SB),NOSPLIT,$24-40
	MOVQ c+0(FP), R8
	MOVL cause+8(FP), R9
	MOVQ code+16(FP), R10
	MOVQ what_base+24(FP), R11
	MOVQ what_len+32(FP), R13
	KERNEL_STACK
	SUBQ $48, SP
	MOVQ R8, 0(SP)
	MOVL R9, 8(SP)
	MOVQ R10, 16(SP)
	MOVQ R11, 24(SP)
	MOVQ R13, 32(SP)
	CALL ·finish(SB)
	INT  $3

// func jumpAway()
TEXT ·jumpAway(SB),NOSPLIT|NOFRAME,$0-0
	MOVQ $const_departBase, R12
	JMP  R12

#define STORE4(n) \
	VMOVUPS Y0, (n)(DI) \
	VMOVUPS Y0, (n+32)(DI) \
	VMOVUPS Y0, (n+64)(DI) \
	VMOVUPS Y0, (n+96)(DI)

// func depart()
// In the departure page, at R12. Nothing else of the old tables is in the next.
TEXT ·depart(SB),NOSPLIT|NOFRAME,$0-0
	CLD
	MOVQ departure_cr3(R12), AX
	MOVQ AX, CR3
	LEAQ departure_wipes(R12), R8
	XORL AX, AX
wipe:
	MOVQ piece_start(R8), DI
	MOVQ piece_blocks(R8), BX
	MOVQ piece_words(R8), CX
	MOVQ piece_bytes(R8), DX
	MOVQ BX, R9
	ORQ  CX, R9
	ORQ  DX, R9
	JEQ  wiped
	TESTQ BX, BX
	JEQ  words
	VXORPS Y0, Y0, Y0
block:
	STORE4(0)
	STORE4(128)
	STORE4(256)
	STORE4(384)
	ADDQ $const_blockBytes, DI
	DECQ BX
	JNE  block
words:
	REP
	STOSQ
	MOVQ DX, CX
	REP
	STOSB
	ADDQ $const_pieceSize, R8
	JMP  wipe

wiped:
	MOVQ CR4, AX
	ANDQ $0x1000, AX         // LA57
	ORQ  $0x20, AX           // PAE
	MOVQ AX, CR4
	MOVL $0x80000033, AX     // PG, NE, ET, MP, PE
	MOVQ AX, CR0

	MOVQ departure_stack(R12), SP
	MOVQ departure_entry(R12), R9
	MOVQ departure_zeroPage(R12), SI
	LGDT (departure_gdtLimit+6)(R12)
	LIDT departure_noIDT(R12)
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

// func departEnd()
TEXT ·departEnd(SB),NOSPLIT|NOFRAME,$0-0
	RET

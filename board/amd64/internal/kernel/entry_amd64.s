#include "go_asm.h"
#include "textflag.h"

// Start is position independent until it jumps to high: it runs at load +
// (VA - base), identity mapped by page tables that belong to someone else. The
// text starts one page above the base.

#define MSR_EFER 0xc0000080
#define MSR_STAR 0xc0000081
#define MSR_LSTAR 0xc0000082
#define MSR_FMASK 0xc0000084
#define MSR_FS_BASE 0xc0000100
#define MSR_GS_BASE 0xc0000101

#define SET_MSR \ // CX: number, AX: value; clobbers DX
	MOVQ AX, DX \
	SHRQ $32, DX \
	WRMSR

DATA ·mach+0(SB)/8, $const_machineBase
GLOBL ·mach(SB), RODATA, $8

DATA ·rec+0(SB)/8, $const_recordBase
GLOBL ·rec(SB), RODATA, $8

DATA ·out+0(SB)/8, $const_departBase
GLOBL ·out(SB), RODATA, $8

// What the entry prints before it halts.
DATA damaged<>+0(SB)/8, $"\r\nferry:"
DATA damaged<>+8(SB)/8, $" damaged"
DATA damaged<>+16(SB)/8, $" image, "
DATA damaged<>+24(SB)/8, $"or init_"
DATA damaged<>+32(SB)/8, $"size is "
DATA damaged<>+40(SB)/8, $"too low\n"
GLOBL damaged<>(SB), RODATA, $48
DATA encrypted<>+0(SB)/8, $"\r\nferry:"
DATA encrypted<>+8(SB)/8, $" encrypt"
DATA encrypted<>+16(SB)/8, $"ed memor"
DATA encrypted<>+24(SB)/8, $"y (AMD S"
DATA encrypted<>+32(SB)/8, $"EV) is n"
DATA encrypted<>+40(SB)/8, $"ot read\n"
GLOBL encrypted<>(SB), RODATA, $48

// func Start()
// RSI: physical address of the zero page. R15: where to continue, as an address
// in the image as it runs now.
TEXT ·Start(SB),NOSPLIT|NOFRAME|TOPFRAME,$0-0
	CLI
	CLD
	RDTSC
	MOVL AX, R10
	MOVL DX, R11
	LEAQ runtime·text(SB), R13
	SUBQ $const_PageSize, R13 // load address
	MOVQ $const_imageMagic, AX
	CMPQ AX, const_paramMagic(R13)
	JNE  dead
	SUBQ R13, R15
	ADDQ const_paramBase(R13), R15 // continuation, virtual

	// The board's own memory is the last of the stage's, below what the 32-bit
	// entry may have put there.
	MOVQ const_paramInitSize(R13), R12
	SUBQ $(const_tailSize+const_areaSize), R12
	JCS  dead
	CMPQ R12, const_paramFileSize(R13)
	JCS  dead
	ADDQ R13, R12
	MOVQ R12, DI
	MOVQ $(const_machineSize/8), CX
	XORL AX, AX
	REP
	STOSQ

	LEAQ (const_machineSize+const_stackSize)(R12), SP
	MOVQ R13, (machine_image+image_load)(R12)
	MOVQ SI, (machine_image+image_zeroPage)(R12)
	MOVQ R15, (machine_image+image_continueAt)(R12)
	MOVQ $1, (machine_traps+traps_inKernel)(R12)
	MOVL R10, (machine_image+image_entryTSC+0)(R12)
	MOVL R11, (machine_image+image_entryTSC+4)(R12)

	// What compiled Go code expects: SSE, g in TLS, a stack limit.
	MOVQ CR0, AX
	ANDQ $~0x2000000c, AX    // AM.. stay; EM, TS, NW off
	ORQ  $0x10022, AX        // WP, NE, MP
	MOVQ AX, CR0
	MOVQ CR4, AX
	ANDQ $0x1000, AX         // LA57 cannot change in long mode
	ORQ  $0x620, AX          // PAE, OSFXSR, OSXMMEXCPT
	MOVQ AX, CR4
	LEAQ const_machineSize(R12), AX
	CALL fakeg<>(SB)

	// NXE before the first table with the bit set, SCE for SYSCALL.
	MOVL $0x80000001, AX
	CPUID
	MOVL DX, BX
	MOVL $MSR_EFER, CX
	RDMSR
	ORL  $1, AX
	BTL  $20, BX
	JCC  noNX
	ORL  $0x800, AX
noNX:
	WRMSR

	SUBQ $16, SP
	MOVQ R12, 0(SP)
	CALL ·early(SB)
	MOVQ 0(SP), R12
	CMPB 8(SP), $0
	JEQ  refused

	MOVQ (machine_tables+tables_root)(R12), AX
	MOVQ (machine_tables+tables_entryRoot)(R12), CX
	LEAQ ·high(SB), BX
	SUBQ (machine_image+image_load)(R12), BX
	ADDQ (machine_image+image_base)(R12), BX
	LEAQ ·through(SB), DX
	ANDL $(const_PageSize-1), DX
	MOVQ $const_gateBase, DI
	ADDQ DI, DX
	CALL ·enter(SB)

refused:
	LEAQ encrypted<>(SB), SI
	CMPQ machine_encrypted(R12), $const_encryptedMarked
	JEQ  say

dead:
	LEAQ damaged<>(SB), SI

	// Nothing works yet but the first serial port, as the firmware left it; and
	// if memory is encrypted, one byte at a time.
say:
	MOVL $const_messageBytes, CX
	MOVW $const_com1, DX
	CLD
sayByte:
	LODSB
	BYTE $0xee               // out dx, al
	DECL CX
	JNE  sayByte
	CLI
	HLT
	JMP -2(PC)

// fakeg makes the machine at R12 the g of the kernel, with the stack that
// starts at AX. It clobbers AX, CX, DX.
TEXT fakeg<>(SB),NOSPLIT|NOFRAME,$0
	MOVQ AX, (machine_traps+traps_g+0)(R12)
	ADDQ $const_stackSize, AX
	MOVQ AX, (machine_traps+traps_g+8)(R12)
	SUBQ $(const_stackSize-const_stackGuard), AX
	MOVQ AX, (machine_traps+traps_g+16)(R12)
	MOVQ AX, (machine_traps+traps_g+24)(R12)
	LEAQ (machine_traps+traps_g)(R12), AX
	MOVQ AX, (machine_traps+traps_tls)(R12)
	LEAQ (machine_traps+traps_tls+8)(R12), AX
	MOVL $MSR_FS_BASE, CX
	SET_MSR
	RET

// func enter()
// CX: page tables that map this page where it runs now, DX: where through is in
// them, AX and BX: as there.
TEXT ·enter(SB),NOSPLIT|NOFRAME,$0-0
	MOVQ CX, CR3
	JMP  DX

// func through()
// At the gate, which both tables map. AX: page tables, BX: where to go in them.
TEXT ·through(SB),NOSPLIT|NOFRAME,$0-0
	MOVQ AX, CR3
	JMP  BX

// func high()
// The rest of the set-up, at the address that the image was linked for.
TEXT ·high(SB),NOSPLIT|NOFRAME|TOPFRAME,$0-0
	MOVQ $const_machineBase, R12
	MOVQ (machine_traps+traps_stackTop)(R12), SP

	SUBQ $16, SP
	MOVW $(8*8-1), 0(SP)
	LEAQ (machine_traps+traps_gdt)(R12), AX
	MOVQ AX, 2(SP)
	LGDT (SP)
	MOVW $(512*8-1), 0(SP)
	LEAQ (machine_traps+traps_idt)(R12), AX
	MOVQ AX, 2(SP)
	LIDT (SP)
	ADDQ $16, SP

	MOVL $0x18, AX
	BYTE $0x8e; BYTE $0xd8   // mov ds, ax
	BYTE $0x8e; BYTE $0xc0   // mov es, ax
	BYTE $0x8e; BYTE $0xd0   // mov ss, ax
	XORL AX, AX
	BYTE $0x8e; BYTE $0xe0   // mov fs, ax
	BYTE $0x8e; BYTE $0xe8   // mov gs, ax
	PUSHQ $0x10
	LEAQ ·flat(SB), AX
	PUSHQ AX
	BYTE $0x48; BYTE $0xcb   // retfq

// func flat()
TEXT ·flat(SB),NOSPLIT|NOFRAME|TOPFRAME,$0-0
	MOVL $0x20, AX
	LTR  AX
	MOVQ $const_stackBase, AX
	CALL fakeg<>(SB)
	XORL AX, AX
	MOVL $MSR_GS_BASE, CX
	SET_MSR
	MOVQ $0x0010001000000000, AX  // CS 0x10, SS 0x18, both ways
	MOVL $MSR_STAR, CX
	SET_MSR
	LEAQ ·syscall(SB), AX
	MOVL $MSR_LSTAR, CX
	SET_MSR
	MOVL $0x47700, AX             // AC, NT, IOPL, DF, IF, TF off in the kernel
	MOVL $MSR_FMASK, CX
	SET_MSR

	MOVQ $0, (machine_traps+traps_current)(R12)
	CALL ·setup(SB)
	MOVQ $const_machineBase, R12
	MOVQ (machine_image+image_continueAt)(R12), AX
	JMP  AX

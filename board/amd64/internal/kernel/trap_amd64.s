#include "go_asm.h"
#include "textflag.h"

// One entry for each vector: a call of 5 bytes in 8, so that the return address
// gives the vector.
#define V CALL ·interrupt(SB); BYTE $0x90; BYTE $0x90; BYTE $0x90
#define V8 V; V; V; V; V; V; V; V
#define V64 V8; V8; V8; V8; V8; V8; V8; V8

// NMI is not masked while a context is half saved or half loaded, and nothing here
// sends one: it goes back at once and touches nothing.
#define NMI IRETQ; BYTE $0x90; BYTE $0x90; BYTE $0x90; BYTE $0x90; BYTE $0x90; BYTE $0x90

// func vectors()
TEXT ·vectors(SB),NOSPLIT|NOFRAME,$0-0
	V; V; NMI; V; V; V; V; V
	V8; V8; V8; V8; V8; V8; V8
	V64; V64; V64

// Vectors that push an error code: 8, 10-14, 17, 21, 29, 30.
#define ERROR_CODES 0x60227d00

#define SAVE(c) \ // all but RAX, RCX, RDX, RSP, RIP, R15
	MOVQ BX, Context_RBX(c) \
	MOVQ SI, Context_RSI(c) \
	MOVQ DI, Context_RDI(c) \
	MOVQ BP, Context_RBP(c) \
	MOVQ R8, Context_R8(c) \
	MOVQ R9, Context_R9(c) \
	MOVQ R10, Context_R10(c) \
	MOVQ R12, Context_R12(c) \
	MOVQ R13, Context_R13(c) \
	MOVQ R14, Context_R14(c) \
	MOVQ R15, Context_R15(c)

#define LOAD(c) \ // all but R15
	MOVQ Context_RAX(c), AX \
	MOVQ Context_RBX(c), BX \
	MOVQ Context_RCX(c), CX \
	MOVQ Context_RDX(c), DX \
	MOVQ Context_RSI(c), SI \
	MOVQ Context_RDI(c), DI \
	MOVQ Context_RBP(c), BP \
	MOVQ Context_R8(c), R8 \
	MOVQ Context_R9(c), R9 \
	MOVQ Context_R10(c), R10 \
	MOVQ Context_R11(c), R11 \
	MOVQ Context_R12(c), R12 \
	MOVQ Context_R13(c), R13 \
	MOVQ Context_R14(c), R14

#define RETURN(c) \ // IRETQ with the frame that is part of the context
	LEAQ Context_RIP(c), SP \
	MOVQ (Context_R15-Context_RIP)(SP), R15 \
	IRETQ

// func interrupt()
// On the stack of the interrupt: return address of the vector's call, error code
// if there is one, RIP, CS, RFLAGS, RSP, SS.
TEXT ·interrupt(SB),NOSPLIT|NOFRAME|TOPFRAME,$0-0
	PUSHQ AX
	PUSHQ CX
	PUSHQ DX
	PUSHQ R15
	MOVQ  32(SP), AX
	LEAQ  ·vectors(SB), CX
	SUBQ  CX, AX
	SHRQ  $3, AX               // vector
	MOVQ  $0, 32(SP)           // error code if there is none
	LEAQ  32(SP), CX
	CMPQ  AX, $32
	JCC   plain
	MOVL  $ERROR_CODES, DX
	BTQ   AX, DX
	JCC   plain
	ADDQ  $8, CX
plain:
	MOVQ  $const_machineBase, DX
	LEAQ  (machine_traps+traps_nested)(DX), R15
	CMPQ  (machine_traps+traps_inKernel)(DX), $0
	JNE   save
	MOVQ  (machine_traps+traps_current)(DX), R15
save:
	MOVQ  R11, Context_R11(R15)
	MOVQ  R15, R11
	MOVQ  0(SP), R15
	SAVE(R11)
	MOVQ  R11, R15
	MOVQ  AX, Context_Vector(R15)
	MOVQ  24(SP), AX
	MOVQ  AX, Context_RAX(R15)
	MOVQ  16(SP), AX
	MOVQ  AX, Context_RCX(R15)
	MOVQ  8(SP), AX
	MOVQ  AX, Context_RDX(R15)
	MOVQ  0(CX), AX
	MOVQ  AX, Context_Error(R15)
	MOVQ  8(CX), AX
	MOVQ  AX, Context_RIP(R15)
	MOVQ  16(CX), AX
	MOVQ  AX, Context_CS(R15)
	MOVQ  24(CX), AX
	MOVQ  AX, Context_RFLAGS(R15)
	MOVQ  32(CX), AX
	MOVQ  AX, Context_RSP(R15)
	MOVQ  40(CX), AX
	MOVQ  AX, Context_SS(R15)
	MOVQ  CR2, AX
	MOVQ  AX, Context_CR2(R15)
	MOVQ  DX, BX
	CLD
	CMPQ  (machine_traps+traps_inKernel)(BX), $0
	JNE   nested

	MOVQ  $1, Context_HaveFPU(R15)
	LEAQ  Context_FPU(R15), DI
	CMPQ  (machine_traps+traps_xsave)(BX), $0
	JEQ   fxsave
	MOVL  $7, AX
	XORL  DX, DX
	XSAVE64 (DI)
	JMP   trap<>(SB)
fxsave:
	FXSAVE64 (DI)
	JMP   trap<>(SB)

nested:
	// A device interrupt while the kernel idles, or a fault of the kernel itself.
	// This stack is ours; the interrupted code expects no register preserved
	// but those of the context.
	ANDQ  $~15, SP
	SUBQ  $16, SP
	MOVQ  R15, 0(SP)
	CALL  ·nestedTrap(SB)
	MOVQ  $const_machineBase, BX
	LEAQ  (machine_traps+traps_nested)(BX), R15
	LOAD(R15)
	RETURN(R15)

// trap calls the handler with the context at R15. BX: machine.
TEXT trap<>(SB),NOSPLIT|NOFRAME|TOPFRAME,$0
	MOVQ  $1, (machine_traps+traps_inKernel)(BX)
	MOVQ  (machine_traps+traps_stackTop)(BX), SP
	LEAQ  (machine_traps+traps_tls+8)(BX), AX
	MOVL  $0xc0000100, CX
	MOVQ  AX, DX
	SHRQ  $32, DX
	WRMSR
	SUBQ  $16, SP
	MOVQ  R15, 0(SP)
	MOVQ  (machine_traps+traps_handler)(BX), AX
	CALL  AX
	JMP   ·Resume(SB)

// func syscall()
// The target of SYSCALL: RCX = return address, R11 = flags, stack unchanged.
TEXT ·syscall(SB),NOSPLIT|NOFRAME|TOPFRAME,$0-0
	MOVQ  R11, ·syscallFlags(SB)
	MOVQ  $const_machineBase, R11
	MOVQ  (machine_traps+traps_current)(R11), R11
	MOVQ  CX, Context_RIP(R11)
	MOVQ  CX, Context_RCX(R11)
	MOVQ  SP, Context_RSP(R11)
	MOVQ  AX, Context_RAX(R11)
	MOVQ  DX, Context_RDX(R11)
	SAVE(R11)
	MOVQ  R11, R15
	MOVQ  ·syscallFlags(SB), CX
	MOVQ  CX, Context_R11(R15)
	MOVQ  CX, Context_RFLAGS(R15)
	MOVQ  $0x10, Context_CS(R15)
	MOVQ  $0x18, Context_SS(R15)
	MOVQ  $const_VectorSyscall, Context_Vector(R15)
	MOVQ  $0, Context_Error(R15)
	MOVQ  $0, Context_HaveFPU(R15)  // SSE registers are the caller's to save
	MOVQ  $const_machineBase, BX
	JMP   trap<>(SB)

DATA ·syscallFlags+0(SB)/8, $2
GLOBL ·syscallFlags(SB), NOPTR, $8

// func Resume()
TEXT ·Resume(SB),NOSPLIT|NOFRAME|TOPFRAME,$0-0
	MOVQ  $const_machineBase, BX
	MOVQ  (machine_traps+traps_current)(BX), R15
	MOVQ  Context_FSBase(R15), AX
	MOVQ  AX, DX
	SHRQ  $32, DX
	MOVL  $0xc0000100, CX
	WRMSR
	XORPS X15, X15
	CMPQ  Context_HaveFPU(R15), $0
	JEQ   general
	LEAQ  Context_FPU(R15), DI
	CMPQ  (machine_traps+traps_xsave)(BX), $0
	JEQ   fxrstor
	MOVL  $7, AX
	XORL  DX, DX
	XRSTOR64 (DI)
	JMP   general
fxrstor:
	FXRSTOR64 (DI)
general:
	MOVQ  $0, (machine_traps+traps_inKernel)(BX)
	LOAD(R15)
	RETURN(R15)

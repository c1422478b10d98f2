//go:build metal

#include "textflag.h"

// func endless()
// A handler of traps that fills its stack.
TEXT ·endless(SB),NOSPLIT|NOFRAME,$0-0
again:
	BYTE $0x50 // push rax
	JMP  again

// func addressOfEndless() uint64
TEXT ·addressOfEndless(SB),NOSPLIT,$0-8
	LEAQ ·endless(SB), AX
	MOVQ AX, ret+0(FP)
	RET

// func stumble()
// A handler of traps that faults, with a frame pointer that faults as well.
TEXT ·stumble(SB),NOSPLIT|NOFRAME,$0-0
	MOVQ ·frame(SB), AX
	BYTE $0x48; BYTE $0x89; BYTE $0xc5 // mov rbp, rax
	XORL AX, AX
	MOVQ (AX), AX
	RET

// func addressOfStumble() uint64
TEXT ·addressOfStumble(SB),NOSPLIT,$0-8
	LEAQ ·stumble(SB), AX
	MOVQ AX, ret+0(FP)
	RET

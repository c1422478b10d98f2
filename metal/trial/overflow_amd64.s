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

//go:build tamago

#include "textflag.h"

// The image's first instruction, by way of package goos: RSI = zero page, physical
// addresses.
TEXT cpuinit(SB),NOSPLIT|NOFRAME|TOPFRAME,$0
	LEAQ ·started(SB), R15
	JMP  ferry∕board∕amd64∕internal∕kernel·Start(SB)

// func started()
// The board continues here: own page tables, kernel stack, interrupts off.
TEXT ·started(SB),NOSPLIT|NOFRAME|TOPFRAME,$0-0
	CALL ·boot(SB)
	JMP  ferry∕board∕amd64∕internal∕kernel·Resume(SB)

// func trapped()
// The board's trap handler: the context's address is the argument of the call.
TEXT ·trapped(SB),NOSPLIT,$8-8
	MOVQ c+0(FP), AX
	MOVQ AX, 0(SP)
	CALL ·trap(SB)
	RET

// runtime.sigpanic is what the unwinder takes for the border between an
// instruction that faulted and the panic that it causes: above it, program
// counters are no return addresses. The runtime has none of its own under TamaGo.
TEXT runtime·sigpanic(SB),NOSPLIT,$8-0
	CALL ·panicMemory(SB)
	INT  $3

// func addressOfTrapped() uint64
TEXT ·addressOfTrapped(SB),NOSPLIT,$0-8
	LEAQ ·trapped(SB), AX
	MOVQ AX, ret+0(FP)
	RET

// func addressOfRuntime() uint64
TEXT ·addressOfRuntime(SB),NOSPLIT,$0-8
	LEAQ _rt0_tamago_start(SB), AX
	MOVQ AX, ret+0(FP)
	RET

// func addressOfSigpanic() uint64
TEXT ·addressOfSigpanic(SB),NOSPLIT,$0-8
	LEAQ runtime·sigpanic(SB), AX
	MOVQ AX, ret+0(FP)
	RET

#include "textflag.h"

// The 64-bit entry of the image: RSI = zero page, physical addresses.
TEXT ferry_entry(SB),NOSPLIT|NOFRAME|TOPFRAME,$0
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

// func addressOfTrapped() uint64
TEXT ·addressOfTrapped(SB),NOSPLIT,$0-8
	LEAQ ·trapped(SB), AX
	MOVQ AX, ret+0(FP)
	RET

// func addressOfRuntime() uint64
TEXT ·addressOfRuntime(SB),NOSPLIT,$0-8
	LEAQ _rt0_amd64_linux(SB), AX
	MOVQ AX, ret+0(FP)
	RET

DATA ·k+0(SB)/8, $0xffffc00001000000
GLOBL ·k(SB), RODATA, $8

//go:build tamago && linux

#include "textflag.h"

// The runtime's entry, and what the board continues at.
TEXT _rt0_amd64_tamago(SB),NOSPLIT|NOFRAME,$0
	JMP ·CPUInit(SB)

TEXT _rt0_tamago_start(SB),NOSPLIT|NOFRAME,$0
	JMP ·start(SB)

// func CPUInit()
// As in goos_amd64.s.
TEXT ·CPUInit(SB),NOSPLIT|NOFRAME,$0-0
	JMP cpuinit(SB)

//go:build tamago

#include "textflag.h"

// The entry of the image, as TamaGo's linker looks for it: in board/amd64.
TEXT ·CPUInit(SB),NOSPLIT|NOFRAME,$0
	JMP cpuinit(SB)

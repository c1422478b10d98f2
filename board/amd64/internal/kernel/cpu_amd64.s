#include "textflag.h"

// func in8(port uint16) uint8
TEXT ·in8(SB),NOSPLIT,$0-9
	MOVW port+0(FP), DX
	BYTE $0xec               // in al, dx
	MOVB AX, ret+8(FP)
	RET

// func out8(port uint16, v uint8)
TEXT ·out8(SB),NOSPLIT,$0-3
	MOVW port+0(FP), DX
	MOVB v+2(FP), AX
	BYTE $0xee               // out dx, al
	RET

// func in32(port uint16) uint32
TEXT ·in32(SB),NOSPLIT,$0-12
	MOVW port+0(FP), DX
	BYTE $0xed               // in eax, dx
	MOVL AX, ret+8(FP)
	RET

// func rdmsr(n uint32) uint64
TEXT ·rdmsr(SB),NOSPLIT,$0-16
	MOVL n+0(FP), CX
	RDMSR
	SHLQ $32, DX
	ORQ  DX, AX
	MOVQ AX, ret+8(FP)
	RET

// func wrmsr(n uint32, v uint64)
TEXT ·wrmsr(SB),NOSPLIT,$0-16
	MOVL n+0(FP), CX
	MOVQ v+8(FP), AX
	MOVQ AX, DX
	SHRQ $32, DX
	WRMSR
	RET

// func cpuid(leaf, sub uint32) (a, b, c, d uint32)
TEXT ·cpuid(SB),NOSPLIT,$0-24
	MOVL leaf+0(FP), AX
	MOVL sub+4(FP), CX
	CPUID
	MOVL AX, a+8(FP)
	MOVL BX, b+12(FP)
	MOVL CX, c+16(FP)
	MOVL DX, d+20(FP)
	RET

// func tsc() uint64
TEXT ·tsc(SB),NOSPLIT,$0-8
	LFENCE
	RDTSC
	SHLQ $32, DX
	ORQ  DX, AX
	MOVQ AX, ret+0(FP)
	RET

// func rdrand() (v uint64, ok bool)
TEXT ·rdrand(SB),NOSPLIT,$0-9
	RDRANDQ AX
	SETCS ok+8(FP)
	MOVQ AX, v+0(FP)
	RET

// func rdseed() (v uint64, ok bool)
TEXT ·rdseed(SB),NOSPLIT,$0-9
	RDSEEDQ AX
	SETCS ok+8(FP)
	MOVQ AX, v+0(FP)
	RET

// func readCR3() uint64
TEXT ·readCR3(SB),NOSPLIT,$0-8
	MOVQ CR3, AX
	MOVQ AX, ret+0(FP)
	RET

// func writeCR3(v uint64)
TEXT ·writeCR3(SB),NOSPLIT,$0-8
	MOVQ v+0(FP), AX
	MOVQ AX, CR3
	RET

// func readCR0() uint64
TEXT ·readCR0(SB),NOSPLIT,$0-8
	MOVQ CR0, AX
	MOVQ AX, ret+0(FP)
	RET

// func readCR4() uint64
TEXT ·readCR4(SB),NOSPLIT,$0-8
	MOVQ CR4, AX
	MOVQ AX, ret+0(FP)
	RET

// func writeCR4(v uint64)
TEXT ·writeCR4(SB),NOSPLIT,$0-8
	MOVQ v+0(FP), AX
	MOVQ AX, CR4
	RET

// func invlpg(va uint64)
TEXT ·invlpg(SB),NOSPLIT,$0-8
	MOVQ va+0(FP), AX
	INVLPG (AX)
	RET

// func enableXSAVE(mask uint64)
TEXT ·enableXSAVE(SB),NOSPLIT,$0-8
	MOVQ CR4, AX
	ORQ  $0x40000, AX        // OSXSAVE
	MOVQ AX, CR4
	XORL CX, CX
	MOVQ mask+0(FP), AX
	XORL DX, DX
	XSETBV
	RET

// func resetFPU()
TEXT ·resetFPU(SB),NOSPLIT,$8-0
	BYTE $0xdb; BYTE $0xe3   // fninit
	MOVL $0x1f80, 0(SP)
	LDMXCSR 0(SP)
	RET

// func clearFPU(area, xsave uint64)
TEXT ·clearFPU(SB),NOSPLIT,$0-16
	MOVQ area+0(FP), DI
	CMPQ xsave+8(FP), $0
	JEQ  fx
	MOVL $7, AX
	XORL DX, DX
	XRSTOR64 (DI)
	RET
fx:
	FXRSTOR64 (DI)
	RET

// func zero(a, n uint64)
TEXT ·zero(SB),NOSPLIT,$0-16
	MOVQ a+0(FP), DI
	MOVQ n+8(FP), CX
	SHRQ $3, CX
	XORL AX, AX
	REP
	STOSQ
	RET

// func Copy(to, from uintptr, n uintptr)
TEXT ·Copy(SB),NOSPLIT,$0-24
	MOVQ to+0(FP), DI
	MOVQ from+8(FP), SI
	MOVQ n+16(FP), CX
	REP
	MOVSB
	RET

// func disableInterrupts() bool
TEXT ·disableInterrupts(SB),NOSPLIT,$0-1
	PUSHFQ
	POPQ AX
	CLI
	SHRQ $9, AX
	ANDL $1, AX
	MOVB AX, ret+0(FP)
	RET

// func enableInterrupts()
TEXT ·enableInterrupts(SB),NOSPLIT,$0-0
	STI
	RET

// func Idle()
TEXT ·Idle(SB),NOSPLIT,$0-0
	STI
	HLT
	CLI
	RET

// func Halt()
TEXT ·Halt(SB),NOSPLIT,$0-0
	CLI
	HLT
	JMP -2(PC)

// func tripleFault()
TEXT ·tripleFault(SB),NOSPLIT,$16-0
	MOVQ $0, 0(SP)
	MOVQ $0, 8(SP)
	LIDT (SP)
	INT  $3
	RET

// func addressOfVectors() uint64
TEXT ·addressOfVectors(SB),NOSPLIT,$0-8
	LEAQ ·vectors(SB), AX
	MOVQ AX, ret+0(FP)
	RET

// func addressOfEnter() uint64
TEXT ·addressOfEnter(SB),NOSPLIT,$0-8
	LEAQ ·enter(SB), AX
	MOVQ AX, ret+0(FP)
	RET

// func addressOfThrough() uint64
TEXT ·addressOfThrough(SB),NOSPLIT,$0-8
	LEAQ ·through(SB), AX
	MOVQ AX, ret+0(FP)
	RET

// func addressOfDepart() uint64
TEXT ·addressOfDepart(SB),NOSPLIT,$0-8
	LEAQ ·depart(SB), AX
	MOVQ AX, ret+0(FP)
	RET

// func addressOfDepartEnd() uint64
TEXT ·addressOfDepartEnd(SB),NOSPLIT,$0-8
	LEAQ ·departEnd(SB), AX
	MOVQ AX, ret+0(FP)
	RET

// func pclntab() uint64
TEXT ·pclntab(SB),NOSPLIT,$0-8
	LEAQ runtime·pclntab(SB), AX
	MOVQ AX, ret+0(FP)
	RET

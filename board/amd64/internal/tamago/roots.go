//go:build tamago

package tamago

// What only the assembler calls, or package goos by its own name.
var (
	_ = boot
	_ = trap
	_ = started
	_ = trapped
	_ = panicMemory
	_ = hwinit0
	_ = hwinit1
	_ = initRNG
	_ = getRandomData
	_ = nanotime
	_ = printk
)

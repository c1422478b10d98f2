package kernel

import "unsafe"

// What only the assembler calls or is, so that tools see the uses.
var (
	_ = early
	_ = setup
	_ = nestedTrap
	_ = buildJump
	_ = departNext
	_ = departEnd
	_ = finish
	_ = unlock
	_ = enter
	_ = through
	_ = depart
	_ = high
	_ = flat
	_ = vectors
	_ = interrupt
	_ = syscall
	_ = readCR0 // by tests
	_ = uint64(imageMagic + messageBytes)
)

// Fields that only the assembler uses.
const (
	_ = unsafe.Offsetof(traps{}.nested)
	_ = unsafe.Offsetof(traps{}.tls)
	_ = unsafe.Offsetof(traps{}.g)
	_ = unsafe.Offsetof(image{}.continueAt)
	_ = unsafe.Offsetof(exits{}.sp)
	_ = unsafe.Offsetof(exits{}.fs)
	_ = unsafe.Offsetof(machine{}.program) // by TamaGo's layout
)

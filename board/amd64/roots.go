package amd64

// What only the assembler calls or is, so that tools see the uses.
var (
	_ = early
	_ = setup
	_ = nestedTrap
	_ = prepareJump
	_ = unlock
	_ = enter
	_ = through
	_ = depart
	_ = high
	_ = flat
	_ = vectors
	_ = interrupt
	_ = syscall
	_ = uint64(imageMagic + damagedBytes)
)

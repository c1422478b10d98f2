package kernel

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

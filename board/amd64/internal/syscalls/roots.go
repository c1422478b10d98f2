package syscalls

// What only the assembler calls or is, so that tools see the uses.
var (
	_ = boot
	_ = trap
	_ = started
	_ = trapped
)

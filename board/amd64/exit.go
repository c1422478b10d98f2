package amd64

// Ports of QEMU's isa-debug-exit device and of the PC's two reset lines.
const (
	portDebugExit = 0xf4
	portReset     = 0xcf9
	portKeyboard  = 0x64
)

// Exit ends the run with the exit code: through QEMU's debug exit device, whose
// status is then code<<1 | 0x81, and where there is none by standing still.
// Codes above 63 are told as 63.
func Exit(code int) {
	if code < 0 || code > 63 {
		code = 63
	}
	mach.drainConsole()
	out8(portDebugExit, uint8(code)|0x40)
	Print("exit code ")
	PrintDec(uint64(code))
	Print(", halted\n")
	Halt()
}

// Reset restarts the machine: through the chipset's reset register, the keyboard
// controller, or a triple fault.
func Reset() {
	mach.drainConsole()
	out8(portReset, 2)
	out8(portReset, 6)
	for range 100_000 {
		if in8(portKeyboard)&2 == 0 {
			break
		}
	}
	out8(portKeyboard, 0xfe)
	tripleFault()
}

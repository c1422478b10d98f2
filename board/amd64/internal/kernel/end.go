package kernel

// Ports of QEMU's isa-debug-exit device and of the PC's two reset lines.
const (
	portDebugExit = 0xf4
	portReset     = 0xcf9
	portKeyboard  = 0x64
)

// endRun ends QEMU through its debug exit device with the exit code. A machine
// without one halts, its memory as it is. It prints nothing: the last line on the
// console is the verdict of whoever calls it.
func endRun(code uint64) {
	mach.serial.drain()
	out8(portDebugExit, exitValue(uint8(code)))
	Halt()
}

// exitValue returns what makes QEMU end with a status from which qemu.sh gets the
// code: twice the value plus 1, from 193 for codes below 32, from 33
// for the others. QEMU's own statuses are 0 and 1, a signal's 129 to 192, and those
// of timeout 124 to 127.
func exitValue(code uint8) uint8 {
	if code < 32 {
		return code + 96
	}
	return code - 16
}

// Reset restarts the machine: through the chipset's reset register, the keyboard
// controller, or a triple fault.
func Reset() {
	mach.serial.drain()
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

package amd64

import "unsafe"

// Base ports of the four serial ports that every PC firmware agrees on.
const (
	com1 = 0x3f8
	com2 = 0x2f8
	com3 = 0x3e8
	com4 = 0x2e8
)

// openConsole chooses the serial port that the command line names last with
// console=ttySn, the first without, and sets it to 115200 8N1.
func (m *machine) openConsole() {
	port := uint16(com1)
	const key = "console=ttyS"
	for i := uint64(0); i+uint64(len(key)) < m.cmdlineLen; i++ {
		n := uint64(0)
		for n < uint64(len(key)) && m.cmdline[(i+n)&(maxCmdline-1)] == key[n] {
			n++
		}
		if n < uint64(len(key)) {
			continue
		}
		switch m.cmdline[(i+n)&(maxCmdline-1)] {
		case '0':
			port = com1
		case '1':
			port = com2
		case '2':
			port = com3
		case '3':
			port = com4
		}
	}
	out8(port+1, 0)    // no interrupts
	out8(port+3, 0x80) // divisor
	out8(port+0, 1)    // 115200
	out8(port+1, 0)
	out8(port+3, 3)    // 8N1
	out8(port+2, 0xc7) // FIFO on, empty
	out8(port+4, 3)    // DTR, RTS
	m.com1.Base = port
}

// Printk writes one character to the console.
func Printk(c byte) {
	if c == '\n' {
		mach.com1.Tx('\r')
	}
	mach.com1.Tx(c)
}

// drainConsole waits until the last character has left the port, so that who
// sets it up next cuts nothing off.
func (m *machine) drainConsole() {
	const lineStatus, empty = 5, 1 << 6
	for range 100_000 {
		if in8(m.com1.Base+lineStatus)&empty != 0 {
			return
		}
	}
}

// WriteConsole writes n bytes at virtual address a to the console.
func WriteConsole(a, n uintptr) {
	for i := uintptr(0); i < n; i++ {
		Printk(*byteAt(uint64(a + i)))
	}
}

// Print writes a string to the console. It is for kernel code: nothing is
// allocated.
func Print(s string) {
	WriteConsole(uintptr(unsafe.Pointer(unsafe.StringData(s))), uintptr(len(s)))
}

// PrintHex writes v as 0x and hexadecimal digits without leading zeros.
func PrintHex(v uint64) {
	Print("0x")
	shift := 60
	for shift > 0 && v>>uint(shift&63) == 0 {
		shift -= 4
	}
	for ; shift >= 0; shift -= 4 {
		d := byte(v >> uint(shift&63) & 15)
		if d < 10 {
			Printk('0' + d)
		} else {
			Printk('a' + d - 10)
		}
	}
}

// PrintDec writes v in decimal.
func PrintDec(v uint64) {
	var digits [32]byte
	n := 0
	for {
		digits[n&31] = '0' + byte(v%10)
		n++
		if v /= 10; v == 0 {
			break
		}
	}
	for ; n > 0; n-- {
		Printk(digits[(n-1)&31])
	}
}

package kernel

import (
	"unsafe"

	"github.com/usbarmory/tamago/soc/intel/uart"

	"ferry/board/record"
	"ferry/boot/cmdline"
)

// Base ports of the four serial ports that every PC firmware agrees on.
const (
	com1 = 0x3f8
	com2 = 0x2f8
	com3 = 0x3e8
	com4 = 0x2e8
)

// Registers of a 16550, and what they hold.
const (
	uartInterrupts = 1
	uartFIFO       = 2
	uartLine       = 3
	uartModem      = 4
	uartLineStatus = 5

	line8N1      = 0x03
	lineDivisor  = 0x80 // registers 0 and 1 are the divisor
	lineReady    = 1 << uart.LSR_THRE
	lineEmpty    = 1 << 6
	uartHz       = 115_200 // baud at divisor 1
	uartSlowest  = 50
	uartPatience = 1 << 32 // time stamps, some seconds
)

// consolePort returns the base of the serial port that the command line names last
// with console=ttySn, of the first without one, and the divisor for the speed that
// follows the name, 0 without one.
func (m *machine) consolePort() (port uint16, divisor uint64) {
	port = com1
	line := m.commandLine()
	for i := 0; ; {
		w, ok := cmdline.Next(line, i)
		if !ok || w.Dashes(line) {
			return port, divisor
		}
		i = w.End
		const name = "ttyS"
		digit := w.Value + len(name)
		after := m.cmdlineAt(digit + 1)
		if !w.Named(line, "console") || !w.ValueStarts(line, name) || digit+1 < w.ValueEnd && after != ',' {
			continue // ttyS10 is not ttyS1
		}
		switch m.cmdlineAt(digit) {
		case '0':
			port = com1
		case '1':
			port = com2
		case '2':
			port = com3
		case '3':
			port = com4
		default:
			continue
		}
		divisor = m.baudDivisor(digit + 1)
	}
}

// cmdlineAt returns a byte of the command line, 0 behind its end.
func (m *machine) cmdlineAt(i int) byte { return m.cmdline[uint(i)&(maxCmdline-1)] }

// openConsole sets the console's port to 8N1. Without a speed on the command line it
// keeps the one that it has from the firmware or the old kernel.
func (m *machine) openConsole() {
	port, divisor := m.consolePort()
	out8(port+uartInterrupts, 0)
	out8(port+uartLine, lineDivisor)
	if divisor == 0 {
		divisor = uint64(in8(port)) | uint64(in8(port+1))<<8
	}
	if divisor == 0 {
		divisor = 1
	}
	out8(port, uint8(divisor))
	out8(port+1, uint8(divisor>>8))
	out8(port+uartLine, line8N1)
	out8(port+uartFIFO, 0xc7)  // on, empty
	out8(port+uartModem, 0x03) // DTR, RTS
	m.com1.Base = port
}

// baudDivisor returns the divisor for the speed that follows at i in the command
// line, as in ttyS0,9600n8; 0 if there is none that the port can do.
func (m *machine) baudDivisor(i int) uint64 {
	if m.cmdlineAt(i) != ',' {
		return 0
	}
	baud := uint64(0)
	for baud <= uartHz {
		i++
		d := m.cmdlineAt(i) - '0'
		if d > 9 {
			break
		}
		baud = baud*10 + uint64(d)
	}
	if baud < uartSlowest || baud > uartHz {
		return 0
	}
	return ratio(uartHz, baud)
}

// Printk writes one character to the console.
func Printk(c byte) {
	if c == '\n' {
		mach.transmit('\r')
	}
	mach.transmit(c)
}

// transmit sends c. A port that is missing or stuck is not asked again: nothing may
// wait for it for ever.
func (m *machine) transmit(c byte) {
	m.note(c)
	if m.com1.Base == 0 {
		return
	}
	for start := uint64(0); in8(m.com1.Base+uartLineStatus)&lineReady == 0; {
		switch now := tsc(); {
		case start == 0:
			start = now
		case now-start > uartPatience:
			m.com1.Base = 0
			return
		}
	}
	m.com1.Tx(c)
}

// note keeps the last of what is said, and the first line that looks like the Go
// runtime's word of a failure: what it says after that may be long.
func (m *machine) note(c byte) {
	rec.Console[rec.ConsoleBytes%record.ConsoleSize] = c
	rec.ConsoleBytes++
	switch {
	case c == '\n':
		if m.complaint[0] == 0 && (m.lineStarts("panic: ") || m.lineStarts("fatal error: ") || m.lineStarts("unexpected fault address ")) {
			for i := uint64(0); i < m.lineLen; i++ {
				m.complaint[i&(lineBytes-1)] = m.line[i&(lineBytes-1)]
			}
		}
		m.lineLen = 0
	case c != '\r' && m.lineLen < lineBytes-1:
		m.line[m.lineLen&(lineBytes-1)] = c
		m.lineLen++
	}
}

// lineBytes is more than what is kept of a line.
const lineBytes = 128

func (m *machine) lineStarts(s string) bool {
	if m.lineLen < uint64(len(s)) {
		return false
	}
	for i := 0; i < len(s); i++ {
		if m.line[i&(lineBytes-1)] != s[i] {
			return false
		}
	}
	return true
}

// drainConsole waits until the last character has left the port, so that who
// sets it up next cuts nothing off.
func (m *machine) drainConsole() {
	if m.com1.Base == 0 {
		return
	}
	for range 100_000 {
		if in8(m.com1.Base+uartLineStatus)&lineEmpty != 0 {
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

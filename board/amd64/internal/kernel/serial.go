package kernel

import (
	"unsafe"

	"github.com/usbarmory/tamago/soc/intel/uart"

	"ferry/board/record"
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

// serial is the console: a 16550 at COM1 to COM4, and what was said on it last.
type serial struct {
	port      uart.UART       // Base 0: none, or one that is stuck
	line      [lineBytes]byte // that is being said
	lineLen   uint64
	complaint [lineBytes]byte // the first line of the Go runtime's report of a failure
}

// open makes the port with the given base the console, and sets it to 8N1. With a
// divisor of 0 it keeps the speed that it has from the firmware or the old kernel.
func (s *serial) open(port uint16, divisor uint64) {
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
	s.port.Base = port
}

// Printk writes one character to the console.
func Printk(c byte) {
	if c == '\n' {
		mach.serial.transmit('\r')
	}
	mach.serial.transmit(c)
}

// transmit sends c. A port that is missing or stuck is not used again: nothing may
// wait for it forever.
func (s *serial) transmit(c byte) {
	s.note(c)
	if s.port.Base == 0 {
		return
	}
	for start := uint64(0); in8(s.port.Base+uartLineStatus)&lineReady == 0; {
		switch now := tsc(); {
		case start == 0:
			start = now
		case now-start > uartPatience:
			s.port.Base = 0
			return
		}
	}
	s.port.Tx(c)
}

// note keeps the last of what is said, and the first line that looks like the Go
// runtime's report of a failure: what follows may be long.
func (s *serial) note(c byte) {
	rec.Console[rec.ConsoleBytes%record.ConsoleSize] = c
	rec.ConsoleBytes++
	switch {
	case c == '\n':
		if s.complaint[0] == 0 && (s.lineStarts("panic: ") || s.lineStarts("fatal error: ") || s.lineStarts("unexpected fault address ")) {
			for i := uint64(0); i < s.lineLen; i++ {
				s.complaint[i&(lineBytes-1)] = s.line[i&(lineBytes-1)]
			}
		}
		s.lineLen = 0
	case c != '\r' && s.lineLen < lineBytes-1:
		s.line[s.lineLen&(lineBytes-1)] = c
		s.lineLen++
	}
}

// lineBytes is more than what is kept of a line.
const lineBytes = 128

func (s *serial) lineStarts(text string) bool {
	if s.lineLen < uint64(len(text)) {
		return false
	}
	for i := 0; i < len(text); i++ {
		if s.line[i&(lineBytes-1)] != text[i] {
			return false
		}
	}
	return true
}

// drain waits until the last character has left the port, so that
// whoever sets it up next cuts nothing off.
func (s *serial) drain() {
	if s.port.Base == 0 {
		return
	}
	for range 100_000 {
		if in8(s.port.Base+uartLineStatus)&lineEmpty != 0 {
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

package kernel

import (
	"unsafe"

	"ferry/boot/cmdline"
)

// maxCmdline bounds the kernel command line, in bytes.
const maxCmdline = 4096

// commandLine is the kernel command line: size bytes, with zeros behind.
type commandLine struct {
	bytes [maxCmdline]byte
	size  uint64
}

// Cmdline returns the kernel command line, without a copy: it never changes.
func Cmdline() string { return mach.cmdline.text() }

func (c *commandLine) text() string {
	line := c.bytes[:c.size&(maxCmdline-1)]
	return *(*string)(unsafe.Pointer(&line)) // a slice begins as a string does
}

// at returns a byte of the command line, 0 behind its end.
func (c *commandLine) at(i int) byte { return c.bytes[uint(i)&(maxCmdline-1)] }

// console returns the base of the serial port that the command line names last
// with console=ttySn, of the first without one, and the divisor for the speed that
// follows the name, 0 without one.
func (c *commandLine) console() (port uint16, divisor uint64) {
	port = com1
	line := c.text()
	for i := 0; ; {
		w, ok := cmdline.Next(line, i)
		if !ok || w.Dashes(line) {
			return port, divisor
		}
		i = w.End
		const name = "ttyS"
		digit := w.Value + len(name)
		after := c.at(digit + 1)
		if !w.Named(line, "console") || !w.ValueStarts(line, name) || digit+1 < w.ValueEnd && after != ',' {
			continue // ttyS10 is not ttyS1
		}
		switch c.at(digit) {
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
		divisor = c.baudDivisor(digit + 1)
	}
}

// baudDivisor returns the divisor for the speed that follows at i in the command
// line, as in ttyS0,9600n8; 0 if there is none that the port can do.
func (c *commandLine) baudDivisor(i int) uint64 {
	if c.at(i) != ',' {
		return 0
	}
	baud := uint64(0)
	for baud <= uartHz {
		i++
		d := c.at(i) - '0'
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

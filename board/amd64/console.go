package amd64

import (
	"unsafe"

	"ferry/board/amd64/internal/kernel"
)

// Console is the serial port as an io.Writer; a line feed is sent as carriage
// return and line feed. Writes are not buffered.
type Console struct{}

// Write implements [io.Writer]. It never fails.
func (Console) Write(p []byte) (int, error) {
	if len(p) > 0 {
		kernel.WriteConsole(uintptr(unsafe.Pointer(unsafe.SliceData(p))), uintptr(len(p)))
	}
	return len(p), nil
}

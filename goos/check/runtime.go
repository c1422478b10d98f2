//go:build tamago && linux

// Command check links what package goos promises with the stock toolchain, so that
// it cannot rot without a TamaGo toolchain. It takes the place of that
// toolchain's runtime (usbarmory/tamago-go, branch tamago1.26.0,
// src/runtime/os_tamago.go and rt0_tamago_amd64.s): it declares what the runtime
// finds in runtime/goos and calls it. The program is built, never run.
package main

import (
	"unsafe"

	_ "ferry/board/amd64/start"
)

//go:linkname RamStart runtime/goos.RamStart
var RamStart uint

//go:linkname RamSize runtime/goos.RamSize
var RamSize uint

//go:linkname RamStackOffset runtime/goos.RamStackOffset
var RamStackOffset uint

//go:linkname Bloc runtime/goos.Bloc
var Bloc uintptr

//go:linkname Exit runtime/goos.Exit
var Exit func(code int32)

//go:linkname Idle runtime/goos.Idle
var Idle func(until int64)

//go:linkname ProcID runtime/goos.ProcID
var ProcID func() uint64

//go:linkname Task runtime/goos.Task
var Task func(sp, mp, gp, fn unsafe.Pointer)

//go:linkname Wake runtime/goos.Wake
var Wake func(procid uint64)

//go:linkname Hwinit0 runtime/goos.Hwinit0
func Hwinit0()

//go:linkname Hwinit1 runtime/goos.Hwinit1
func Hwinit1()

//go:linkname InitRNG runtime/goos.InitRNG
func InitRNG()

//go:linkname GetRandomData runtime/goos.GetRandomData
func GetRandomData(b []byte)

//go:linkname Nanotime runtime/goos.Nanotime
func Nanotime() int64

//go:linkname Printk runtime/goos.Printk
func Printk(c byte)

// CPUInit is in board/amd64, by way of goos.
func CPUInit()

// start is where the entry code has to end up.
func start() {
	Hwinit0()
	InitRNG()
	b := make([]byte, RamSize&7+uint(Bloc))
	GetRandomData(b)
	Hwinit1()
	Printk(byte(Nanotime()))
	if Idle != nil {
		Idle(int64(RamStart + RamStackOffset))
	}
	if ProcID != nil && Task == nil {
		Printk(byte(ProcID()))
		if Wake != nil {
			Wake(ProcID())
		}
	}
	if Exit != nil {
		Exit(0)
	}
}

// In the assembler only.
var _ = start

func main() { CPUInit() }

//go:build linux

package main

// began is the tick at which this program began, some 100,000 instructions of the Go runtime after its first.
var began = tick()

// tick is the time stamp counter, which goes on from one kernel to the next: instructions where QEMU counts them.
func tick() uint64

//go:build metal && !tamago

package main

import (
	"fmt"
	"syscall"

	"ferry/board/amd64"
)

// buffer passes a system call a buffer for which there is not enough memory.
func buffer() {
	const getrandom = 318
	size := uintptr(amd64.MemoryUse().Total)
	a, _, err := syscall.Syscall6(syscall.SYS_MMAP, 0, size, syscall.PROT_READ|syscall.PROT_WRITE, syscall.MAP_ANON|syscall.MAP_PRIVATE, 0, 0)
	fmt.Println("mmap:", err)
	_, _, err = syscall.Syscall(getrandom, a, size, 0)
	fmt.Println("getrandom:", err)
}

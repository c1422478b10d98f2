package metal

import "runtime/debug"

// maxGoStack bounds a goroutine's stack in bytes, so that endless recursion ends
// in the runtime's own report and not with the stage's memory.
const maxGoStack = 8 << 20

// The Go side of the kernel: what can only be done once the runtime is up.
func init() {
	debug.SetMaxStack(maxGoStack)
	setWallClock()
}

// Syscalls returns the numbers of the system calls that the program has made so
// far, in ascending order.
func Syscalls() []int { return numbers(&k.seen) }

// UnknownSyscalls returns those among them that the kernel has no answer for.
func UnknownSyscalls() []int { return numbers(&k.told) }

func numbers(set *[8]uint64) (ns []int) {
	for n := range 512 {
		if set[n/64]>>(n%64)&1 != 0 {
			ns = append(ns, n)
		}
	}
	return ns
}

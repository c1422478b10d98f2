package syscalls

// Syscalls returns the numbers of the system calls that the program has made so
// far, in ascending order.
func Syscalls() []int { return numbers(&k.seen) }

// UnknownSyscalls returns those among them that the kernel has no answer for.
func UnknownSyscalls() []int { return numbers(&k.unknown) }

func numbers(set *[8]uint64) (ns []int) {
	for n := range 512 {
		if set[n/64]>>(n%64)&1 != 0 {
			ns = append(ns, n)
		}
	}
	return ns
}

package amd64

import "ferry/board/amd64/internal/kernel"

// Preemptive says whether a goroutine that calls nothing is made to give way.
const Preemptive = kernel.Preemptive

// FiveLevel reports whether the processor runs with five levels of page tables,
// which a kernel started from here must be able to take over.
func FiveLevel() bool { return kernel.Levels() == 5 }

// HasFiveLevel reports whether the processor could run with five levels of page
// tables (CPUID.7.0:ECX.LA57).
func HasFiveLevel() bool { return kernel.HasFiveLevel() }

// Encryption names what encrypts memory, nothing if nothing is known to.
func Encryption() string { return kernel.Encryption() }

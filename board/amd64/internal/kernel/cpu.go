package kernel

import "unsafe"

// Instructions that Go has no words for, in cpu_amd64.s. A port number or
// register number that the machine does not have faults or reads as ones, as
// the hardware will have it.

func in8(port uint16) uint8
func out8(port uint16, v uint8)
func in32(port uint16) uint32
func rdmsr(n uint32) uint64
func wrmsr(n uint32, v uint64)
func cpuid(leaf, sub uint32) (a, b, c, d uint32)
func tsc() uint64
func rdrand() (v uint64, ok bool)
func rdseed() (v uint64, ok bool)
func readCR3() uint64
func writeCR3(v uint64)
func readCR0() uint64
func readCR4() uint64
func writeCR4(v uint64)
func invlpg(va uint64)
func enableXSAVE(mask uint64)
func resetFPU()
func clearFPU(area, xsave uint64)
func tripleFault()

// zero clears n bytes at virtual address a, n a multiple of 8.
func zero(a, n uint64)

// Copy copies n bytes between virtual addresses that do not overlap. Kernel code
// uses it because the runtime's memmove reads variables that are not mapped yet.
func Copy(to, from, n uintptr)

// disableInterrupts turns interrupts off and reports whether they were on.
func disableInterrupts() bool
func enableInterrupts()

// Idle waits for an interrupt with interrupts on, and returns with them off.
func Idle()

// Halt stops the processor with interrupts off. Memory stays as it is.
func Halt()

// Code of the assembler files that nothing calls from Go.

func Start()
func enter()
func through()
func depart()
func departEnd()
func high()
func flat()
func vectors()
func interrupt()
func syscall()

// Resume continues the current context. It does not return.
func Resume()

func addressOfVectors() uint64
func addressOfEnter() uint64
func addressOfThrough() uint64
func addressOfDepart() uint64
func addressOfDepartEnd() uint64

// word returns the 8 bytes at virtual address a. The detour through memory is
// for vet, whose rule is about addresses of Go objects; this is none.
func word(a uint64) *uint64 { return *(**uint64)(unsafe.Pointer(&a)) }

// byteAt returns the byte at virtual address a.
func byteAt(a uint64) *byte { return *(**byte)(unsafe.Pointer(&a)) }

// half returns the 4 bytes at virtual address a.
func half(a uint64) *uint32 { return *(**uint32)(unsafe.Pointer(&a)) }

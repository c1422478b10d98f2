package kernel

import "unsafe"

// traps is how the processor enters the kernel and leaves it again. The assembler knows
// its fields by name.
type traps struct {
	nested   Context     // what a trap interrupted inside the kernel
	tls      [2]uint64   // FS points at the second word while the kernel runs
	g        [64]uint64  // stands in for runtime.g: stack.lo, stack.hi, stackguard0, ...
	current  uint64      // *Context of the thread to save into and resume
	handler  uint64      // code address: called with a *Context for every trap
	inKernel uint64      // not 0 while kernel code runs
	xsave    uint64      // not 0: XSAVE with XCR0 = 1|2|4; 0: FXSAVE
	avx      uint64      // not 0: AVX is on
	stackTop uint64      // virtual: end of the kernel stack
	gdt      [8]uint64   // see describe
	tss      [16]uint64  // 104 bytes
	idt      [512]uint64 // 256 gates
}

// describe fills GDT, IDT and TSS with virtual addresses. Selectors are those
// of the 64-bit boot protocol: code 0x10, data 0x18; the TSS follows at 0x20.
//
// vectors is the virtual address of the code for vector 0.
func (t *traps) describe(vectors uint64) {
	t.gdt[2] = 0x00af9b000000ffff
	t.gdt[3] = 0x00cf93000000ffff
	const tss = machineBase + uint64(unsafe.Offsetof(machine{}.traps)+unsafe.Offsetof(traps{}.tss))
	trap, fatal, nmi := uint64(trapBase+trapSize), uint64(fatalBase+fatalSize), uint64(fatalBase+nmiSize)
	t.gdt[4] = 103 | tss&0xffffff<<16 | 0x89<<40 | tss>>24&0xff<<56
	t.gdt[5] = tss >> 32

	// IST1 at byte 36, IST2 at byte 44, IST3 at byte 52: words of 4 bytes apart. The
	// NMI has the far end of IST2's stack: it may come during a report.
	t.tss[4] = trap << 32
	t.tss[5] = trap>>32 | fatal<<32
	t.tss[6] = fatal>>32 | nmi<<32
	t.tss[7] = nmi >> 32
	t.tss[12] = 104 << 48 // no I/O map
	t.stackTop = stackBase + stackSize

	for i := uint64(0); i < 256; i++ {
		ist := uint64(1)
		if i == VectorDoubleFault || i == VectorMachine {
			ist = 2
		} else if i == VectorNMI {
			ist = 3
		}
		a := vectors + i*8
		t.idt[2*i] = a&0xffff | 0x10<<16 | ist<<32 | 0x8e<<40 | a>>16&0xffff<<48
		t.idt[2*i+1] = a >> 32
	}
}

// SetHandler names the code that takes every trap from now on: an assembler
// function of one argument, a *Context, which must return.
func SetHandler(pc uint64) { mach.traps.handler = pc }

// SetCurrent names the context that [Resume] continues and the next trap is saved
// in. c must be 64-byte aligned and outside the Go heap.
func SetCurrent(c *Context) { mach.traps.current = uint64(uintptr(unsafe.Pointer(c))) }

// Unmask lets interrupts come from now on. Called by the thread that runs, which has
// set FS itself.
func Unmask() {
	contextAt(mach.traps.current).FSBase = rdmsr(msrFSBase)
	enableInterrupts()
}

const msrFSBase = 0xc000_0100

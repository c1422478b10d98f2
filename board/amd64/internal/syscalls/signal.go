package syscalls

import "ferry/board/amd64/internal/kernel"

// Signals, asm-generic/signal.h and siginfo.h.
const (
	sigILL   = 4
	sigTRAP  = 5
	sigFPE   = 8
	sigKILL  = 9
	sigSEGV  = 11
	sigCHLD  = 17
	sigCONT  = 18
	sigURG   = 23
	sigWINCH = 28

	handlerDefault = 0
	handlerIgnore  = 1

	saOnStack = 0x08000000
	saNoDefer = 0x40000000

	siKernel   = 0x80
	siTKill    = -6
	segvMap    = 1
	segvAccess = 2
	fpeDivide  = 1
	fpeInvalid = 7
	illOperand = 2

	ssDisable = 2
)

// action is the kernel's struct sigaction.
type action struct{ handler, flags, restorer, mask uint64 }

// The frame on the signal handler's stack, from its lowest address: return
// address, struct ucontext, struct siginfo, FPU state. Offsets inside ucontext
// are those of asm/ucontext.h and asm/sigcontext.h.
const (
	ucStack    = 16
	ucRegs     = 40 // struct sigcontext
	ucMask     = ucRegs + 256
	ucBytes    = ucMask + 128
	infoBytes  = 128
	frameInfo  = 8 + ucBytes
	frameFPU   = (frameInfo+infoBytes-8+63)&^63 + 8
	fpuBytes   = 832
	frameBytes = frameFPU + fpuBytes

	scR8      = 0
	scRFLAGS  = 17 * 8
	scCS      = 18 * 8
	scError   = 19 * 8
	scTrap    = 20 * 8
	scMask    = 21 * 8
	scCR2     = 22 * 8
	scFPState = 23 * 8
)

// savedRegister returns register i of c in the order of struct sigcontext.
func savedRegister(c *kernel.Context, i uint64) *uint64 {
	switch i {
	case 0:
		return &c.R8
	case 1:
		return &c.R9
	case 2:
		return &c.R10
	case 3:
		return &c.R11
	case 4:
		return &c.R12
	case 5:
		return &c.R13
	case 6:
		return &c.R14
	case 7:
		return &c.R15
	case 8:
		return &c.RDI
	case 9:
		return &c.RSI
	case 10:
		return &c.RBP
	case 11:
		return &c.RBX
	case 12:
		return &c.RDX
	case 13:
		return &c.RAX
	case 14:
		return &c.RCX
	case 15:
		return &c.RSP
	}
	return &c.RIP
}

// deliver hands the thread, which is about to run, its pending signals.
func deliver(t *thread) {
	for sig := uint64(1); sig <= 64 && t.pending&^t.blocked != 0; sig++ {
		bit := uint64(1) << (sig - 1)
		if t.pending&^t.blocked&bit == 0 {
			continue
		}
		t.pending &^= bit
		switch k.actions[sig].handler {
		case handlerIgnore:
		case handlerDefault:
			if sig != sigCHLD && sig != sigCONT && sig != sigURG && sig != sigWINCH {
				kernel.Print("ferry: killed by signal ")
				kernel.PrintDec(sig)
				kernel.Print("\n")
				kernel.Exit(exitSignal)
			}
		default:
			if !pushSignal(t, sig, siTKill, 1) {
				kernel.FatalKernel(&t.ctx, "no memory for a signal handler's stack")
			}
		}
	}
}

// exitSignal is the exit code of a program that a signal killed.
const exitSignal = 61

// pushSignal makes the thread continue in the handler of sig. addr is the fault's
// address, or the sender. It reports false if the handler's stack is not
// writable.
func pushSignal(t *thread, sig uint64, code int32, addr uint64) bool {
	c, act := &t.ctx, &k.actions[sig&63]
	sp := c.RSP
	onStack := t.stackSize != 0 && sp-t.stackStart < t.stackSize
	if act.flags&saOnStack != 0 && t.stackSize != 0 && !onStack {
		sp = t.stackStart + t.stackSize
	}
	// The stack is aligned as after a call, and the FPU state as XSAVE has it.
	frame := (sp-frameBytes)&^63 - 8
	if !touch(frame, frameBytes, true) {
		return false
	}
	uc, info := frame+8, frame+frameInfo
	*word(frame) = act.restorer
	*word(uc), *word(uc + 8) = 0, 0
	*word(uc + ucStack), *word(uc + ucStack + 8), *word(uc + ucStack + 16) = t.stackStart, 0, t.stackSize
	for i := uint64(0); i < 17; i++ {
		*word(uc + ucRegs + scR8 + i*8) = *savedRegister(c, i)
	}
	*word(uc + ucRegs + scRFLAGS) = c.RFLAGS
	*word(uc + ucRegs + scCS) = c.CS
	*word(uc + ucRegs + scError) = c.Error
	*word(uc + ucRegs + scTrap) = c.Vector
	*word(uc + ucRegs + scMask) = t.blocked
	*word(uc + ucRegs + scCR2) = c.CR2
	*word(uc + ucRegs + scFPState) = 0
	if c.HaveFPU != 0 {
		kernel.Copy(uintptr(frame+frameFPU), uintptr(c.FPUAddress()), fpuBytes)
		*word(uc + ucRegs + scFPState) = frame + frameFPU
	}
	*word(uc + ucMask) = t.blocked
	for i := uint64(0); i < infoBytes; i += 8 {
		*word(info + i) = 0
	}
	*half(info) = uint32(sig)
	*half(info + 8) = uint32(code)
	*word(info + 16) = addr

	t.blocked |= act.mask
	if act.flags&saNoDefer == 0 {
		t.blocked |= 1 << (sig - 1)
	}
	c.HaveFPU = 0
	c.RIP, c.RSP, c.RFLAGS = act.handler, frame, flagsUser
	c.RAX, c.RDI, c.RSI, c.RDX = 0, sig, info, uc
	return true
}

// sysSigreturn ends a signal handler: the context that its frame holds, perhaps
// edited by the handler, continues.
func sysSigreturn(t *thread) {
	c, uc := &t.ctx, t.ctx.RSP
	if !touch(uc, frameBytes, false) {
		kernel.FatalKernel(c, "return from a signal handler without its frame")
	}
	fpu := *word(uc + ucRegs + scFPState)
	for i := uint64(0); i < 17; i++ {
		*savedRegister(c, i) = *word(uc + ucRegs + scR8 + i*8)
	}
	const changeable = 0x254dd5 // ID, AC, RF, NT.. as Linux restores them: FIX_EFLAGS
	c.RFLAGS = *word(uc + ucRegs + scRFLAGS)&changeable | flagsUser
	c.HaveFPU = 0
	if fpu != 0 && fpu&63 == 0 && touch(fpu, fpuBytes, false) {
		kernel.Copy(uintptr(c.FPUAddress()), uintptr(fpu), fpuBytes)
		c.HaveFPU = 1
	}
	t.blocked = *word(uc + ucMask)
}

// sysSigaction serves rt_sigaction: the old action is filled in, always.
func sysSigaction(sig, act, old uint64) uint64 {
	if sig == 0 || sig > 64 {
		return fail(eINVAL)
	}
	a := &k.actions[sig]
	if old != 0 {
		if !touch(old, 32, true) {
			return fail(eFAULT)
		}
		*word(old), *word(old + 8), *word(old + 16), *word(old + 24) = a.handler, a.flags, a.restorer, a.mask
	}
	if act != 0 {
		if !touch(act, 32, false) {
			return fail(eFAULT)
		}
		a.handler, a.flags, a.restorer, a.mask = *word(act), *word(act + 8), *word(act + 16), *word(act + 24)
	}
	return 0
}

// sysSigprocmask serves rt_sigprocmask.
func sysSigprocmask(t *thread, how, set, old uint64) uint64 {
	const block, unblock, setMask = 0, 1, 2
	if old != 0 {
		if !touch(old, 8, true) {
			return fail(eFAULT)
		}
		*word(old) = t.blocked
	}
	if set == 0 {
		return 0
	}
	if !touch(set, 8, false) {
		return fail(eFAULT)
	}
	v := *word(set)
	switch how {
	case block:
		t.blocked |= v
	case unblock:
		t.blocked &^= v
	case setMask:
		t.blocked = v
	default:
		return fail(eINVAL)
	}
	return 0
}

// sysSigaltstack serves sigaltstack.
func sysSigaltstack(t *thread, set, old uint64) uint64 {
	if old != 0 {
		if !touch(old, 24, true) {
			return fail(eFAULT)
		}
		*word(old), *word(old + 8), *word(old + 16) = t.stackStart, 0, t.stackSize
		if t.stackSize == 0 {
			*word(old + 8) = ssDisable
		}
	}
	if set != 0 {
		if !touch(set, 24, false) {
			return fail(eFAULT)
		}
		t.stackStart, t.stackSize = *word(set), *word(set + 16)
		if *half(set + 8)&ssDisable != 0 {
			t.stackStart, t.stackSize = 0, 0
		}
	}
	return 0
}

// sysTgkill sends a signal to a thread. A wait that the signal interrupts ends
// with EINTR.
func sysTgkill(tid, sig uint64) uint64 {
	if sig > 64 {
		return fail(eINVAL)
	}
	for i := range k.threads {
		t := &k.threads[i]
		if t.state == threadFree || t.tid != tid {
			continue
		}
		if sig == 0 {
			return 0
		}
		t.pending |= 1 << (sig - 1)
		if t.blocked>>(sig-1)&1 == 0 && k.actions[sig].handler > handlerIgnore {
			switch {
			case t.state == threadWaitsPipe:
				t.state = threadRuns // the call is made again after the handler
			case t.state >= threadSleeps:
				wake(t, fail(eINTR))
			}
		}
		return 0
	}
	return fail(eSRCH)
}

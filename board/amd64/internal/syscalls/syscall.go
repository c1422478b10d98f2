package syscalls

import "ferry/board/amd64/internal/kernel"

// Error numbers, asm-generic/errno-base.h and errno.h.
const (
	ePERM     = 1
	eNOENT    = 2
	eSRCH     = 3
	eINTR     = 4
	eBADF     = 9
	eAGAIN    = 11
	eNOMEM    = 12
	eFAULT    = 14
	eEXIST    = 17
	eNODEV    = 19
	eNOTDIR   = 20
	eINVAL    = 22
	eMFILE    = 24
	eNOTTY    = 25
	eSPIPE    = 29
	eROFS     = 30
	ePIPE     = 32
	eNOSYS    = 38
	eTIMEDOUT = 110
)

// fail returns what a system call that failed leaves in RAX.
func fail(errno uint64) uint64 { return -errno }

// syscall serves the system call that the thread has made. It reports true if
// another thread should run now.
func syscall(t *thread) (preempt bool) {
	c := &t.ctx
	n := c.RAX
	t.call = n
	k.seen[n>>6&7] |= 1 << (n & 63)
	// A call that blocks has its result set when it is woken.
	switch n {
	case 15:
		sysSigreturn(t)
		return false
	case 60:
		t.state = threadFree
		return true
	case 231:
		kernel.Exit(exitCode(int(int32(c.RDI))))
	}
	c.RAX = serve(t, n, c.RDI, c.RSI, c.RDX, c.R10)
	return n == 24 || t.state != threadRuns
}

// exitUnknown is the exit code of a program that ends well but has made a system call
// without an answer: a test that passes all the same has not seen what it did.
const exitUnknown = 60

// exitCode returns the code to end with for the one that the program gives.
func exitCode(code int) int {
	if code != 0 {
		return code
	}
	for i := range k.unknown {
		if k.unknown[i] != 0 {
			return exitUnknown
		}
	}
	return code
}

// serve dispatches on the call's number, asm/unistd_64.h.
func serve(t *thread, n, a, b, c, d uint64) uint64 {
	switch n {
	case 0:
		return sysRead(t, a, b, c)
	case 1:
		return sysWrite(t, a, b, c)
	case 3:
		return sysClose(a)
	case 5:
		return sysFstat(a, b)
	case 9:
		return sysMmap(a, b, c, d)
	case 10:
		return sysMprotect(a, b, c)
	case 11:
		return sysMunmap(a, b)
	case 13:
		return sysSigaction(a, b, c)
	case 14:
		return sysSigprocmask(t, uint64(uint32(a)), b, c)
	case 20:
		return sysWritev(t, a, b, c)
	case 24: // sched_yield
		return 0
	case 28:
		return sysMadvise(a, b, c)
	case 35:
		return sysNanosleep(t, a)
	case 38: // setitimer: there is no profiling signal to turn off
		return 0
	case 56:
		return sysClone(t, a, b, t.ctx.R8)
	case 72:
		return sysFcntl(a, b)
	case 131:
		return sysSigaltstack(t, a, b)
	case 158:
		return sysArchPrctl(t, a, b)
	case 186: // gettid
		return t.tid
	case 202:
		return sysFutex(t, a, b, c, d)
	case 204:
		return sysGetaffinity(b, c)
	case 228:
		return sysClockGettime(a, b)
	case 232, 281:
		return sysEpollWait(t, b, c, int32(d))
	case 233:
		return sysEpollCtl(b, c, d)
	case 234:
		return sysTgkill(b, c)
	case 290:
		return openFile(fileCounter, a)
	case 291:
		return openFile(fileQueue, 0)
	case 293:
		return sysPipe(a)
	case 318:
		return sysGetrandom(a, b)
	}
	return serveRest(t, n, a, b, c)
}

// serveRest answers the calls whose answer is a constant, or nearly.
func serveRest(t *thread, n, a, b, c uint64) uint64 {
	switch n {
	case 39, 110: // getpid, getppid
		return 1
	case 62: // kill: the one process
		return sysTgkill(t.tid, b)
	case 200: // tkill
		return sysTgkill(a, b)
	case 102, 104, 107, 108: // getuid, getgid, geteuid, getegid
		return 0
	case 157, 160, 230, 273: // prctl, setrlimit, clock_nanosleep, set_robust_list
		return 0
	case 229: // clock_getres
		return sysClockGetres(b)
	case 63:
		return sysUname(a)
	case 79:
		return sysGetcwd(a, b)
	case 97:
		return sysGetrlimit(b)
	case 302:
		return sysGetrlimit(t.ctx.R10)
	case 2, 4, 6, 21, 59, 80, 89, 257, 262, 263, 267, 269, 332, 439: // by path: open, stat, access, execve, chdir, readlink, unlink, statx
		return fail(eNOENT)
	case 83, 258, 264, 316: // mkdir, mkdirat, renameat, renameat2
		return fail(eROFS)
	case 8: // lseek
		return fail(eSPIPE)
	case 16: // ioctl
		return fail(eNOTTY)
	case 217: // getdents64
		return fail(eNOTDIR)
	case 222, 223, 226: // timer_create, timer_settime, timer_delete
		return fail(eAGAIN)
	case 17, 27, 41, 319, 324, 334, 424, 434, 435, 441: // pread64, mincore, socket, memfd_create, membarrier, rseq, pidfds, clone3, epoll_pwait2
		return fail(eNOSYS)
	}
	unknown(t, n)
	return fail(eNOSYS)
}

// unknown names a system call that the kernel has no answer for, once.
func unknown(t *thread, n uint64) {
	if k.unknown[n>>6&7]>>(n&63)&1 != 0 {
		return
	}
	k.unknown[n>>6&7] |= 1 << (n & 63)
	kernel.Print("ferry: unknown system call ")
	kernel.PrintDec(n)
	kernel.Print(" ")
	printName(n)
	kernel.PrintRegister(" from ", t.ctx.RIP)
	kernel.Print(" ")
	kernel.PrintSymbol(t.ctx.RIP)
	kernel.Print("\n")
}

// sysArchPrctl serves ARCH_SET_FS.
func sysArchPrctl(t *thread, op, v uint64) uint64 {
	const setFS = 0x1002
	if op != setFS {
		return fail(eINVAL)
	}
	t.ctx.FSBase = v
	return 0
}

// sysGetaffinity reports one processor.
func sysGetaffinity(n, mask uint64) uint64 {
	if n < 8 {
		return fail(eINVAL)
	}
	if !touch(mask, 8, true) {
		return fail(eFAULT)
	}
	*word(mask) = 1
	return 8
}

func sysGetrandom(buf, n uint64) uint64 {
	if !touch(buf, n, true) {
		return fail(eFAULT)
	}
	kernel.FillRandom(uintptr(buf), uintptr(n))
	return n
}

func sysClockGetres(ts uint64) uint64 {
	if ts != 0 {
		if !touch(ts, 16, true) {
			return fail(eFAULT)
		}
		*word(ts), *word(ts + 8) = 0, 1
	}
	return 0
}

// sysUname reports a Linux that is new enough for all that the runtime checks.
func sysUname(a uint64) uint64 {
	const field = 65
	if !touch(a, 6*field, true) {
		return fail(eFAULT)
	}
	for i := uint64(0); i < 6*field; i++ {
		*byteAt(a + i) = 0
	}
	putString(a, "Linux")
	putString(a+field, "ferry")
	putString(a+2*field, "6.12.0-ferry")
	putString(a+3*field, "metal")
	putString(a+4*field, "x86_64")
	return 0
}

func putString(a uint64, s string) {
	for i := 0; i < len(s); i++ {
		*byteAt(a + uint64(i)) = s[i]
	}
}

func sysGetcwd(buf, n uint64) uint64 {
	if n < 2 || !touch(buf, 2, true) {
		return fail(eFAULT)
	}
	*byteAt(buf), *byteAt(buf + 1) = '/', 0
	return 2
}

// sysGetrlimit reports that nothing is limited but the files.
func sysGetrlimit(a uint64) uint64 {
	if a != 0 {
		if !touch(a, 16, true) {
			return fail(eFAULT)
		}
		*word(a), *word(a + 8) = maxFiles, maxFiles
	}
	return 0
}

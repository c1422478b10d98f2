package syscalls

import "ferry/board/amd64/internal/kernel"

// Files: the console three times, and what the runtime needs to sleep, one event
// queue with one event counter in it.

// Kinds of file.
const (
	fileNone = iota
	fileConsole
	fileQueue   // epoll
	fileCounter // eventfd
	fileReadEnd // pipe
	fileWriteEnd
)

const maxFiles = 16

// file is one open file descriptor.
type file struct {
	kind  uint64
	count uint64 // of a counter: its value; of a pipe's end: which pipe
	watch uint64 // of a counter: not 0 when a queue watches it
	data  uint64 // of a counter: what epoll reports for it
}

// epoll, linux/eventpoll.h. struct epoll_event is packed: 4 bytes of events, 8 of
// data.
const (
	epollIn    = 1
	epollAdd   = 1
	epollDel   = 2
	eventBytes = 12
)

// fileOf returns the file behind fd, nil if there is none.
func fileOf(fd uint64) *file {
	if fd = uint64(uint32(fd)); fd >= maxFiles || k.files[fd&(maxFiles-1)].kind == fileNone {
		return nil
	}
	return &k.files[fd&(maxFiles-1)]
}

func openFile(kind, count uint64) uint64 {
	for fd := uint64(0); fd < maxFiles; fd++ {
		if f := &k.files[fd&(maxFiles-1)]; f.kind == fileNone {
			*f = file{kind: kind, count: count}
			return fd
		}
	}
	return fail(eMFILE)
}

func sysClose(fd uint64) uint64 {
	f := fileOf(fd)
	if f == nil {
		return fail(eBADF)
	}
	if f.kind == fileReadEnd || f.kind == fileWriteEnd {
		closePipe(f)
	}
	f.kind = fileNone
	return 0
}

// sysRead serves read: the console has no input, a counter is read and cleared.
func sysRead(t *thread, fd, buf, n uint64) uint64 {
	f := fileOf(fd)
	switch {
	case f == nil:
		return fail(eBADF)
	case f.kind == fileConsole:
		return 0
	case f.kind == fileReadEnd:
		return readPipe(t, f, buf, n)
	case f.kind != fileCounter || n < 8:
		return fail(eINVAL)
	case f.count == 0:
		return fail(eAGAIN)
	case !touch(buf, 8, true):
		return fail(eFAULT)
	}
	*word(buf) = f.count
	f.count = 0
	return 8
}

// sysWrite serves write.
func sysWrite(t *thread, fd, buf, n uint64) uint64 {
	f := fileOf(fd)
	switch {
	case f == nil:
		return fail(eBADF)
	case !touch(buf, n, false):
		return fail(eFAULT)
	case f.kind == fileConsole:
		kernel.WriteConsole(uintptr(buf), uintptr(n))
		return n
	case f.kind == fileWriteEnd:
		return writePipe(t, f, buf, n)
	case f.kind != fileCounter || n < 8:
		return fail(eINVAL)
	}
	f.count += *word(buf)
	for i := range k.threads {
		if t := &k.threads[i]; t.state == threadWaitsEvents && f.watch != 0 {
			wake(t, putEvent(f, t.events))
			break
		}
	}
	return 8
}

// sysWritev serves writev to the console.
func sysWritev(t *thread, fd, iov, n uint64) uint64 {
	if f := fileOf(fd); f == nil || f.kind != fileConsole {
		return fail(eINVAL)
	}
	if n > 1024 || !touch(iov, n*16, false) {
		return fail(eFAULT)
	}
	total := uint64(0)
	for i := uint64(0); i < n; i++ {
		done := sysWrite(t, fd, *word(iov + i*16), *word(iov + i*16 + 8))
		if int64(done) < 0 {
			return done
		}
		total += done
	}
	return total
}

// sysEpollCtl serves epoll_ctl: counters can be watched, nothing else.
func sysEpollCtl(op, fd, event uint64) uint64 {
	f := fileOf(fd)
	switch {
	case f == nil:
		return fail(eBADF)
	case f.kind != fileCounter:
		return fail(ePERM)
	case op == epollDel:
		f.watch = 0
		return 0
	case op != epollAdd:
		return fail(eINVAL)
	case !touch(event, eventBytes, false):
		return fail(eFAULT)
	}
	f.watch, f.data = 1, *word(event + 4)
	return 0
}

// sysEpollWait serves epoll_pwait; the timeout is in milliseconds, negative for
// none.
func sysEpollWait(t *thread, events, n uint64, timeout int32) uint64 {
	if int32(n) <= 0 {
		return fail(eINVAL)
	}
	if !touch(events, eventBytes, true) {
		return fail(eFAULT)
	}
	for i := range k.files {
		if f := &k.files[i]; f.kind == fileCounter && f.watch != 0 && f.count != 0 {
			return putEvent(f, events)
		}
	}
	if timeout == 0 {
		return 0
	}
	until := int64(forever)
	if timeout > 0 {
		until = kernel.Nanotime() + int64(timeout)*1_000_000
	}
	t.events = events
	block(t, threadWaitsEvents, until)
	return 0
}

// putEvent writes one event and returns the number of events.
func putEvent(f *file, events uint64) uint64 {
	*half(events) = epollIn
	*word(events + 4) = f.data
	return 1
}

// sysFcntl serves F_GETFD, F_SETFD, F_GETFL, F_SETFL.
func sysFcntl(fd, cmd uint64) uint64 {
	const getFD, setFD, getFL, setFL, readWrite = 1, 2, 3, 4, 2
	switch {
	case fileOf(fd) == nil:
		return fail(eBADF)
	case cmd == getFL:
		return readWrite
	case cmd == getFD, cmd == setFD, cmd == setFL:
		return 0
	}
	return fail(eINVAL)
}

// sysFstat serves fstat: every file is a character device.
func sysFstat(fd, st uint64) uint64 {
	const bytes, mode, charDevice = 144, 24, 0o020666
	if fileOf(fd) == nil {
		return fail(eBADF)
	}
	if !touch(st, bytes, true) {
		return fail(eFAULT)
	}
	for i := uint64(0); i < bytes; i += 8 {
		*word(st + i) = 0
	}
	*half(st + mode) = charDevice
	return 0
}

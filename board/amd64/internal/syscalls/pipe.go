package syscalls

import "ferry/board/amd64/internal/kernel"

// Pipes, for programs that catch their own output, as Go's example tests do. A
// pipe is one page; both ends block.

const maxPipes = 4

// pipe is the bytes between two files. buffer is a physical page, 0 while the
// pipe is free.
type pipe struct {
	buffer, start, count uint64
	readers, writers     uint64
}

// sysPipe serves pipe2.
func sysPipe(fds uint64) uint64 {
	if !touch(fds, 8, true) {
		return fail(eFAULT)
	}
	for i := uint64(0); i < maxPipes; i++ {
		p := &k.pipes[i&(maxPipes-1)]
		if p.buffer != 0 {
			continue
		}
		r, w := openFile(fileReadEnd, i), openFile(fileWriteEnd, i)
		if int64(r) < 0 || int64(w) < 0 {
			if int64(r) >= 0 {
				k.files[r&(maxFiles-1)].kind = fileNone
			}
			return fail(eMFILE)
		}
		page := kernel.Frame()
		if page == 0 {
			k.files[r&(maxFiles-1)].kind, k.files[w&(maxFiles-1)].kind = fileNone, fileNone
			return fail(eNOMEM)
		}
		*p = pipe{buffer: page, readers: 1, writers: 1}
		*half(fds), *half(fds + 4) = uint32(r), uint32(w)
		return 0
	}
	return fail(eMFILE)
}

// pipeOf returns the pipe behind a file that is an end of one.
func pipeOf(f *file) *pipe { return &k.pipes[f.count&(maxPipes-1)] }

// readPipe serves read: what is there, at least one byte unless no writer is left.
func readPipe(t *thread, f *file, buf, n uint64) uint64 {
	p := pipeOf(f)
	if p.count == 0 && p.writers > 0 && n > 0 {
		return waitForPipe(t, f)
	}
	n = min(n, p.count)
	if !touch(buf, n, true) {
		return fail(eFAULT)
	}
	for i := uint64(0); i < n; i++ {
		*byteAt(buf + i) = *byteAt(kernel.FrameAddress(p.buffer) + p.start)
		p.start = (p.start + 1) & (kernel.PageSize - 1)
	}
	p.count -= n
	wakePipe(f.count)
	return n
}

// writePipe serves write: as much as fits, at least one byte.
func writePipe(t *thread, f *file, buf, n uint64) uint64 {
	p := pipeOf(f)
	switch {
	case p.readers == 0:
		return fail(ePIPE)
	case p.count == kernel.PageSize && n > 0:
		return waitForPipe(t, f)
	}
	n = min(n, kernel.PageSize-p.count)
	for i := uint64(0); i < n; i++ {
		*byteAt(kernel.FrameAddress(p.buffer) + (p.start+p.count)&(kernel.PageSize-1)) = *byteAt(buf + i)
		p.count++
	}
	wakePipe(f.count)
	return n
}

// closePipe ends one end of a pipe.
func closePipe(f *file) {
	p := pipeOf(f)
	if f.kind == fileReadEnd {
		p.readers--
	} else {
		p.writers--
	}
	wakePipe(f.count)
	if p.readers+p.writers == 0 {
		kernel.FreeFrame(p.buffer)
		p.buffer = 0
	}
}

// waitForPipe blocks the thread until something happens to the pipe; the system
// call is then made again.
func waitForPipe(t *thread, f *file) uint64 {
	const instruction = 2 // bytes of SYSCALL
	t.futex = f.count
	block(t, threadWaitsPipe, forever)
	t.ctx.RIP -= instruction
	return t.call
}

func wakePipe(n uint64) {
	for i := range k.threads {
		if t := &k.threads[i]; t.state == threadWaitsPipe && t.futex == n {
			t.state = threadRuns
		}
	}
}

package main

import (
	"fmt"
	"io"
	"os"
	"time"

	"golang.org/x/sys/unix"
)

// quiet is how long a command says nothing of how far it is, and then between two words of it.
const (
	quiet    = 2 * time.Second
	interval = 200 * time.Millisecond
)

// A progress says on a terminal how far something is that takes longer than a person likes to wait without a word.
type progress struct {
	what   string
	total  int64     // bytes, 0 if unknown
	out    io.Writer // nil: there is no terminal
	now    func() time.Time
	start  time.Time
	next   time.Time // word
	said   bool
	passed int64 // bytes
}

// newProgress starts the clock of something.
func newProgress(what string, total int64) *progress {
	p := &progress{what: what, total: total, now: time.Now}
	if _, err := unix.IoctlGetTermios(int(os.Stderr.Fd()), unix.TCGETS); err == nil {
		p.out = os.Stderr
	}
	p.begin()
	return p
}

func (p *progress) begin() {
	p.start = p.now()
	p.next, p.passed = p.start.Add(quiet), 0
}

// pass counts bytes.
func (p *progress) pass(n int) {
	p.passed += int64(n)
	if p.out == nil {
		return
	}
	now := p.now()
	if now.Before(p.next) {
		return
	}
	p.next, p.said = now.Add(interval), true
	of := ""
	if p.total > 0 {
		of = " of " + size(uint64(p.total))
	}
	fmt.Fprintf(p.out, "\r\x1b[Kferry: %s: %s%s", p.what, size(uint64(p.passed)), of)
}

// end takes away what was said.
func (p *progress) end() {
	if p.said {
		fmt.Fprint(p.out, "\r\x1b[K")
		p.said = false
	}
}

// A watched reader says how far it is.
type watchedReader struct {
	r io.Reader
	*progress
}

// watch returns a reader of a file that says how far it is.
func watch(f *os.File, what string) watchedReader {
	total := int64(0)
	if info, err := f.Stat(); err == nil {
		total = info.Size()
	}
	return watchedReader{f, newProgress(what, total)}
}

// Read implements [io.Reader].
func (w watchedReader) Read(b []byte) (int, error) {
	n, err := w.r.Read(b)
	w.pass(n)
	return n, err
}

// A progressAt is a file that says how far its readers are, which read it from its beginning to its end.
type progressAt struct {
	file *os.File
	what string
	size int64
	p    *progress
}

// ReadAt implements [io.ReaderAt].
func (p *progressAt) ReadAt(b []byte, off int64) (int, error) {
	if p.p == nil || off == 0 {
		p.p = newProgress(p.what, p.size)
	}
	n, err := p.file.ReadAt(b, off)
	if p.p.pass(n); off+int64(n) >= p.size {
		p.p.end()
	}
	return n, err
}

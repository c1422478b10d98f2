//go:build linux

package main

import (
	"math/rand/v2"

	"golang.org/x/sys/unix"
)

// churn takes and gives back kernel objects of 512 bytes, of which a pipe of eight pages has one.
type churn struct{ pipes [][2]int }

const maxPipes = 4000

// newChurn begins with few of them in memory as it is, or with many in memory that is in pieces. What that takes is given
// back when this process ends.
func newChurn(fragmented bool) (*churn, error) {
	c := &churn{}
	if !fragmented {
		return c, nil
	}
	if err := fragment(); err != nil {
		return nil, err
	}
	for range maxPipes / 2 {
		c.open()
	}
	c.run()
	return c, nil
}

func (c *churn) open() {
	var p [2]int
	if unix.Pipe2(p[:], unix.O_NONBLOCK) != nil {
		return
	}
	unix.FcntlInt(uintptr(p[0]), unix.F_SETPIPE_SZ, 8*pageSize)
	for range rand.IntN(8) {
		unix.Write(p[1], make([]byte, pageSize))
	}
	c.pipes = append(c.pipes, p)
}

func (c *churn) close(i int) {
	unix.Close(c.pipes[i][0])
	unix.Close(c.pipes[i][1])
	c.pipes[i] = c.pipes[len(c.pipes)-1]
	c.pipes = c.pipes[:len(c.pipes)-1]
}

// run takes some and gives back others.
func (c *churn) run() {
	for range rand.IntN(200) {
		if n := len(c.pipes); n > 0 && (n >= maxPipes || rand.IntN(2) == 0) {
			c.close(rand.IntN(n))
		} else {
			c.open()
		}
	}
}

const pageSize = 4096

// fragment takes more than half of the memory that is free, page by page, and gives back every second page.
func fragment() error {
	var info unix.Sysinfo_t
	if err := unix.Sysinfo(&info); err != nil {
		return err
	}
	n := int(info.Freeram*uint64(info.Unit)*6/10) &^ (2*pageSize - 1)
	b, err := unix.Mmap(-1, 0, n, unix.PROT_READ|unix.PROT_WRITE, unix.MAP_PRIVATE|unix.MAP_ANONYMOUS)
	if err != nil {
		return err
	}
	if err := unix.Madvise(b, unix.MADV_NOHUGEPAGE); err != nil {
		return err
	}
	for i := 0; i < n; i += pageSize {
		b[i] = 1
	}
	for i := 0; i < n; i += 2 * pageSize {
		if err := unix.Madvise(b[i:i+pageSize], unix.MADV_DONTNEED); err != nil {
			return err
		}
	}
	return nil
}

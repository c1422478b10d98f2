//go:build linux

package main

import (
	"bytes"
	"errors"
	"fmt"
	"hash/crc64"
	"os"

	"golang.org/x/sys/unix"

	"ferry/fdt"
	"ferry/linux/workload"
)

// checkRegion fills the region that reserve_mem= reserved, in the first kernel, and in every later one reports whether
// it is where and what it was. A debugging kernel lets nobody look (CONFIG_STRICT_DEVMEM): those before and after it do.
func (c config) checkRegion() error {
	start, size, err := findRegion(c.region)
	if err != nil {
		return fmt.Errorf("region %q: %w", c.region, err)
	}
	mem, err := os.OpenFile("/dev/mem", os.O_RDWR, 0)
	if err != nil {
		return err
	}
	defer mem.Close()
	digest, same, err := c.lookAt(mem, start, size)
	if errors.Is(err, unix.EPERM) {
		report("region round=%d start=%#x size=%d digest=unseen", c.round, start, size)
		return nil
	}
	if err != nil {
		return err
	}
	report("region round=%d start=%#x size=%d digest=%016x kept=%v", c.round, start, size, digest, same)
	return nil
}

// lookAt returns a checksum of the region, which the first kernel fills, and whether it is what it was filled with.
func (c config) lookAt(mem *os.File, start, size int64) (digest uint64, same bool, err error) {
	var want, got [workload.PageSize]byte
	same = true
	for n := range size / workload.PageSize {
		at := start + n*workload.PageSize
		workload.FillRegion(want[:], n)
		if c.round == 0 {
			if _, err := mem.WriteAt(want[:], at); err != nil {
				return 0, false, err
			}
		}
		if _, err := mem.ReadAt(got[:], at); err != nil {
			return 0, false, err
		}
		same = same && bytes.Equal(got[:], want[:])
		digest = crc64.Update(digest, table, got[:])
	}
	return digest, same, nil
}

// findRegion asks the handover that this kernel makes where the region is: the next one finds it there too.
func findRegion(name string) (start, size int64, err error) {
	b, err := os.ReadFile("/sys/kernel/debug/kho/out/sub_fdts/memblock")
	if err != nil {
		return 0, 0, err
	}
	tree, err := fdt.Parse(0, b)
	if err != nil {
		return 0, 0, err
	}
	node, ok := tree.Root().Child(name)
	if !ok {
		return 0, 0, errors.New("this kernel does not hand it over")
	}
	at, err := node.Uint64("start")
	if err != nil {
		return 0, 0, err
	}
	length, err := node.Uint64("size")
	return int64(at), int64(length), err
}

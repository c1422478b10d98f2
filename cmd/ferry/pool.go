package main

import (
	"io/fs"
	"strconv"
	"strings"

	"ferry/crossing"
	"ferry/kho"
	"ferry/phys"
)

// leastPool is what a crossing cuts off scratch for new pages at least: one piece, in which trees, the path of the map to
// what changed, and the records of some thousand sessions and files have room.
const leastPool = kho.PieceSize

// pool estimates what a crossing cuts off scratch for new pages, in bytes: never too little for what the host shows. A map
// in another form takes a page for each 128 MiB of memory and order in use, here two orders of all memory; memfds in
// another form take at most an array of 16 bytes for each page of theirs, which are shared memory.
func (h host) pool(from, to *crossing.Generation) uint64 {
	pages := uint64(leastPool / 4 / phys.PageSize)
	total, shared := h.memory()
	if from == nil || to == nil || from.KHO != to.KHO {
		pages += 2 * (total/(128*mib) + 1)
	}
	if from == nil || to == nil || from.Memfd != to.Memfd {
		pages += shared / 256 / phys.PageSize
	}
	pieces := (pages*phys.PageSize + kho.PieceSize - 1) / kho.PieceSize
	return pieces * kho.PieceSize
}

// memory returns the bytes of memory that the host has, and those of them that are shared memory. What it does not say is 0.
func (h host) memory() (total, shared uint64) {
	b, _ := fs.ReadFile(h.root, "proc/meminfo")
	for line := range strings.Lines(string(b)) {
		name, rest, _ := strings.Cut(line, ":")
		n, err := strconv.ParseUint(strings.TrimSuffix(strings.TrimSpace(rest), " kB"), 10, 53)
		switch {
		case err != nil:
		case name == "MemTotal":
			total = n << 10
		case name == "Shmem":
			shared = n << 10
		}
	}
	return total, shared
}

// Package boardtest gives tests that run on metal what a program cannot have: page
// tables. Addresses va are virtual, pa physical; both are page aligned. Programs do not
// import it, which a test of package start holds.
package boardtest

import "ferry/board/amd64/internal/kernel"

// DirectMap is the virtual address at which physical address 0 would be.
const DirectMap = kernel.DirectMap

// Map maps the page at pa to be read and written at va, where nothing is mapped. It
// reports false if the stage's memory does not suffice for the tables.
func Map(va, pa uint64) bool { return kernel.MapPage(va, pa) }

// Unmap takes the 4 KiB page at va away and returns its address, 0 if none is mapped.
func Unmap(va uint64) (pa uint64) { return kernel.UnmapPage(va) }

// Mapped reports whether va is mapped, in a page of any size.
func Mapped(va uint64) bool { return kernel.Leaf(va) != 0 }

// Table reports whether there is a page table for the 2 MiB around va: if not, none of
// its 4 KiB pages is mapped.
func Table(va uint64) bool { return kernel.Entry(va, false) != nil }
